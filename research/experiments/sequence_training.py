"""A model that reads a customer's last payments one after the other, beside the features.

A gated recurrent unit (Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder",
2014) reads them; what it remembers joins the embeddings of the features. It is an ensemble as ours:
each of four nets leaves out another quarter of the customers, by whom its training is ended.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from rtdl_num_embeddings import PiecewiseLinearEmbeddings, compute_bins
from sklearn.pipeline import Pipeline
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR

from batch_proc.fold import Rows
from experiments.net_inputs import (
    Bools,
    Floats,
    check_parts,
    fit_preparation,
    parts_of_customers,
)
from fraud_ml.metrics import average_precision

LAST_PAYMENTS = 16
"""That it reads. Each has two columns, amount and age, after the features; the latest is first."""

_N_NETS = 4
_PER_PAYMENT = 3  # the amount, its age, and whether there is one
_ROWS_AT_ONCE = 4_096  # when scored


@dataclass(frozen=True, kw_only=True, slots=True)
class SequenceConfig:
    """Of each net, and of its training."""

    remembered: int = 32
    """Numbers that the recurrent unit keeps from one payment to the next."""
    n_pieces: int = 8
    """Of a feature's embedding, between edges at which a decision tree would split."""
    embedding: int = 8
    """Width of a feature's embedding."""
    n_layers: int = 2
    width: int = 128
    dropout: float = 0.1
    batch_size: int = 1_024
    min_batches: int = 64  # an epoch; few rows take smaller batches
    max_epochs: int = 8
    """One cycle of the learning rate."""
    peak_learning_rate: float = 5e-3
    weight_decay: float = 0.01


def train_sequence(rows: Rows, config: SequenceConfig, seed: int) -> Callable[[Floats], Floats]:
    """What scores features of shape (N, F), NaN where missing: probabilities, shape (N,).

    The last 2 * :data:`LAST_PAYMENTS` features are the sequence's, as
    :func:`~fraud_ml.feature_spec.last_transactions` has them.

    Raises:
        DataError: there is no fraud among a quarter of the customers, or none among the others.
        ValueError: there is no feature before the sequence, or no sequence at all.
    """
    if rows.features.shape[1] <= 2 * LAST_PAYMENTS:
        raise ValueError(
            f"the last {2 * LAST_PAYMENTS} columns are the sequence's, after the features; got"
            f" {rows.features.shape[1]} in all"
        )
    part = parts_of_customers(rows.customer, _N_NETS, seed)
    for number in range(_N_NETS):
        check_parts("the sequence model", rows.is_fraud, part == number)
    with torch.random.fork_rng():  # the caller's random state is not ours to change
        torch.manual_seed(seed)
        scores = [_train_one(rows, part == number, config, seed) for number in range(_N_NETS)]
    return lambda features: np.mean([score(features) for score in scores], axis=0)


class SequenceNet(nn.Module):
    """The log-odds of fraud from features and the payments before.

    **Shape**

    - Input: ``(B, F)`` prepared features; ``(B, L, 3)`` payments, the oldest first
    - Output: ``(B,)``
    """

    def __init__(self, embeddings: nn.Module, n_embedded: int, config: SequenceConfig) -> None:
        super().__init__()
        self.embeddings = embeddings
        self.reader = nn.GRU(_PER_PAYMENT, config.remembered, batch_first=True)
        widths = [n_embedded + config.remembered, *[config.width] * config.n_layers]
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(widths):
            layers += [nn.Linear(n_in, n_out), nn.ReLU(), nn.Dropout(config.dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear(config.width, 1))

    def forward(self, features: Tensor, payments: Tensor) -> Tensor:
        """The log-odds."""
        _, remembered = self.reader(payments)  # (1, B, remembered)
        joined = torch.cat((self.embeddings(features).flatten(1), remembered[0]), dim=1)
        logits: Tensor = self.layers(joined).squeeze(-1)
        return logits


@dataclass(frozen=True, slots=True)
class _Inputs:
    """Of N rows, as the net takes them."""

    features: Tensor
    """Shape (N, F)."""
    payments: Tensor
    """Shape (N, L, 3)."""

    @classmethod
    def of(cls, features: Floats, prepare: Pipeline, device: torch.device) -> _Inputs:
        own, sequence = np.split(features, [-2 * LAST_PAYMENTS], axis=1)
        prepared = torch.as_tensor(prepare.transform(own), dtype=torch.float32, device=device)
        return cls(prepared, torch.as_tensor(_payments(sequence), device=device))

    def __len__(self) -> int:
        return len(self.features)

    def take(self, rows: Tensor | slice) -> tuple[Tensor, Tensor]:
        """Some rows of both."""
        return self.features[rows], self.payments[rows]


def _payments(sequence: Floats) -> Floats:
    """The oldest first, on scales that a net can take; where there is none, zeros: (N, L, 3)."""
    latest_first = sequence.reshape(len(sequence), LAST_PAYMENTS, 2)
    payments = np.zeros((*latest_first.shape[:2], _PER_PAYMENT), dtype=np.float32)
    there = ~np.isnan(latest_first[:, ::-1, 0])
    logs = np.log1p(latest_first[:, ::-1])  # amounts and seconds are positive, and far apart
    scale = np.array([math.log1p(100.0), math.log1p(86_400.0)], dtype=np.float32)
    payments[..., :2][there] = (logs / scale)[there]
    payments[..., 2] = there
    return payments


def _train_one(
    rows: Rows, left_out: Bools, config: SequenceConfig, seed: int
) -> Callable[[Floats], Floats]:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    prepare = fit_preparation(rows.features[~left_out, : -2 * LAST_PAYMENTS], "standard", seed)
    taught = _Inputs.of(rows.features[~left_out], prepare, device)
    asked = _Inputs.of(rows.features[left_out], prepare, device)
    y = torch.as_tensor(rows.is_fraud[~left_out], dtype=torch.float32, device=device)
    net = _new_net(taught.features, y, config).to(device)
    _train(net, taught, y, lambda: _quality(net, asked, rows.is_fraud[left_out]), config)
    return lambda features: _scores(net, _Inputs.of(features, prepare, device))


def _new_net(x: Tensor, y: Tensor, config: SequenceConfig) -> SequenceNet:
    with warnings.catch_warnings():
        # A flag has one piece, as it should.
        warnings.filterwarnings("ignore", "The .* feature has just two bin edges", UserWarning)
        bins = compute_bins(
            x.cpu(),
            n_bins=config.n_pieces,
            tree_kwargs={"min_samples_leaf": min(64, max(len(x) // 64, 1))},
            y=y.cpu(),
            regression=False,
        )
        embeddings = PiecewiseLinearEmbeddings(
            bins, d_embedding=config.embedding, activation=True, version="B"
        )
    return SequenceNet(embeddings, x.shape[1] * config.embedding, config)


def _train(
    net: SequenceNet,
    taught: _Inputs,
    y: Tensor,
    quality: Callable[[], float],
    config: SequenceConfig,
) -> None:
    batch_size = min(config.batch_size, -(-len(taught) // config.min_batches))
    optimizer = torch.optim.AdamW(
        net.parameters(), lr=config.peak_learning_rate, weight_decay=config.weight_decay
    )
    schedule = OneCycleLR(
        optimizer,
        config.peak_learning_rate,
        epochs=config.max_epochs,
        steps_per_epoch=-(-len(taught) // batch_size),
    )
    best, weights = -1.0, net.state_dict()
    for _ in range(config.max_epochs):
        net.train()
        for batch in torch.split(torch.randperm(len(taught)).to(y.device), batch_size):
            logits = net(*taught.take(batch))
            loss = nn.functional.binary_cross_entropy_with_logits(logits, y[batch])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        reached = quality()
        if reached > best:
            best, weights = reached, copy.deepcopy(net.state_dict())
    net.load_state_dict(weights)


def _quality(net: SequenceNet, asked: _Inputs, is_fraud: Bools) -> float:
    return average_precision(is_fraud, _scores(net, asked))


@torch.inference_mode()
def _scores(net: SequenceNet, inputs: _Inputs) -> Floats:
    net.eval()
    starts = range(0, len(inputs), _ROWS_AT_ONCE)
    logits = [net(*inputs.take(slice(start, start + _ROWS_AT_ONCE))) for start in starts]
    scores: Floats = torch.sigmoid(torch.cat(logits)).cpu().numpy()
    return scores
