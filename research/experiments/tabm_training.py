"""TabM as its authors publish it (package `tabm`), trained as their notebook `example.ipynb` does.

Gorishniy et al., "TabM: Advancing Tabular Deep Learning with Parameter-Efficient Ensembling", 2025.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from rtdl_num_embeddings import PiecewiseLinearEmbeddings, compute_bins
from tabm import TabM
from torch import Tensor, nn

from batch_proc.fold import Rows
from experiments.net_inputs import (
    Floats,
    Scale,
    check_parts,
    fit_preparation,
    parts_of_customers,
)
from fraud_ml.metrics import average_precision

_LEFT_OUT = 5  # one customer of so many validates, as a fifth of the rows does in the notebook
_ROWS_AT_ONCE = 4_096


@dataclass(frozen=True, kw_only=True, slots=True)
class TabmConfig:
    """Of the net and its training; but for the scale as the notebook and the package have it."""

    k: int = 32
    n_blocks: int = 2
    d_block: int = 512
    dropout: float = 0.1
    scale: Scale = "standard"
    """Of the features: not the notebook's, which are quantiles."""
    n_bins: int = 48
    d_embedding: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 3e-4
    batch_size: int = 256
    patience: int = 16
    """Epochs in a row without a better score of the left-out before training ends."""
    max_epochs: int = 1_000  # the notebook has no limit but patience


def train_tabm(rows: Rows, config: TabmConfig, seed: int) -> Callable[[Floats], Floats]:
    """What scores features of shape (N, F), NaN where missing: probabilities, shape (N,).

    As in the notebook: piecewise-linear embeddings, the mean of k losses on shared batches, AdamW
    with gradients of norm 1 at most, and the weights of the epoch that scores the left-out best.
    Four things are ours: who is left out is whole customers, not rows, since the rows of one
    customer resemble each other; the score is average precision, not accuracy; a missing value is
    the median, and tells so in a feature beside; and features are scaled by mean and deviation
    unless ``scale`` says otherwise, since the notebook's quantiles cost the sequence model .09 of
    average precision on validation folds.

    Raises:
        DataError: there is no fraud among the left-out, or none among the others.
    """
    left_out = parts_of_customers(rows.customer, _LEFT_OUT, seed) == 0
    check_parts("TabM", rows.is_fraud, left_out)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    prepare = fit_preparation(rows.features[~left_out], config.scale, seed)

    def to_inputs(features: Floats) -> Tensor:
        return torch.as_tensor(prepare.transform(features), dtype=torch.float32, device=device)

    x, x_left_out = to_inputs(rows.features[~left_out]), to_inputs(rows.features[left_out])
    y = torch.as_tensor(rows.is_fraud[~left_out], dtype=torch.float32, device=device)
    with torch.random.fork_rng():  # the caller's random state is not ours to change
        torch.manual_seed(seed)
        net = _new_net(x, config).to(device)
        _train(net, x, y, lambda: _quality(net, x_left_out, rows.is_fraud[left_out]), config)
    return lambda features: _scores(net, to_inputs(features))


def _new_net(x: Tensor, config: TabmConfig) -> nn.Module:
    with warnings.catch_warnings():
        # A flag has one bin, as it should.
        warnings.filterwarnings("ignore", "The .* feature has just two bin edges", UserWarning)
        embeddings = PiecewiseLinearEmbeddings(
            compute_bins(x, n_bins=min(config.n_bins, len(x) - 1)),
            d_embedding=config.d_embedding,
            activation=False,
            version="B",
        )
    net: nn.Module = TabM.make(
        n_num_features=x.shape[1],
        d_out=1,
        num_embeddings=embeddings,
        n_blocks=config.n_blocks,
        d_block=config.d_block,
        dropout=config.dropout,
        k=config.k,
    )
    return net


def _train(
    net: nn.Module, x: Tensor, y: Tensor, quality: Callable[[], float], config: TabmConfig
) -> None:
    optimizer = torch.optim.AdamW(
        net.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    best, weights, since_best = -1.0, net.state_dict(), 0
    for _ in range(config.max_epochs):
        net.train()
        for batch in torch.split(torch.randperm(len(x), device=x.device), config.batch_size):
            logits = net(x[batch]).squeeze(-1)  # (B, k)
            wanted = y[batch, None].expand_as(logits)  # each of the k answers for itself
            loss = nn.functional.binary_cross_entropy_with_logits(logits, wanted)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
        reached = quality()
        if reached > best:
            best, weights, since_best = reached, copy.deepcopy(net.state_dict()), 0
        else:
            since_best += 1
        if since_best > config.patience:
            break
    net.load_state_dict(weights)


def _quality(net: nn.Module, x: Tensor, is_fraud: npt.NDArray[np.bool_]) -> float:
    return average_precision(is_fraud, _scores(net, x))


@torch.inference_mode()
def _scores(net: nn.Module, x: Tensor) -> Floats:
    """The mean of the k probabilities, as the authors say."""
    net.eval()
    parts = [torch.sigmoid(net(part)).mean(dim=(1, 2)) for part in torch.split(x, _ROWS_AT_ONCE)]
    scores: Floats = torch.cat(parts).cpu().numpy()
    return scores
