"""The loop of a training: passes over the rows, out-of-fold validation, the best epoch."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR

from fraud_ml._peers import Peers
from fraud_ml.metrics import average_precision
from fraud_ml.model import FraudNet, mean_logit

_ROWS_AT_ONCE = 1_024  # when only scored: what a layer makes of them stays in a core's cache


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingConfig:
    """How a model is trained. Defaults were found as those of the model's shape."""

    max_epochs: int = 6  # one cycle of the learning rate
    patience: int = 5  # rarely ends a cycle early, but small data overfits sooner
    batch_size: int = 1024
    min_batches: int = 64  # an epoch; small data takes smaller batches: 13,000 rows gained .05 AP
    peak_learning_rate: float = 0.021
    weight_decay: float = 0.029

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows:
    """What is trained on: N rows with F features."""

    x: Tensor
    """Shape (N, F)."""
    y: Tensor
    """0 or 1, shape (N,)."""
    fold: Tensor
    """The group that does not train on the row, shape (N,)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BestEpoch:
    """The epoch with the highest validation so far."""

    epoch: Epoch
    weights: dict[str, Tensor]
    logits: npt.NDArray[np.float32]
    """Out-of-fold log-odds, shape (N,)."""


class Keeper(Protocol):
    """Keeps the state of a loop, so that another process can go on from it."""

    def load(self) -> dict[str, Any] | None:
        """What was saved last; None where nothing was."""

    def save(self, state: dict[str, Any]) -> None:
        """Save ``state``."""


class TrainingLoop:
    """Trains a net epoch by epoch, alone or with peers that each have the same rows and net."""

    def __init__(
        self, net: FraudNet, rows: Rows, config: TrainingConfig, peers: Peers | None = None
    ) -> None:
        self._net = net
        self._rows = rows
        self._config = config
        self._peers = peers or Peers()
        self._member_logits = self._peers.member_logits(net)
        self._batch_size = min(config.batch_size, -(-len(rows.x) // config.min_batches))
        self._optimiser = torch.optim.AdamW(
            net.parameters(), lr=config.peak_learning_rate, weight_decay=config.weight_decay
        )
        # One cycle up and down: a peak so high trains in a quarter of the epochs (Smith, 2018).
        self._schedule = OneCycleLR(
            self._optimiser,
            config.peak_learning_rate,
            epochs=config.max_epochs,
            steps_per_epoch=-(-len(rows.x) // self._batch_size),
            pct_start=0.1,
        )
        self.epochs: list[Epoch] = []
        self._best: BestEpoch | None = None

    def run(self, keeper: Keeper | None, on_epoch: Callable[[Epoch], None] | None) -> BestEpoch:
        """Train until patience or the epochs end, from what ``keeper`` has on."""
        before = None if keeper is None else self._peers.ask_first(keeper.load)
        if before is not None:
            self._restore(before)
        report = on_epoch or (lambda _: None)
        for epoch in self.epochs:
            report(epoch)
        while not self._is_over():
            epoch = self._one_epoch()
            if keeper is not None:
                self._save(keeper)
            report(epoch)
        assert self._best is not None  # noqa: S101 - max_epochs is at least 1
        return self._best

    def _is_over(self) -> bool:
        done = len(self.epochs)
        waited = 0 if self._best is None else done - self._best.epoch.number
        return done >= self._config.max_epochs or waited >= self._config.patience

    def _one_epoch(self) -> Epoch:
        loss = self._pass()
        logits = self._out_of_fold_logits()
        # The first process's counts, should another machine's last bit be a different one.
        mine = average_precision(self._rows.y.cpu().numpy() > 0, logits)
        on_device = torch.tensor(mine, dtype=torch.float64, device=self._rows.x.device)
        ap = float(self._peers.of_first(on_device))
        epoch = Epoch(number=len(self.epochs) + 1, loss=loss, validation_average_precision=ap)
        self.epochs.append(epoch)
        if self._best is None or ap > self._best.epoch.validation_average_precision:
            weights = copy.deepcopy(self._net.state_dict())
            self._best = BestEpoch(epoch=epoch, weights=weights, logits=logits)
        return epoch

    def _pass(self) -> float:
        """One pass over the rows: their mean loss."""
        net, rows = self._net.train(), self._rows
        groups, members = net.config.n_groups, net.config.n_members
        of_group = torch.arange(groups, device=rows.x.device).repeat_interleave(members)[:, None]
        total = torch.zeros((), device=rows.x.device)
        # Shuffled on the CPU, so that a seed means the same order on every device.
        shuffled = self._peers.of_first(torch.randperm(len(rows.x)).to(rows.x.device))
        for batch in torch.split(shuffled, self._batch_size):
            mine = self._peers.part(batch)
            logits = self._member_logits(rows.x[mine])  # (G * M, B)
            trains = of_group != rows.fold[mine]  # (G * M, B)
            target = rows.y[mine].expand_as(logits)
            loss = nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
            # Of the whole batch: what the processes' parts add up to.
            loss = loss.where(trains, 0.0).sum() / (len(batch) * (groups - 1) * members)
            self._optimiser.zero_grad()
            # Gradients are averaged over the processes, where they ought to be added up.
            (loss * self._peers.size).backward()  # type: ignore[no-untyped-call]
            self._optimiser.step()
            self._schedule.step()
            total += loss.detach() * len(batch)
        net.eval()
        return float(self._peers.total(total)) / len(rows.x)

    @torch.inference_mode()
    def _out_of_fold_logits(self) -> npt.NDArray[np.float32]:
        """Of each row, the log-odds from the group that does not train on it: shape ``(N,)``."""
        shape = (self._net.config.n_groups, self._net.config.n_members)
        n_mine = -(-len(self._rows.x) // self._peers.size)  # the last process has fewer, or none
        mine = slice(self._peers.rank * n_mine, (self._peers.rank + 1) * n_mine)
        parts = []
        for x, fold in zip(
            torch.split(self._rows.x[mine], _ROWS_AT_ONCE),
            torch.split(self._rows.fold[mine], _ROWS_AT_ONCE),
            strict=True,
        ):
            logits = self._net.member_logits(x).view(*shape, len(x))  # (G, M, B)
            own = logits.gather(0, fold.expand(1, shape[1], -1))[0]
            parts.append(mean_logit(own))
        found = torch.cat(parts)
        padded = nn.functional.pad(found, (0, n_mine - len(found)))
        return torch.cat(self._peers.gather(padded))[: len(self._rows.x)].cpu().numpy()

    def _save(self, keeper: Keeper) -> None:
        state = self._state()
        self._peers.ask_first(lambda: keeper.save(state))

    def _state(self) -> dict[str, Any]:
        best = self._best
        assert best is not None  # noqa: S101 - saved after an epoch
        return {
            "weights": self._net.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "schedule": self._schedule.state_dict(),
            "random": [self._gather_bytes(state) for state in self._random_states()],
            "epochs": [(it.number, it.loss, it.validation_average_precision) for it in self.epochs],
            "best": (best.epoch.number, best.weights, torch.from_numpy(best.logits)),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self._net.load_state_dict(state["weights"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._schedule.load_state_dict(state["schedule"])
        mine = [of_all[self._peers.rank] for of_all in state["random"]]
        torch.random.set_rng_state(mine[0])
        if self._rows.x.is_cuda:
            torch.cuda.set_rng_state(mine[1])
        self.epochs = [
            Epoch(number=number, loss=loss, validation_average_precision=ap)
            for number, loss, ap in state["epochs"]
        ]
        number, weights, logits = state["best"]
        self._best = BestEpoch(
            epoch=self.epochs[number - 1], weights=weights, logits=logits.numpy()
        )

    def _random_states(self) -> list[Tensor]:
        """Where this process's random numbers are: the CPU's, and a GPU's where one trains."""
        gpu = [torch.cuda.get_rng_state()] if self._rows.x.is_cuda else []
        return [torch.random.get_rng_state(), *gpu]

    def _gather_bytes(self, state: Tensor) -> list[Tensor]:
        return [of_one.cpu() for of_one in self._peers.gather(state.to(self._rows.x.device))]
