"""What a run found, in numbers and in warnings."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Mapping, Sequence

from batch_proc.bucket_rows import Labels
from batch_proc.infer_input import Input
from batch_proc.infer_options import InferOptions
from batch_proc.infer_stages import Done
from batch_proc.key_stages import plan_stages
from batch_proc.measures import Measure
from fraud_ml.policy import Decision

_DAY = dt.timedelta(days=1)
_SHOWN = 5  # gaps between days; who has more knows after the first


def summary(done: Done, seconds: Mapping[str, float]) -> list[Measure]:
    """The numbers of a run."""
    by_decision = _added(done)
    whole = _sum(by_decision.values())
    found = _sum(by_decision.get(it.name.lower(), {}) for it in (Decision.REVIEW, Decision.DECLINE))
    measures = [
        Measure("rows", done.n_rows, "transactions", "in the input"),
        Measure("scored", int(whole["rows"]), "transactions", "in the output"),
        Measure("days", len(done.rows_by_day), "days", "in the output"),
        Measure("amount", whole["amount"], "currency", "of the scored"),
    ]
    for name, meaning in (
        ("approve", "to be approved"),
        ("review", "to be reviewed"),
        ("decline", "to be declined"),
        ("none", "without a decision: the model has no policy"),
    ):
        if name in by_decision or name != "none":
            of = by_decision.get(name, _sum([]))
            measures.append(Measure(name, int(of["rows"]), "transactions", meaning))
            measures.append(Measure(f"{name}_amount", of["amount"], "currency", "their amount"))
    measures += [
        Measure("frauds", int(whole["frauds"]), "transactions", "of the scored, as labels say"),
        Measure("frauds_found", int(found["frauds"]), "transactions", "reviewed or declined"),
        Measure("fraud_amount", whole["fraud_amount"], "currency", "of the frauds"),
        Measure("fraud_amount_found", found["fraud_amount"], "currency", "reviewed or declined"),
    ]
    measures.append(Measure("exchanged", done.exchanged, "bytes", "from stage to stage"))
    return measures + [Measure(f"{it}_seconds", taken, "s") for it, taken in seconds.items()]


def warnings(done: Done, source: Input, options: InferOptions) -> list[str]:
    """What a person should look at, a line each."""
    said = []
    if source.layout.labels is Labels.NONE and any(
        stage.reads_labels for stage in plan_stages(source.layout.spec)
    ):
        said.append(
            "no labels: features of past frauds are those of a history without any; name the"
            " column in the --columns file, or give --labels"
        )
    said += _missing_days(sorted(done.rows_by_day), options.since, options.until)
    return said


def _missing_days(
    days: Sequence[dt.date], since: dt.datetime | None, until: dt.datetime | None
) -> list[str]:
    first = days[0] if since is None else since.date()
    last = days[-1] if until is None else (until - dt.timedelta(microseconds=1)).date()
    edges = [first - _DAY, *days, last + _DAY]
    gaps = [
        (before + _DAY, after - _DAY)
        for before, after in itertools.pairwise(edges)
        if after - before > _DAY
    ]
    said = [
        f"no transactions on {a}" if a == b else f"no transactions from {a} to {b}" for a, b in gaps
    ]
    return said[:_SHOWN] + ([f"and {len(said) - _SHOWN} more gaps"] if len(said) > _SHOWN else [])


def _added(done: Done) -> dict[str, dict[str, float]]:
    by_decision: dict[str, list[dict[str, float]]] = {}
    for record in done.records:
        for name, numbers in record.get("decisions", {}).items():
            by_decision.setdefault(name, []).append(numbers)
    return {name: _sum(numbers) for name, numbers in by_decision.items()}


def _sum(parts: object) -> dict[str, float]:
    names = ("rows", "amount", "frauds", "fraud_amount")
    there = [part for part in parts if part]  # type: ignore[attr-defined]
    return {name: sum(part[name] for part in there) for name in names}
