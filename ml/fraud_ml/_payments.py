"""The payments of one simulated day, as columns that frauds change and add to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fraud_ml._simulated import SECONDS_A_DAY, Floats, Ints

HONEST, NOBODY = 0, -1


@dataclass(frozen=True, kw_only=True, slots=True)
class Payments:
    """Columns of transactions: shape ``(N,)`` each."""

    second: Ints
    """Since midnight."""
    customer: Ints
    terminal: Ints
    amount: Floats
    """In currency."""
    scenario: npt.NDArray[np.int8]
    """0 honest, or the fraud's number."""
    episode: Ints
    """Of the fraud, its episode's number; -1: of none."""

    @classmethod
    def honest(cls, second: Ints, customer: Ints, terminal: Ints, amount: Floats) -> Payments:
        """Payments of nobody's fraud, in the order of time."""
        order = np.argsort(second, kind="stable")
        return cls(
            second=second[order],
            customer=customer[order],
            terminal=terminal[order],
            amount=amount[order],
            scenario=np.full(len(second), HONEST, dtype=np.int8),
            episode=np.full(len(second), NOBODY),
        )

    def mark(self, rows: Ints, scenario: int, episode: Ints) -> None:
        """Make ``rows`` frauds, in place."""
        self.scenario[rows] = scenario
        self.episode[rows] = episode

    def __len__(self) -> int:
        return len(self.second)


def times_of_day(rng: np.random.Generator, n: int) -> Ints:
    """Seconds since midnight as the handbook draws them, some of them on other days: ``(n,)``."""
    return rng.normal(SECONDS_A_DAY / 2, 20_000, n).astype(np.int64)


def amounts(rng: np.random.Generator, mean: Floats) -> Floats:
    """Amounts of customers with these means, to the cent, as the handbook draws them: ``(N,)``."""
    amount = rng.normal(mean, mean / 2)
    negative = amount < 0
    amount[negative] = rng.uniform(0, 2 * mean[negative])
    return np.round(amount, 2)
