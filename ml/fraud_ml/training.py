"""Training a :class:`~fraud_ml.model.FraudNet`: one seed, one loop, early stopping."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fraud_ml.errors import DataError
from fraud_ml.metrics import average_precision
from fraud_ml.model import FraudNet, ModelConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingConfig:
    """How a model is trained. Defaults were chosen on the handbook's validation folds."""

    max_epochs: int = 15  # one learning-rate cycle: about 15 s for a week of the handbook's data
    patience: int = 5  # rarely ends a cycle early, but small data overfits sooner
    batch_size: int = 1024  # half of it gained .001 AP, for half again the time
    min_batches: int = 64  # an epoch; small data takes smaller batches: 13,000 rows gained .05 AP
    peak_learning_rate: float = 2e-2  # a constant 2e-3 came as far, but in 40 epochs
    weight_decay: float = 1e-2  # AdamW's usual

    def __post_init__(self) -> None:
        for name in ("max_epochs", "patience", "batch_size", "min_batches"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.peak_learning_rate > 0:
            raise ValueError(f"peak_learning_rate must be positive, got {self.peak_learning_rate}")
        if not self.weight_decay >= 0:
            raise ValueError(f"weight_decay must not be negative, got {self.weight_decay}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Epoch:
    """What one pass over the training rows came to."""

    number: int
    """1, 2, ..."""
    loss: float
    """Mean binary cross-entropy while training, in nats."""
    validation_average_precision: float
    """Of the out-of-fold scores after it."""


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """What :func:`train_model` returns."""

    net: FraudNet
    """In evaluation mode, on the CPU, with the weights of the best epoch."""
    feature_names: tuple[str, ...]
    """The columns of the net's input."""
    epochs: tuple[Epoch, ...]
    best_epoch: int
    """Number of the epoch whose weights ``net`` has."""
    out_of_fold_scores: npt.NDArray[np.float32]
    """Of each training row, the probability from the member that never saw its customer: (N,).

    As good as scores of a validation set of N rows: for thresholds and calibration.
    """


def train_model(
    features: npt.NDArray[np.float32],
    is_fraud: npt.NDArray[np.bool_],
    *,
    customers: npt.NDArray[np.generic],
    feature_names: Sequence[str],
    model_config: ModelConfig | None = None,
    training_config: TrainingConfig | None = None,
    seed: int = 0,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> TrainedModel:
    """A model trained on the given rows; same arguments, machine and threads, same weights.

    Each member of the net leaves out a part of the customers, a different one each, and training
    stops when the average precision on what was left out stops rising. So every row trains, and
    every row validates. Customers are left out, and not the last days, because a week has few
    frauds (its last day a few dozen), and because the customers of a test are new ones too.

    The loss is plain binary cross-entropy. Weighting the rare class, or sampling it up, would teach
    the net another rate of fraud than there is, and scores would no longer be probabilities.

    It runs on a GPU where there is one.

    Args:
        features: raw values, shape ``(N, F)``, finite.
        is_fraud: shape ``(N,)``.
        customers: id or number of each row's customer, shape ``(N,)``.
        feature_names: F names.
        model_config: the net's shape.
        training_config: the loop's settings.
        seed: of the weights, the parts and the order of rows.
        on_epoch: called after each epoch, as for a progress bar.

    Raises:
        DataError: a feature is not finite, there are no two classes, or there are fewer customers
            than members.
        ValueError: shapes do not match.
    """
    model_config = model_config or ModelConfig()
    config = training_config or TrainingConfig()
    _check(features, is_fraud, customers, feature_names)
    folds = _customer_folds(customers, model_config.n_members, seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows = _Rows(
        x=torch.tensor(features, device=device),
        y=torch.tensor(is_fraud, dtype=torch.float32, device=device),
        fold=torch.tensor(folds, device=device),
    )
    with torch.random.fork_rng():  # the caller's random state is not ours to change
        torch.manual_seed(seed)
        net = FraudNet(features.shape[1], model_config).to(device)
        net.fit_scaling(rows.x)
        epochs, best = _fit(net, rows, config, on_epoch)
    net.load_state_dict(best.weights)
    return TrainedModel(
        net=net.cpu().eval(),
        feature_names=tuple(feature_names),
        epochs=epochs,
        best_epoch=best.epoch.number,
        out_of_fold_scores=best.scores,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Rows:
    x: Tensor  # (N, F)
    y: Tensor  # (N,), 0 or 1
    fold: Tensor  # (N,), the member that does not train on the row


@dataclass(frozen=True, kw_only=True, slots=True)
class _Checkpoint:
    epoch: Epoch
    weights: dict[str, Tensor]
    scores: npt.NDArray[np.float32]  # (N,), out of fold


def _fit(
    net: FraudNet,
    rows: _Rows,
    config: TrainingConfig,
    on_epoch: Callable[[Epoch], None] | None,
) -> tuple[tuple[Epoch, ...], _Checkpoint]:
    """Train until patience or the epochs end: all epochs, and the best one's checkpoint."""
    is_fraud = rows.y.cpu().numpy() > 0
    epochs: list[Epoch] = []
    best: _Checkpoint | None = None
    for loss in _passes(net, rows, config):
        scores = _out_of_fold_scores(net, rows)
        ap = average_precision(is_fraud, scores)
        epoch = Epoch(number=len(epochs) + 1, loss=loss, validation_average_precision=ap)
        epochs.append(epoch)
        if on_epoch is not None:
            on_epoch(epoch)
        if best is None or ap > best.epoch.validation_average_precision:
            weights = copy.deepcopy(net.state_dict())
            best = _Checkpoint(epoch=epoch, weights=weights, scores=scores)
        elif epoch.number - best.epoch.number >= config.patience:
            break
    assert best is not None  # noqa: S101 - max_epochs is at least 1
    return tuple(epochs), best


def _passes(net: FraudNet, rows: _Rows, config: TrainingConfig) -> Iterator[float]:
    """Train, pausing after each pass over the rows to yield its mean loss."""
    batch_size = min(config.batch_size, -(-len(rows.x) // config.min_batches))
    optimiser = torch.optim.AdamW(
        net.parameters(), lr=config.peak_learning_rate, weight_decay=config.weight_decay
    )
    # One cycle up and down: a peak so high trains in a quarter of the epochs (Smith, 2018).
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser,
        config.peak_learning_rate,
        epochs=config.max_epochs,
        steps_per_epoch=-(-len(rows.x) // batch_size),
        pct_start=0.1,
    )
    members = torch.arange(net.config.n_members, device=rows.x.device)[:, None]
    for _ in range(config.max_epochs):
        net.train()
        total = 0.0
        # Shuffled on the CPU, so that a seed means the same order on every device.
        shuffled = torch.randperm(len(rows.x)).to(rows.x.device)
        for batch in torch.split(shuffled, batch_size):
            logits = net.member_logits(rows.x[batch])  # (K, B)
            trains = members != rows.fold[batch]  # (K, B)
            target = rows.y[batch].expand_as(logits)
            loss = nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
            loss = loss.where(trains, 0.0).sum() / len(batch)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            total += loss.item() * len(batch)
        net.eval()
        yield total / (len(rows.x) * (net.config.n_members - 1))


@torch.inference_mode()
def _out_of_fold_scores(net: FraudNet, rows: _Rows) -> npt.NDArray[np.float32]:
    """Of each row, the probability from the member that does not train on it: shape ``(N,)``."""
    parts = [
        net.member_logits(x).gather(0, fold[None]).squeeze(0)
        for x, fold in zip(torch.split(rows.x, 65_536), torch.split(rows.fold, 65_536), strict=True)
    ]
    return torch.sigmoid(torch.cat(parts)).cpu().numpy()


def _customer_folds(
    customers: npt.NDArray[np.generic], n_folds: int, seed: int
) -> npt.NDArray[np.int64]:
    """Of each row, the number of its customer's part; parts have as many customers: ``(N,)``."""
    ids, code = np.unique(customers, return_inverse=True)
    if len(ids) < n_folds:
        raise DataError(
            f"training needs at least as many customers as members, got {len(ids)} customers and"
            f" {n_folds} members; train on more days or set a smaller n_members"
        )
    return np.random.default_rng(seed).permutation(np.arange(len(ids)) % n_folds)[code]


def _check(
    features: npt.NDArray[np.float32],
    is_fraud: npt.NDArray[np.bool_],
    customers: npt.NDArray[np.generic],
    feature_names: Sequence[str],
) -> None:
    if features.ndim != 2 or features.shape[1] != len(feature_names):
        raise ValueError(
            f"features must have one column a name, got shape {features.shape} and"
            f" {len(feature_names)} names"
        )
    if not len(features) == len(is_fraud) == len(customers):
        raise ValueError(
            f"one entry a row, got {len(features)} rows, {len(is_fraud)} labels,"
            f" {len(customers)} customers"
        )
    if features.dtype != np.float32 or is_fraud.dtype != np.bool_:
        raise ValueError(
            f"features must be float32 and is_fraud boolean, got {features.dtype} and"
            f" {is_fraud.dtype}"
        )
    finite = np.isfinite(features)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise DataError(
            f"feature {feature_names[column]!r} is {features[row, column]} in training row {row}"
            " (the first is 0); features must be finite"
        )
    n_frauds = int(is_fraud.sum())
    if not 0 < n_frauds < len(is_fraud):
        raise DataError(
            f"training needs frauds and others, got {n_frauds} frauds among {len(is_fraud)}"
            " transactions; train on other or more days"
        )
