"""Do features of the terminal's last labels earn their place in DEFAULT_SPEC?"""

from __future__ import annotations

from experiments.ablation import ablation, measure_without
from experiments.study import Study

CANDIDATES = (
    "terminal_last_label",
    "terminal_fraud_age",
    "terminal_fraud_run_age",
    "terminal_label_gap",
)
"""The last label that is out, how long ago the last known fraud was, how long frauds have followed
each other without a break, and the time since the last labelled payment."""
SWEEP = ablation(
    title="The terminal's last labels, beside 26 other features",
    x="features of the last labels, their age and their run",
)


def run(study: Study) -> None:
    """The library's features with and without the candidates."""
    measure_without(study, SWEEP, CANDIDATES)
