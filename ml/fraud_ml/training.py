"""Training a :class:`~fraud_ml.model.FraudNet`: one seed, early stopping, resumable.

One process does it, or several together, each of which calls :func:`train_model`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression
from torch.distributed import ProcessGroup

from fraud_ml._checkpoint import Checkpoint
from fraud_ml._input_fit import fit_inputs
from fraud_ml._peers import Peers
from fraud_ml._sharing import settle_weights, share_weights
from fraud_ml._training_loop import Epoch, Rows, TrainingConfig, TrainingLoop
from fraud_ml.errors import DataError
from fraud_ml.model import FraudNet, ModelConfig

__all__ = ["Epoch", "TrainedModel", "TrainingConfig", "train_model"]

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]


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
    out_of_fold_scores: Floats
    """Of each training row, the probability from the group that never saw its customer: (N,).

    As good as scores of a validation set of N rows: for thresholds, and here for calibration.
    """


def train_model(
    features: Floats,
    is_fraud: Bools,
    *,
    customers: npt.NDArray[np.generic],
    feature_names: Sequence[str],
    categories: Sequence[bool] | None = None,
    model_config: ModelConfig | None = None,
    training_config: TrainingConfig | None = None,
    seed: int = 0,
    on_epoch: Callable[[Epoch], None] | None = None,
    checkpoint: Path | None = None,
    group: ProcessGroup | None = None,
) -> TrainedModel:
    """A model trained on the given rows; same arguments, machine and threads, same weights.

    Each group of the net leaves out a part of the customers, a different one each, and training
    stops when the average precision on what was left out stops rising. So every row trains, and
    every row validates. Customers are left out, and not the last days, because a week has few
    frauds (its last day a few dozen), and because the customers of a test are new ones too. (The
    edges of the embeddings alone are fitted to all rows: of shuffled labels, what is left out
    scores no better than by chance.) On the scores of what was left out, slope and offset of the
    log-odds are fitted (Platt, 1999).

    The loss is plain binary cross-entropy. Weighting the rare class, or sampling it up, would teach
    the net another rate of fraud than there is, and scores would no longer be probabilities.

    It runs on the current GPU where there is one.

    With a ``group``, its processes share the work of each batch: as many steps on as many rows as
    one process takes, with the same gradients but for what dropout leaves out. Each calls this with
    the same arguments, and each gets the same model. As many processes, the same weights again;
    another number of them, others that are as good.

    Args:
        features: raw values, shape ``(N, F)``, NaN where missing.
        is_fraud: shape ``(N,)``.
        customers: id or number of each row's customer, shape ``(N,)``.
        feature_names: F names.
        categories: which features are codes of categories, F of them; None: none.
        model_config: the net's shape.
        training_config: the loop's settings.
        seed: of the weights, the parts and the order of rows.
        on_epoch: called after each epoch, as for a progress bar, also for those of before.
        checkpoint: a file, written after each epoch and removed at the end. Where it is there
            already, training goes on from it, to the weights it would have had without the break.
            Of a ``group``, the first process alone reads and writes it.
        group: of ``torch.distributed``, initialised; NCCL for GPUs, one a process, else Gloo.

    Raises:
        DataError: a feature is infinite, there are no two classes, there are fewer customers than
            groups, or the checkpoint is damaged or of another training. In all processes alike.
        OSError: the checkpoint cannot be written.
        ValueError: shapes do not match.
    """
    model_config = model_config or ModelConfig()
    config = training_config or TrainingConfig()
    categories = tuple(categories or [False] * len(feature_names))
    _check(features, is_fraud, customers, feature_names)
    if len(categories) != len(feature_names):
        raise ValueError(f"{len(categories)=} must be {len(feature_names)=}")
    folds = _customer_folds(customers, model_config.n_groups, seed)
    peers = Peers(group)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with torch.random.fork_rng():  # the caller's random state is not ours to change
        torch.manual_seed(seed)
        net = FraudNet(categories, model_config)
        fit_inputs(net, features, is_fraud)
        share_weights(net)
        loop = TrainingLoop(
            net.to(device),
            Rows(
                x=torch.tensor(features, device=device),
                y=torch.tensor(is_fraud, dtype=torch.float32, device=device),
                fold=torch.tensor(folds, device=device),
            ),
            config,
            peers,
        )
        peers.draw_apart(seed)
        kept = None
        if checkpoint is not None:
            inputs = (features, is_fraud, folds)
            settings = (model_config, config, seed, categories, peers.size)
            kept = Checkpoint.of(checkpoint, inputs, settings)
        best = loop.run(kept, on_epoch)
    net.load_state_dict(best.weights)
    settle_weights(net)
    calibrated = _calibrate(net, best.logits, is_fraud)
    if kept is not None:
        peers.ask_first(kept.remove)
    return TrainedModel(
        net=net.cpu().eval(),
        feature_names=tuple(feature_names),
        epochs=tuple(loop.epochs),
        best_epoch=best.epoch.number,
        out_of_fold_scores=calibrated,
    )


def _calibrate(net: FraudNet, logits: Floats, is_fraud: Bools) -> Floats:
    """Fit slope and offset of ``net`` to out-of-fold log-odds: the scores that they make."""
    fitted = LogisticRegression().fit(logits[:, None], is_fraud)
    slope, offset = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    if slope > 0:  # else the net learned nothing, and turning its order around would not help
        net.slope.fill_(slope)
        net.offset.fill_(offset)
    logit = torch.from_numpy(logits) * net.slope.cpu() + net.offset.cpu()
    scores: Floats = torch.sigmoid(logit).numpy()
    return scores


def _customer_folds(
    customers: npt.NDArray[np.generic], n_folds: int, seed: int
) -> npt.NDArray[np.int64]:
    """Of each row, the number of its customer's part; parts have as many customers: ``(N,)``."""
    ids, code = np.unique(customers, return_inverse=True)
    if len(ids) < n_folds:
        raise DataError(
            f"training needs at least as many customers as groups, got {len(ids)} customers and"
            f" {n_folds} groups; train on more days or set a smaller n_groups"
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
    infinite = np.isinf(features)
    if infinite.any():
        row, column = np.argwhere(infinite)[0]
        raise DataError(
            f"feature {feature_names[column]!r} is {features[row, column]} in training row {row}"
            " (the first is 0); features must be finite, or NaN where missing"
        )
    n_frauds = int(is_fraud.sum())
    if not 0 < n_frauds < len(is_fraud):
        raise DataError(
            f"training needs frauds and others, got {n_frauds} frauds among {len(is_fraud)}"
            " transactions; train on other or more days"
        )
