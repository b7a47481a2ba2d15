"""Do the length of a run of frauds and the amount of the last one earn their place?"""

from __future__ import annotations

from experiments.ablation import ablation, measure_without
from experiments.study import Study

CANDIDATES = ("terminal_fraud_run_length", "terminal_last_fraud_amount")
"""How many frauds have followed each other at the terminal without a break, and of what amount its
last known fraud was."""
SWEEP = ablation(
    title="A terminal's frauds in a row, and the amount of the last, beside 30 other features",
    x="features of the frauds in a row and of the last amount",
)


def run(study: Study) -> None:
    """The library's features with and without the candidates."""
    measure_without(study, SWEEP, CANDIDATES)
