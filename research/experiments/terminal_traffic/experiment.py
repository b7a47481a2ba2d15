"""Do counts of what goes on at a terminal now, before there are labels, earn their place?"""

from __future__ import annotations

from experiments.ablation import ablation, measure_without
from experiments.study import Study
from fraud_ml.default_specs import TRAFFIC_FEATURES, default_spec

WORLDS = ("rings", "handbook", "episodes")
SWEEP = ablation(
    title="The terminal's traffic, beside 30 other features",
    x="counts of payments and customers at the terminal now",
    worlds=WORLDS,
)


def run(study: Study) -> None:
    """The library's features without the candidates, and with them."""
    candidates = [it.name for it in TRAFFIC_FEATURES]
    measure_without(study, SWEEP, candidates, spec=default_spec(traffic=True), worlds=WORLDS)
