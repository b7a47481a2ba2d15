"""`./bazelw run //batch:monitor`: a model at work, against the labels that have arrived since."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console

from batch_proc import monitor_history
from batch_proc.errors import SHOWN
from batch_proc.measures import Measure, to_json, write_whole
from batch_proc.monitor_alerts import AlertError, judge, print_verdicts
from batch_proc.monitor_days import Window
from batch_proc.monitor_features import Payments, fetch_payments
from batch_proc.monitor_measures import Measured, at_work, measure
from batch_proc.monitor_options import MonitorOptions, parse_monitor_options
from batch_proc.monitor_report import TREND_DAYS, Monitoring, Watched, monitor_page
from batch_proc.monitor_scores import Wanted, fetch_labels, fetch_scores
from batch_proc.progress import Stages
from batch_proc.report.words import counted
from data_connector import ModelStore
from data_connector.command import UsageError, fraud_home, run
from data_connector.locations import parse
from fraud_ml.artifact import Artifact, load_artifact
from fraud_ml.feature_spec import FeatureSpec


def monitor(options: MonitorOptions, home: Path, stages: Stages) -> Monitoring:
    """What was found, of which the measures of each day are in the history now.

    Raises:
        ConnectorError: a source cannot be read, or the history not be written.
        DataError: a source does not hold what it should.
        UsageError: an option names a feature or column that there is not.
    """
    window = Window(
        as_of=options.as_of,
        n_days=options.days,
        label_delay=dt.timedelta(days=options.delay_days),
    )
    scores, labels = _fetch(options, window, stages)
    versions = sorted(scores["version"].unique().to_pylist())
    store = ModelStore(options.models or home / "models")
    artifacts = {
        version: load_artifact(store.get(options.model, version).path) for version in versions
    }
    _check_ignored(options, artifacts.values())
    payments = _payments(options, labels, artifacts.values(), stages)
    watched, days = [], []
    with stages.stage("measure", "measure"):
        for version, artifact in artifacts.items():
            rows = scores.filter(pc.equal(scores["version"], version))
            work = at_work(version, rows, labels, window, payments.get(artifact.spec.hash))
            found = measure(work, artifact, window, cards_a_day=options.cards_a_day)
            verdicts = judge(
                found, artifact.metrics, options.thresholds, cards_a_day=options.cards_a_day
            )
            watched.append(Watched(measures=found, trained=artifact.metrics, verdicts=verdicts))
            days += [(version, of_day) for of_day in found.days]
    return Monitoring(
        model=options.model,
        window=window,
        versions=watched,
        history=_kept(options, home, window, days, stages),
        thresholds=options.thresholds,
        cards_a_day=options.cards_a_day,
        lineage=_lineage(options, artifacts),
    )


def _fetch(options: MonitorOptions, window: Window, stages: Stages) -> tuple[pa.Table, pa.Table]:
    """The scores of the watched days, and all labels."""
    with stages.stage("fetch", "fetch scores and labels") as stage:
        scores = fetch_scores(
            Wanted(
                source=options.scores,
                table=options.scores_table,
                model=options.model,
                version=options.version,
                start=window.start,
                end=window.end,
            )
        )
        labels = fetch_labels(options.labels, options.labels_table)
        stage.say(f"{scores.num_rows:,} scores, {labels.num_rows:,} labels")
    return scores, labels


def _check_ignored(options: MonitorOptions, artifacts: Collection[Artifact]) -> None:
    """A name that is no feature's would ignore nothing, unnoticed."""
    known = {name for artifact in artifacts for name in artifact.spec.names}
    for name in options.thresholds.drift_ignored:
        if name not in known:
            raise UsageError(
                f"--thresholds: drift_ignored names {name!r}, which is no feature of the model;"
                f" there are {', '.join(sorted(known))}"
            )


def _payments(
    options: MonitorOptions, labels: pa.Table, artifacts: Collection[Artifact], stages: Stages
) -> dict[str, Payments]:
    """Payments and features by the hash of their spec; none without transactions."""
    specs: dict[str, FeatureSpec] = {}
    if options.transactions is not None:
        specs = {artifact.spec.hash: artifact.spec for artifact in artifacts}
    found = {}
    for key, spec in specs.items():
        with stages.stage("features", "compute features") as stage:
            found[key] = fetch_payments(options, spec, labels)
            stage.say(f"{len(spec.names)} of {len(found[key].features):,} transactions")
    return found


def _kept(
    options: MonitorOptions,
    home: Path,
    window: Window,
    days: Sequence[tuple[int, Measured]],
    stages: Stages,
) -> pa.Table:
    """Writes what was measured into the history; returns its last days."""
    url = options.history or monitor_history.usual_history(home)
    with stages.stage("history", "keep the history") as stage:
        if options.history is None:
            home.mkdir(parents=True, exist_ok=True)
        n_rows = monitor_history.keep(url, options.model, days)
        stage.say(f"{n_rows:,} measures")
        since = window.end - dt.timedelta(days=TREND_DAYS)
        return monitor_history.read(url, options.model, since=since, until=window.end)


def _lineage(options: MonitorOptions, artifacts: dict[int, Artifact]) -> dict[str, str]:
    """Where the numbers come from; URLs without their secrets."""
    found = {"as_of": options.as_of.isoformat(), "scores": str(parse(options.scores))}
    found["labels"] = str(parse(options.labels))
    if options.transactions is not None:
        found["transactions"] = str(parse(options.transactions))
    for version, artifact in artifacts.items():
        for name, value in artifact.lineage.items():
            found[f"version {version}: {name}"] = value
    return found


def to_measures(found: Monitoring) -> list[Measure]:
    """The numbers of a run: for each version what was judged, and how much is open."""
    measures = []
    for each in found.versions:
        prefix = f"v{each.measures.version}:"
        measures += [
            Measure(f"{prefix}{it.name}", it.value, "", f"{it.state}: {it.meaning}")
            for it in each.verdicts
            if it.value is not None
        ]
        counts = {
            "payments": each.measures.n_closed,
            "labelled_payments": len(each.measures.closed),
            "frauds": int(each.measures.closed.is_fraud.sum()),
            "open_payments": each.measures.n_open,
        }
        measures += [Measure(f"{prefix}{name}", n, "transactions") for name, n in counts.items()]
        measures.append(Measure(f"{prefix}open_days", each.measures.open_days, "days"))
        for name, state in (("alerts", "alert"), ("watches", "watch")):
            number = sum(it.state == state for it in each.verdicts)
            measures.append(Measure(f"{prefix}{name}", number, ""))
    return measures


def main() -> None:
    """Watches as the command line says, and tells what is to be told."""
    options = parse_monitor_options()
    home = fraud_home()
    stages = Stages()
    found = monitor(options, home, stages)
    with stages.stage("report", "draw the report"):
        text = monitor_page(found, stages.seconds)
    stages.stop()
    console = Console()
    for each in found.versions:
        print_verdicts(f"{found.model} version {each.measures.version}", each.verdicts, console)
    _say_open(found)
    report = options.report or home / "reports" / f"monitor-{found.model}-{found.window.end}.html"
    report.parent.mkdir(parents=True, exist_ok=True)
    write_whole(report, text)
    sys.stdout.write(f"report: {report}\n")
    if options.json_path:
        write_whole(options.json_path, f"{to_json(to_measures(found))}\n")
    if options.fail_on_alert:
        _fail_on_alert(found)


def _say_open(found: Monitoring) -> None:
    sys.stdout.write(f"quality: of {found.window.closed}; drift: of {found.window.newest}\n")
    for each in found.versions:
        measures = each.measures
        sys.stdout.write(
            f"version {measures.version}: {len(measures.closed):,} labelled of"
            f" {measures.n_closed:,} payments on closed days; open: {measures.open_days} days,"
            f" {measures.n_open:,} payments\n"
        )


def _fail_on_alert(found: Monitoring) -> None:
    names = [
        f"{it.name} {it.value:.3f} (version {each.measures.version}, fine is {it.limit})"
        for each in found.versions
        for it in each.verdicts
        if it.state == "alert"
    ]
    if names:
        raise AlertError(f"{counted(len(names), 'alert')}: {'; '.join(names)}")


def command() -> int:
    """The exit code of :func:`main`; its errors are told."""
    return run(main, shown=(*SHOWN, AlertError))


if __name__ == "__main__":
    sys.exit(command())
