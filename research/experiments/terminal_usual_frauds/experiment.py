"""Do the labels of a terminal without frauds that are unusual for their customer earn a place?"""

from __future__ import annotations

from experiments.ablation import ablation, measure_without
from experiments.study import Study

CANDIDATES = (
    "terminal_usual_last_label",
    "terminal_usual_fraud_age",
    "terminal_usual_fraud_run_age",
    "terminal_usual_fraud_rate_14d",
    "terminal_usual_fraud_run_length",
)
"""What is known of the terminal's frauds, but for those above twice the customer's usual amount."""
SWEEP = ablation(
    title="A terminal's frauds of amounts usual for the customer, beside 32 other features",
    x="features of the terminal's usual frauds",
)


def run(study: Study) -> None:
    """The library's features with and without the candidates."""
    measure_without(study, SWEEP, CANDIDATES)
