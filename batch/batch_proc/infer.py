"""`./bazelw run //batch:infer`: from a history of transactions to scores and decisions of all."""

from __future__ import annotations

import hashlib
import importlib.metadata
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from batch_proc.column_names import read_column_names
from batch_proc.day_files import check_output, publish
from batch_proc.errors import SHOWN, ResumeError
from batch_proc.infer_facts import Facts, facts_of, inference_of
from batch_proc.infer_input import Input, Sources, find_input
from batch_proc.infer_model import ChosenModel, choose_model
from batch_proc.infer_options import InferOptions, parse_infer_options
from batch_proc.infer_output import upsert_days
from batch_proc.infer_report import infer_page
from batch_proc.infer_stages import Done, run_stages
from batch_proc.infer_summary import summary, warnings
from batch_proc.key_run import Work
from batch_proc.measures import Measure, print_table, to_json, write_whole
from batch_proc.progress import Stages
from batch_proc.run_ledger import RunFolder, run_folder
from batch_proc.source_files import is_local, path_of
from batch_proc.spark_session import spark_session
from data_connector import ModelStore
from data_connector.command import fraud_home, run
from data_connector.locations import parse
from fraud_ml.errors import DataError

FORMAT = 2
"""Of what a run leaves for the next to go on from."""
_WRITERS = ("numpy", "pyarrow", "pyspark", "torch")


@dataclass(frozen=True, slots=True)
class Inferred:
    """What a run did."""

    model: ChosenModel
    output: str
    measures: list[Measure]
    warnings: list[str]
    facts: Facts
    """For the report."""


def infer(options: InferOptions, home: Path, stages: Stages) -> Inferred:
    """Scores a history: all of it is in the output, or an error is raised.

    Raises:
        ConnectorError: the input cannot be read, or the output not be written.
        DataError: the input is no history that the model can score.
        ResumeError: another run is to be resumed than the one that was begun.
        SparkError: Spark does not run, or failed.
    """
    with stages.stage("model", "load the model") as stage:
        model = choose_model(options.model, ModelStore(home / "models"))
        stage.say(str(model))
    with stages.stage("look", "look at the input") as stage:
        spec = model.artifact.spec
        names = read_column_names(options.columns, spec) if options.columns else {}
        source = find_input(_sources(options), spec, names)
        if is_local(options.output):
            check_output(path_of(options.output))
        stage.say(str(parse(options.input)))
    work_folder = _work_folder(options, home)
    with run_folder(work_folder, resume=options.resume) as folder, _discarded_if_bad(folder):
        done = _run(options, source, model, folder, stages)
        with stages.stage("publish", "publish") as stage:
            if is_local(options.output):
                days = publish(done.days, path_of(options.output))
                stage.say(f"{days} days new or changed")
            else:
                rows = upsert_days(done.days, options.output, table=options.output_table)
                stage.say(f"{rows:,} rows")
        facts = facts_of(done, source.layout)
        folder.remove()
    stages.stop()
    measures = summary(done, stages.seconds)
    said = warnings(done, source, options)
    return Inferred(model, str(parse(options.output)), measures, said, facts)


def _sources(options: InferOptions) -> Sources:
    return Sources(
        transactions=options.input,
        table=options.table,
        labels=options.labels,
        labels_table=options.labels_table,
        delay_days=options.delay_days,
    )


def _run(
    options: InferOptions, source: Input, model: ChosenModel, folder: RunFolder, stages: Stages
) -> Done:
    """All stages of a run, without what is done already."""
    ledger = folder.begin(_fingerprint(options, source, model))
    if not source.is_here:
        with stages.stage("fetch", "fetch transactions") as stage:
            source = source.here(ledger.folder, lambda rows, _: stage.say(f"{rows:,} rows"))
    with ExitStack() as ending:
        with stages.stage("spark", "start Spark"):
            started = spark_session(folder.path / "spark", master=options.master)
            session = ending.enter_context(started)
        work = Work(
            session=session,
            ledger=ledger,
            source=source,
            since=options.since,
            until=options.until,
            bucket_rows=options.bucket_rows,
        )
        return run_stages(work, model, stages)


def _fingerprint(options: InferOptions, source: Input, model: ChosenModel) -> dict[str, Any]:
    """What decides over the bytes of the output and of what a run leaves in between."""
    return {
        "format": FORMAT,
        **source.fingerprint,
        "columns": dict(source.transactions.columns),
        "model": [model.name, model.version, model.packed.checksum],
        "spec": model.artifact.spec.hash,
        "options": {
            "output": str(parse(options.output)),
            "delay_days": options.delay_days,
            "since": str(options.since),
            "until": str(options.until),
            "bucket_rows": options.bucket_rows,
        },
        "packages": {name: importlib.metadata.version(name) for name in _WRITERS},
    }


def _work_folder(options: InferOptions, home: Path) -> Path:
    """Where the run works: on the output's disk, so that days can be moved there."""
    if options.work is not None:
        return options.work.absolute()
    if is_local(options.output):
        output = path_of(options.output)
        return output.with_name(f".{output.name}.work")
    name = hashlib.sha256(f"{parse(options.output)} {options.output_table}".encode()).hexdigest()
    return home / "work" / f"infer-{name[:16]}"


@contextmanager
def _discarded_if_bad(folder: RunFolder) -> Iterator[None]:
    """Discards a run whose input is bad: what comes after is another run."""
    try:
        yield
    except ResumeError:
        raise
    except DataError:
        folder.remove()
        raise
    except BaseException:
        sys.stderr.write(f"what is done is kept in {folder.path}: go on with --resume\n")
        raise


def _page(options: InferOptions, done: Inferred, seconds: Mapping[str, float]) -> str:
    lineage = {
        "model": str(done.model),
        "checksum of the model": done.model.packed.checksum,
        "transactions": str(parse(options.input)),
        "scores": done.output,
    }
    run = inference_of(done.facts, done.model, lineage)
    return infer_page(f"scores of {done.model}", run, done.measures, seconds)


def main() -> None:
    """Scores as the command line says, and shows the numbers."""
    options = parse_infer_options()
    stages = Stages()
    home = fraud_home()
    done = infer(options, home, stages)
    with stages.stage("report", "draw the report"):
        text = _page(options, done, stages.seconds)
    stages.stop()
    # Shown first: a file that cannot be written must not cost the numbers.
    print_table(f"scores of {done.model}", done.measures, Console())
    for warning in done.warnings:
        sys.stdout.write(f"warning: {warning}\n")
    sys.stdout.write(f"output: {done.output}\n")
    version = "" if done.model.version is None else f"-{done.model.version}"
    last_day = done.facts.days[-1].day
    report = home / "reports" / f"scores-{done.model.name}{version}-{last_day}.html"
    report.parent.mkdir(parents=True, exist_ok=True)
    write_whole(report, text)
    sys.stdout.write(f"report: {report}\n")
    if options.json_path:
        write_whole(options.json_path, f"{to_json(done.measures)}\n")


def command() -> int:
    """The exit code of :func:`main`; its errors are told."""
    return run(main, shown=SHOWN)


if __name__ == "__main__":
    sys.exit(command())
