"""Do counts of what goes on at a terminal now, before there are labels, earn their place?"""

from __future__ import annotations

import dataclasses
import datetime as dt

from experiments.ablation import ablation, measure_without
from experiments.study import Study
from fraud_ml.feature_spec import DEFAULT_SPEC, Aggregate, WindowFeature

CANDIDATES = tuple(
    WindowFeature(
        name=f"terminal_{name}_{days}d_now",
        key="terminal_id",
        aggregate=Aggregate.DISTINCT if of else Aggregate.COUNT,
        window=dt.timedelta(days=days),
        of=of,
    )
    for days in (1, 7)
    for name, of in (("count", None), ("customers", "customer_id"))
)
"""The payments and the different customers at the terminal, in the last day and the last seven."""
SPEC = dataclasses.replace(DEFAULT_SPEC, features=(*DEFAULT_SPEC.features, *CANDIDATES))
WORLDS = ("rings", "handbook", "episodes")
SWEEP = ablation(
    title="The terminal's traffic, beside 30 other features",
    x="counts of payments and customers at the terminal now",
    worlds=WORLDS,
)


def run(study: Study) -> None:
    """The library's features without the candidates, and with them."""
    names = [it.name for it in CANDIDATES]
    measure_without(study, SWEEP, names, spec=SPEC, worlds=WORLDS)
