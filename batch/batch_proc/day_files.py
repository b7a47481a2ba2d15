"""The output as a folder of days: written whole beside it, then moved in day by day."""

from __future__ import annotations

import datetime as dt
import filecmp
import itertools
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark import TaskContext
from pyspark.sql import DataFrame
from pyspark.sql import functions as sf

from batch_proc.bucket_rows import Layout
from batch_proc.bucket_task import DECISION, SCORE, told
from batch_proc.run_ledger import Step
from batch_proc.scoring import DECISIONS
from batch_proc.whole_files import ROW_GROUP, parquet_writer, whole_file
from data_connector.atomic import sync_folder, write_errors
from fraud_ml.errors import DataError

FILE, SUCCESS = "scores.parquet", "_SUCCESS"
_EPOCH = dt.date(1970, 1, 1)


def output_schema(ids: pa.DataType, customers: pa.DataType) -> pa.Schema:
    """The columns of the output, of which only ``decision`` and ``model_version`` may be null."""
    text, time = pa.string(), pa.timestamp("us", tz="UTC")
    columns = {
        "transaction_id": ids,
        "timestamp": time,
        "customer_id": customers,
        "amount": pa.float64(),
        SCORE: pa.float32(),
        DECISION: text,
        "model": text,
        "model_version": pa.int32(),
    }
    optional = (DECISION, "model_version")
    return pa.schema([pa.field(it, kind, it in optional) for it, kind in columns.items()])


def group_days(rows: Mapping[dt.date, int], *, target: int) -> list[tuple[dt.date, ...]]:
    """Days in groups of consecutive ones, each of about ``target`` rows, or of one day with more.

    Args:
        rows: how many each day has.
        target: rows of a group.
    """
    groups: list[tuple[dt.date, ...]] = []
    there = 0
    for day in sorted(rows):
        if not groups or there + rows[day] > target:
            groups.append(())
            there = 0
        groups[-1] = (*groups[-1], day)
        there += rows[day]
    return groups


def grouped_by_day(
    rows: DataFrame, layout: Layout, groups: Sequence[Sequence[dt.date]]
) -> DataFrame:
    """``rows`` with the number of their day's group in the column ``bucket``.

    Those of days in no group are left out.
    """
    number = {day: at for at, group in enumerate(groups) for day in group}
    first = min(number)
    numbers = [
        number.get(first + dt.timedelta(days=it), -1)
        for it in range((max(number) - first).days + 1)
    ]
    day = sf.datediff(sf.to_date(layout.column["timestamp"]), sf.lit(first))
    there = rows.where((day >= 0) & (day < len(numbers)))
    of_day = sf.element_at(sf.lit(np.array(numbers, dtype=np.int32)), day + 1)
    return there.withColumn("bucket", of_day).where(sf.col("bucket") >= 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class DayTask:
    """Writes the files of a group of days, whose rows come sorted, a batch at a time."""

    layout: Layout
    step: Step
    groups: tuple[int, ...]
    """The number of the group in each of Spark's partitions."""
    folder: Path
    """Where the days go."""
    model_name: str
    model_version: int | None
    checksum: str
    """Of the model, for the files' metadata."""

    def run(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Does it, and says how it went, as a bucket's task does."""
        context = TaskContext.get()
        assert context is not None  # noqa: S101 - only Spark calls this
        group = self.groups[context.partitionId()]
        yield from told(self.step, group, lambda: self.work(group, iter(batches)))

    def work(self, group: int, batches: Iterator[pa.RecordBatch]) -> None:
        """Writes the files of a group's days, and the record that says so."""
        done = {}
        in_days = _by_day(batches, self.layout.column["timestamp"])
        for day, parts in itertools.groupby(in_days, key=itemgetter(0)):
            tables = (self._output(part) for _, part in parts)
            done[day.isoformat()] = self._write(day_folder(self.folder, day) / FILE, tables)
        self.step.finish(group, {"rows": sum(done.values()), "days": done})

    def _write(self, path: Path, tables: Iterator[pa.Table]) -> int:
        """How many rows were written."""
        first = next(tables)
        with write_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        rows = 0
        with parquet_writer(path, first.schema) as writer:
            for group in _row_groups(itertools.chain([first], tables)):
                writer.write_table(group, row_group_size=ROW_GROUP)
                rows += group.num_rows
        return rows

    def _output(self, batch: pa.RecordBatch) -> pa.Table:
        names = ("transaction_id", "timestamp", "customer_id", "amount")
        columns = {name: batch.column(self.layout.column[name]) for name in names}
        columns[SCORE] = batch.column(SCORE)
        words = pa.array([DECISIONS[number] for number in sorted(DECISIONS)])
        decision = batch.column(DECISION)
        decided = pc.if_else(pc.less(decision, 0), pa.scalar(None, decision.type), decision)
        columns[DECISION] = words.take(decided.cast(pa.int32()))
        columns["model"] = pa.repeat(self.model_name, batch.num_rows)
        version = pa.scalar(self.model_version, pa.int32())
        columns["model_version"] = pa.repeat(version, batch.num_rows)
        schema = output_schema(columns["transaction_id"].type, columns["customer_id"].type)
        table = pa.table(columns, schema=schema)
        return table.replace_schema_metadata({"fraud-detect.model.sha256": self.checksum})


def day_folder(output: Path, day: dt.date) -> Path:
    """Where a day's file lies: readers of Hive's partitions find it."""
    return output / f"day={day.isoformat()}"


def check_output(output: Path) -> None:
    """Raises :class:`DataError` where ``output`` is there, and is not what we wrote."""
    if not output.exists():
        return
    if not output.is_dir():
        raise DataError(f"--output {output} is a file: name a folder, or a database's URL")
    for path in output.iterdir():
        ours = path.name == SUCCESS or (
            path.name.startswith("day=") and {it.name for it in path.iterdir()} <= {FILE}
        )
        if not ours and not path.name.startswith("."):
            raise DataError(
                f"--output {output} holds {path.name!r}, which is no output of this command:"
                " name another folder, or an empty one"
            )


def publish(new: Path, output: Path) -> int:
    """Moves all days in ``new`` into ``output``; how many of them are new or changed.

    A new output appears at once. In one that is there each day is replaced at once and the mark
    of success is set last; other days stay. What would not change is not touched.

    Args:
        new: the folder with the days, whole, on the disk of ``output``; without it all is done.
        output: the folder to appear.

    Raises:
        WriteError: it cannot be written.
    """
    if not new.is_dir():
        return 0
    days = sorted(path.name for path in new.iterdir() if path.name != SUCCESS)
    with write_errors(output):
        if not output.exists() or not any(output.iterdir()):
            (new / SUCCESS).touch()
            output.parent.mkdir(parents=True, exist_ok=True)
            new.rename(output)
            sync_folder(output.parent)
            return len(days)
        changed = [day for day in days if not _same(new / day / FILE, output / day / FILE)]
        mark = output / SUCCESS
        if changed:
            mark.unlink(missing_ok=True)
        for day in changed:
            (output / day).mkdir(exist_ok=True)
            with whole_file(output / day / FILE) as aside:
                _copy(new / day / FILE, aside)
        if not mark.exists():
            mark.touch()
        sync_folder(output)
    return len(changed)


def _copy(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:  # not all disks can
        shutil.copyfile(source, target)


def _same(one: Path, other: Path) -> bool:
    return other.exists() and filecmp.cmp(one, other, shallow=False)


def _by_day(
    batches: Iterable[pa.RecordBatch], column: str
) -> Iterator[tuple[dt.date, pa.RecordBatch]]:
    """The rows of ``batches``, which are sorted by time, cut where a day ends."""
    for batch in batches:
        days = batch.column(column).cast(pa.date32()).cast(pa.int32()).to_numpy()
        cuts = [0, *(np.flatnonzero(np.diff(days)) + 1).tolist(), batch.num_rows]
        for start, stop in itertools.pairwise(cuts):
            if start < stop:
                day = _EPOCH + dt.timedelta(days=int(days[start]))
                yield day, batch.slice(start, stop - start)


def _row_groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The rows of ``tables``, so many at once that the bytes do not depend on the batches."""
    held: list[pa.Table] = []
    for table in tables:
        held.append(table)
        if sum(it.num_rows for it in held) >= ROW_GROUP:
            whole = pa.concat_tables(held).combine_chunks()
            full = whole.num_rows // ROW_GROUP * ROW_GROUP
            for start in range(0, full, ROW_GROUP):
                yield whole.slice(start, ROW_GROUP)
            held = [whole.slice(full)]
    rest = pa.concat_tables(held).combine_chunks()
    if rest.num_rows:
        yield rest


def sorted_days(folder: Path) -> list[Path]:
    """The files of the days in ``folder``, in order."""
    return sorted(folder.glob(f"day=*/{FILE}"))
