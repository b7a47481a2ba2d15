"""The report of a monitoring run: one page about a model at work."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from batch_proc.monitor_alerts import Verdict, in_order
from batch_proc.monitor_days import Window
from batch_proc.monitor_measures import VersionMeasures
from batch_proc.monitor_thresholds import Thresholds
from batch_proc.report import charts
from batch_proc.report.charts import Series
from batch_proc.report.markup import Html
from batch_proc.report.measured import (
    calibration_points,
    count_scores,
    outcomes,
    precision_at,
    stopped_amounts,
)
from batch_proc.report.page import Section, badge, figure, page, section, side_by_side, table
from batch_proc.report.quality_sections import (
    calibration_section,
    card_precision_section,
    confusion_section,
    headline_section,
    precision_recall_section,
)
from batch_proc.report.run_sections import lineage_section, seconds_section
from batch_proc.report.score_sections import (
    amounts_section,
    decisions_section,
    drift_section,
    score_section,
)
from batch_proc.report.words import counted
from fraud_ml.policy import Decision

TREND_DAYS = 60
_STYLES = ("blue", "orange", "grey")


@dataclass(frozen=True, kw_only=True, slots=True)
class Watched:
    """One version, measured and judged."""

    measures: VersionMeasures
    trained: Mapping[str, float]
    """The metrics of the model's own test."""
    verdicts: Sequence[Verdict]


@dataclass(frozen=True, kw_only=True, slots=True)
class Monitoring:
    """What a run leaves to report on."""

    model: str
    window: Window
    versions: Sequence[Watched]
    history: pa.Table
    """Of :func:`batch_proc.monitor_history.read`."""
    thresholds: Thresholds
    cards_a_day: int
    lineage: Mapping[str, str]


def monitor_page(run: Monitoring, seconds: Mapping[str, float]) -> str:
    """The whole page, as HTML."""
    alerts = [it for each in run.versions for it in each.verdicts if it.state == "alert"]
    lead = (
        f"{counted(len(alerts), 'alert')} as of {run.window.as_of:%Y-%m-%d %H:%M} UTC."
        f" Quality is of {run.window.closed}, whose labels have had time to arrive; drift of"
        f" {run.window.newest}."
    )
    sections = [verdicts_section(run), *trend_sections(run)]
    for each in run.versions:
        sections += _of_version(run, each)
    sections += [lineage_section(run.lineage), seconds_section(seconds)]
    return page(f"{run.model} at work", lead, sections)


def verdicts_section(run: Monitoring) -> Section:
    """What was judged, alerts first, and how much is still open."""
    words, tables = [], []
    for each in run.versions:
        measures = each.measures
        words.append(
            f"Version {measures.version}: {len(measures.closed):,} of"
            f" {counted(measures.n_closed, 'payment')} on closed days"
            f" {'has' if len(measures.closed) == 1 else 'have'} a label;"
            f" {counted(measures.open_days, 'day')} with"
            f" {counted(measures.n_open, 'payment')} {'is' if measures.open_days == 1 else 'are'}"
            " still open."
        )
        rows = [
            [
                badge(it.state),
                it.name,
                "" if it.value is None else f"{it.value:.3f}",
                it.limit,
                it.meaning,
            ]
            for it in in_order(each.verdicts)
        ]
        caption = f"Version {measures.version}"
        head = ["state", "measure", "value", "fine is", "what it is"]
        tables.append(table(head, rows, caption=caption, text=len(head)))
    return section("Alerts", words, *tables)


def trend_sections(run: Monitoring) -> list[Section]:
    """Pictures of the days that the history holds."""
    cards = f"cp{run.cards_a_day}"
    pictures = [
        _trend(run, "ap", "average precision", ".2f"),
        _trend(run, cards, f"card precision at {run.cards_a_day}", ".2f"),
        _trend(run, "calibration_error", "calibration error", ".3f"),
        _trend(run, "psi:score", "drift of the score (index)", ".2f"),
    ]
    words = [
        f"Each day by itself, of the last {TREND_DAYS} that the history holds. Single days vary"
        " more than the whole that is judged.",
    ]
    shown = [picture for picture in pictures if picture]
    if not shown:
        words = ["The history holds no measures of these days yet."]
    return [section("Day by day", words, side_by_side(*shown))]


def _trend(run: Monitoring, name: str, label: str, form: str) -> Html:
    """A line a version; nothing where the history has none."""
    rows = run.history.filter(pc.equal(run.history["measure"], name)).to_pylist()
    if not rows:
        return Html("")
    first, last = min(row["day"] for row in rows), max(row["day"] for row in rows)
    days = [first + dt.timedelta(days=number) for number in range((last - first).days + 1)]
    versions = sorted({row["version"] for row in rows})[-len(_STYLES) :]
    series = []
    for version, style in zip(versions, _STYLES, strict=False):
        values = {row["day"]: row["value"] for row in rows if row["version"] == version}
        series.append(
            Series(name=f"v{version}", values=[values.get(day) for day in days], style=style)
        )
    title = f"{label[0].upper()}{label[1:]}"
    levels = _levels(run, name)
    picture = charts.daily(days, series, label, title=title, levels=levels, form=form)
    newest = max(rows, key=lambda row: (row["day"], row["version"]))
    said = f"{title}: {newest['value']:{form}} on {newest['day']}, version {newest['version']}."
    return figure(picture, said)


def _levels(run: Monitoring, name: str) -> list[tuple[float, str]]:
    """What to compare a trend with: the newest version's own test, or the limits of drift."""
    if name == "psi:score":
        return [(run.thresholds.psi_alert, "alert")]
    trained = max(run.versions, key=lambda it: it.measures.version).trained.get(name)
    return [] if trained is None else [(trained, f"in its test: {trained:.2f}")]


def _of_version(run: Monitoring, each: Watched) -> list[Section]:
    """The sections of one version, whose titles name it where there are several."""
    measures = each.measures
    sections = [*_quality_sections(run, measures), *_latest_sections(run, measures)]
    if len(run.versions) == 1:
        return sections
    return [replace(it, title=f"Version {measures.version}: {it.title}") for it in sections]


def _quality_sections(run: Monitoring, measures: VersionMeasures) -> list[Section]:
    closed, n_frauds = measures.closed, int(measures.closed.is_fraud.sum())
    found, decision = measures.quality, measures.decision
    n_days = len(np.unique(closed.day))
    judged = decision >= 0
    marks = []
    for least, name in ((Decision.DECLINE, "declined"), (Decision.REVIEW, "reviewed or declined")):
        if reached := precision_at(closed, decision >= least):
            marks.append((*reached, name))
    sections = [
        headline_section(
            found, k=run.cards_a_day if measures.knows_customers else None, n_days=n_days
        ),
        precision_recall_section(found, n_payments=len(closed), n_frauds=n_frauds, marks=marks),
    ]
    if measures.knows_customers:
        sections.append(card_precision_section(closed, k=run.cards_a_day))
    sections.append(calibration_section(calibration_points(closed.is_fraud, closed.score)))
    if judged.any() and measures.knows_amounts:
        part = closed.take(judged)
        flagged = float((decision > Decision.APPROVE).sum()) / n_days
        sections.append(
            confusion_section(
                outcomes(decision[judged], part), stopped=stopped_amounts(part), looked_at=flagged
            )
        )
    return sections


def _latest_sections(run: Monitoring, measures: VersionMeasures) -> list[Section]:
    sections = []
    if measures.decisions:
        sections.append(decisions_section(measures.decisions))
        if measures.knows_amounts:
            sections.append(amounts_section(measures.decisions))
    counts = {"payments": count_scores(measures.newest_scores).tolist()}
    sections.append(score_section(counts))
    drifts = [("Drift of the features", measures.feature_drift)]
    if measures.score_drift is not None:
        drifts.insert(0, ("Drift of the score", (measures.score_drift,)))
    sections += [
        drift_section(
            drifted,
            title=title,
            now=f"the payments of {run.window.newest}",
            watch=run.thresholds.psi_warn,
            alert=run.thresholds.psi_alert,
        )
        for title, drifted in drifts
        if drifted
    ]
    return sections
