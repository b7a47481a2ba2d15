"""What became of the mutants."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

KILLED = {"killed", "timeout", "segfault"}
"""A test failed, never ended, or its process died: it noticed."""

SURVIVED = {"survived", "no tests"}


@dataclass(frozen=True)
class Score:
    """The status of each mutant that was tried, as mutmut calls it."""

    statuses: Mapping[str, str]

    def __post_init__(self) -> None:
        """Refuses statuses that say neither.

        Raises:
            ValueError: a mutant was not decided.
        """
        undecided = {
            name: status
            for name, status in self.statuses.items()
            if status not in KILLED | SURVIVED
        }
        if undecided:
            raise ValueError(f"mutmut did not decide these: {undecided}")

    @property
    def survivors(self) -> list[str]:
        """Those that no test noticed, in order."""
        return sorted(name for name, status in self.statuses.items() if status in SURVIVED)

    @property
    def percent(self) -> float:
        """Share of the tried that was killed, in percent; 0 where none was tried."""
        killed = len(self.statuses) - len(self.survivors)
        return 100 * killed / len(self.statuses) if self.statuses else 0.0

    def summary(self) -> str:
        """One line."""
        counts = Counter(self.statuses.values())
        parts = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
        return (
            f"{self.percent:.1f} % of {len(self.statuses)} mutants were killed: {parts or 'none'}"
        )


def sample(mutants: Sequence[str], size: int | None, seed: int) -> list[str]:
    """``size`` of the mutants, the same ones for the same seed; all where it is None."""
    if size is None or size >= len(mutants):
        return list(mutants)
    return sorted(random.Random(seed).sample(sorted(mutants), size))  # noqa: S311 (no secret)
