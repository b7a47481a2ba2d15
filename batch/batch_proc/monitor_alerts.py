"""Measures against thresholds: what is fine, what to watch, what is an alert."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from batch_proc.monitor_measures import VersionMeasures
from batch_proc.monitor_thresholds import Thresholds
from batch_proc.report.score_sections import Drifted, state_of


class AlertError(Exception):
    """There are alerts, and the user asked to be told by the exit code."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """One measure, judged."""

    state: str
    """``fine``, ``watch``, ``alert``, or ``unknown`` where nothing can be judged."""
    name: str
    value: float | None
    limit: str
    """What is still fine; or, where the state is ``unknown``, why."""
    meaning: str


def judge(
    measures: VersionMeasures,
    trained: Mapping[str, float],
    thresholds: Thresholds,
    *,
    cards_a_day: int,
) -> list[Verdict]:
    """A verdict on each thing that the thresholds watch.

    Args:
        measures: of one version.
        trained: the metrics of the model's own test.
        thresholds: what is fine.
        cards_a_day: that investigators look at.
    """
    return [
        *_of_quality(measures, trained, thresholds, cards_a_day),
        _of_labels(measures, thresholds),
        *_of_drift(measures, thresholds),
    ]


def _of_quality(
    measures: VersionMeasures,
    trained: Mapping[str, float],
    thresholds: Thresholds,
    cards_a_day: int,
) -> Iterator[Verdict]:
    cards, found = f"cp{cards_a_day}", measures.quality
    too_few = _too_few(measures, thresholds)
    yield _at_least(
        "ap",
        None if found is None else found.ap.estimate,
        _least(thresholds.ap_min, trained.get("ap"), thresholds.ap_drop_from_training),
        too_few,
        "average precision",
    )
    no_customers = "" if measures.knows_customers else "the customers are not known"
    yield _at_least(
        cards,
        None if found is None else found.card_precision.estimate,
        _least(
            thresholds.card_precision_min,
            trained.get(cards),
            thresholds.card_precision_drop_from_training,
        ),
        too_few or no_customers,
        f"card precision at {cards_a_day} a day",
    )
    error, most = measures.calibration_error, thresholds.calibration_error_max
    meaning = "calibration error: how far scores are from the share of frauds, mean over payments"
    if too_few or error is None or most is None:
        why = too_few or "no threshold"
        yield _unknown("calibration_error", None if too_few else error, why, meaning)
    else:
        yield Verdict(
            state="alert" if error > most else "fine",
            name="calibration_error",
            value=error,
            limit=f"at most {most:g}",
            meaning=meaning,
        )


def _too_few(measures: VersionMeasures, thresholds: Thresholds) -> str:
    """Why quality cannot be judged; empty where it can."""
    n_payments, n_frauds = len(measures.closed), int(measures.closed.is_fraud.sum())
    if n_payments < thresholds.min_payments:
        return f"{n_payments:,} labelled payments, min_payments is {thresholds.min_payments:,}"
    if n_frauds < thresholds.min_frauds:
        return f"{n_frauds:,} frauds, min_frauds is {thresholds.min_frauds:,}"
    return ""


def _least(least: float | None, trained: float | None, drop: float | None) -> float | None:
    """The stricter of a limit and of one relative to training; None where there is neither."""
    limits = [] if least is None else [least]
    if trained is not None and drop is not None:
        limits.append(trained - drop)
    return max(limits, default=None)


def _at_least(
    name: str, value: float | None, least: float | None, too_few: str, meaning: str
) -> Verdict:
    if too_few or value is None:
        return _unknown(name, None, too_few or "no fraud is known", meaning)
    if least is None:
        return _unknown(name, value, "no threshold", meaning)
    return Verdict(
        state="alert" if value < least else "fine",
        name=name,
        value=value,
        limit=f"at least {least:.3f}",
        meaning=meaning,
    )


def _of_labels(measures: VersionMeasures, thresholds: Thresholds) -> Verdict:
    meaning = "share of the closed days' payments that have a label"
    share, least = measures.labelled, thresholds.labelled_min
    if share is None or least is None:
        why = "no payments on closed days" if share is None else "no threshold"
        return _unknown("labelled", share, why, meaning)
    state = "watch" if share < least else "fine"
    return Verdict(
        state=state, name="labelled", value=share, limit=f"at least {least:g}", meaning=meaning
    )


def _of_drift(measures: VersionMeasures, thresholds: Thresholds) -> Iterator[Verdict]:
    if measures.score_drift is None:
        why = "the model has no reference distributions"
        yield _unknown("psi:score", None, why, "drift of the score since training")
        return
    for drifted in (measures.score_drift, *measures.feature_drift):
        if drifted.name not in thresholds.drift_ignored:
            yield _of_one_drift(drifted, thresholds)


def _of_one_drift(drifted: Drifted, thresholds: Thresholds) -> Verdict:
    name, n_payments = f"psi:{drifted.name}", sum(drifted.counts)
    meaning = f"drift of {'the score' if drifted.name == 'score' else drifted.name} since training"
    index = drifted.index
    if index is None or n_payments < thresholds.min_payments:
        why = f"{n_payments:,} payments, min_payments is {thresholds.min_payments:,}"
        return _unknown(name, None, why, meaning)
    return Verdict(
        state=state_of(index, watch=thresholds.psi_warn, alert=thresholds.psi_alert),
        name=name,
        value=index,
        limit=f"below {thresholds.psi_warn:g}, alert at {thresholds.psi_alert:g}",
        meaning=meaning,
    )


def _unknown(name: str, value: float | None, why: str, meaning: str) -> Verdict:
    return Verdict(state="unknown", name=name, value=value, limit=why, meaning=meaning)


def in_order(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The alerts first, then what to watch, then the others, each in the order given."""
    order = ("alert", "watch", "unknown", "fine")
    return sorted(verdicts, key=lambda it: order.index(it.state))


def print_verdicts(title: str, verdicts: Sequence[Verdict], console: Console) -> None:
    """A table with one line a verdict; of fine drifts of features, their number alone."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for name in ("state", "measure"):
        table.add_column(name)
    table.add_column("value", justify="right")
    table.add_column("fine is")
    table.add_column("what it is")
    quiet = [it for it in verdicts if it.state == "fine" and it.name.startswith("psi:")]
    quiet = [it for it in quiet if it.name != "psi:score"]
    for it in in_order([each for each in verdicts if each not in quiet]):
        table.add_row(it.state, it.name, _shown(it.value), it.limit, it.meaning)
    if quiet:
        most = max(it.value or 0.0 for it in quiet)
        what = f"drift of {len(quiet)} features; the largest"
        table.add_row("fine", "psi:...", _shown(most), quiet[0].limit, what)
    console.print(table)


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
