"""Do features of the amount against the customer's usual one earn their place in DEFAULT_SPEC?"""

from __future__ import annotations

from experiments.ablation import ablation, measure_without
from experiments.study import Study

CANDIDATES = ("customer_amount_to_median", "customer_amount_robust_z")
"""The amount over the median of the customer's last 32, and its distance in deviations."""
SWEEP = ablation(
    title="The amount against the usual one, beside 28 other features",
    x="features customer_amount_to_median and customer_amount_robust_z",
)


def run(study: Study) -> None:
    """The library's features with and without the candidates."""
    measure_without(study, SWEEP, CANDIDATES)
