"""`./bazelw run //batch:backfill`: the state of features from history, or new labels.

A rebuilt state is what a service would have that had lived through the history: it takes the place
of the stored one at one moment, and the journal of the running service goes on from there.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from contextlib import closing
from pathlib import Path

from rich.console import Console

from batch_proc.backfill_options import BackfillOptions, LabelOptions, parse_backfill_options
from batch_proc.backfill_sources import put_down
from batch_proc.backfill_work import Plan, Progress, Work, only_one
from batch_proc.errors import SHOWN, BackfillError
from batch_proc.live_journal import HOLD, LiveJournal
from batch_proc.measures import Measure, print_table, to_json, write_whole
from batch_proc.new_labels import NewLabels
from batch_proc.progress import Stages
from batch_proc.rebuild import Rebuild, swap_in
from data_connector import SnapshotStore
from data_connector.command import UsageError, fraud_home, run
from fraud_ml.feature_state import FeatureState
from fraud_ml.replica import Replica, name_of_snapshots


def backfill(options: BackfillOptions, home: Path, stages: Stages) -> list[Measure]:
    """Rebuilds a state and swaps it in; the numbers of the run.

    What is stored stays as it is until the new state is whole.

    Raises:
        BackfillError: it cannot be rebuilt as things are.
        ConnectorError: a source or a store cannot be used.
        DataError: what the history holds does not suffice.
        UsageError: there is another run to resume.
    """
    name = name_of_snapshots(options.spec)
    work = Work(home / "backfill" / name)
    with (
        only_one(home / "backfill" / f"{name}.lock"),
        LiveJournal(options.feature_store, options.spec) as live,
        closing(SnapshotStore(options.feature_store, name=name)) as store,
    ):
        plan, progress = _begun(options, work, live, stages)
        before = progress.counts.from_history
        with stages.stage("rebuild", "count the history") as stage:

            def on_progress(progress: Progress) -> None:
                stage.advance(progress.counts.from_history, plan.transactions)

            rebuild = Rebuild(work, progress, live)
            rebuild.run(save_every=options.save_every, on_progress=on_progress)
            stage.say(f"{progress.counts.from_history:,} transactions")
        with stages.stage("store", "swap the state in"):
            size = swap_in(progress.replica, store, live)
        work.remove()
        rate = (progress.counts.from_history - before) / max(stages.seconds["rebuild"], 1e-9)
        return [
            *_measures(plan, progress, live, size),
            *(Measure(f"{name}_seconds", taken, "s") for name, taken in stages.seconds.items()),
            Measure("rows_per_second", rate, "1/s", "transactions counted by this run"),
        ]


def _begun(
    options: BackfillOptions, work: Work, live: LiveJournal, stages: Stages
) -> tuple[Plan, Progress]:
    """The history, put down, and how far it is counted: nothing of it, or what a run before did."""
    spec, given = options.spec, _fingerprint(options)
    plan = work.plan() if options.resume else None
    if plan is not None:
        if plan.options != given:
            raise UsageError(
                f"--resume: the run in {work.folder} had other options; give the same, or leave"
                " --resume out to start anew"
            )
        progress = work.progress(spec) or _nothing(options, plan.start)
        live.resume(plan.start, progress.replica.position)
        return plan, progress
    work.clear()
    live.begin()
    until = int(time.time() * 1e6) if options.until is None else options.until
    with stages.stage("read", "read the history") as stage:

        def on_rows(rows: int) -> None:
            stage.say(f"{rows:,} rows")
            live.refresh()

        read = put_down(options, spec, until, work, on_rows)
        stage.say(f"{read.transactions:,} transactions, {read.labels:,} labels")
    live.check_types(read.schema)
    plan = Plan(
        options=given,
        until=until,
        start=live.start,
        transactions=read.transactions,
        labels=read.labels,
    )
    work.settle(plan)
    return plan, _nothing(options, plan.start)


def _nothing(options: BackfillOptions, start: int) -> Progress:
    return Progress(replica=Replica(FeatureState(options.spec), start))


def _fingerprint(options: BackfillOptions) -> str:
    """Of the options that change the state; it shows nothing of what a URL may hold."""
    which = (
        *(options.transactions, options.table, sorted(options.column_names.items())),
        *(options.labels, options.labels_table, options.label_delay.days),
        *(options.spec.hash, options.until, options.feature_store),
    )
    return hashlib.blake2b(json.dumps(which).encode(), digest_size=16).hexdigest()


def _measures(plan: Plan, progress: Progress, live: LiveJournal, size: int) -> list[Measure]:
    counts, replica = progress.counts, progress.replica
    keys = [
        Measure(f"keys_{name}", n, "keys", "values that the state knows")
        for name, n in replica.state.n_keys.items()
    ]
    return [
        Measure("history", plan.transactions, "transactions", "in the history"),
        Measure("counted", counts.from_history, "transactions", "of them from the history,"),
        Measure("journal", counts.from_journal, "transactions", "and from the journal"),
        Measure("lost", len(live.lacking), "transactions", "in the journal only, lacking columns"),
        Measure("labels", counts.labels, "labels", "in the history"),
        Measure("labels_of_use", counts.labels_of_use, "labels", "of transactions in windows"),
        *keys,
        Measure("position", replica.position, "entries", "of the journal are in the state"),
        Measure("state", size, "bytes", "stored"),
    ]


def _rebuild(options: BackfillOptions, home: Path) -> None:
    stages = Stages()
    try:
        measures = backfill(options, home, stages)
    except KeyboardInterrupt:
        raise BackfillError(
            "interrupted; nothing was stored. The same command with --resume goes on"
        ) from None
    finally:
        stages.stop()
    print_table(f"the state of the features of {options.of}", measures, Console())
    sys.stdout.write(
        "What serves takes it up when it starts: deploy the version"
        f" (the journal is kept for it for {HOLD / 3600:g} h), or start the service again.\n"
    )
    if options.json_path:
        write_whole(options.json_path, f"{to_json(measures)}\n")


def _tell(options: LabelOptions, home: Path) -> None:
    told = NewLabels(options, home / "backfill").tell()
    sys.stdout.write(f"{told:,} new labels told\n")


def main() -> None:
    """Does what the command line says."""
    home = fraud_home()
    options = parse_backfill_options(home)
    if isinstance(options, LabelOptions):
        _tell(options, home)
    else:
        _rebuild(options, home)


def command() -> int:
    """The exit code of :func:`main`; its errors are told."""
    return run(main, shown=SHOWN)


if __name__ == "__main__":
    sys.exit(command())
