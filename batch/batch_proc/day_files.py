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
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from batch_proc.bucket_rows import Layout
from batch_proc.pieces import Ints, read_piece
from batch_proc.read_task import DAY
from batch_proc.report.measured import count_scores
from batch_proc.run_ledger import Step
from batch_proc.score_rows import DECISION, SCORE
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


@dataclass(frozen=True, kw_only=True, slots=True)
class DayPieces:
    """Spans of time into which rows are divided: a group of days each, or a part of a large day."""

    time: str
    """The column."""
    starts: tuple[int, ...]
    """When each span starts, in microseconds, ascending."""
    groups: tuple[int, ...]
    """The group of each span."""

    @property
    def n_pieces(self) -> int:
        """How many spans there are."""
        return len(self.starts)

    def place(self, rows: pa.Table) -> tuple[Ints, Ints]:
        """All rows, and the span of each."""
        times = rows.column(self.time).cast(pa.int64()).to_numpy()
        spans = np.searchsorted(np.array(self.starts), times, side="right") - 1
        return np.arange(len(times)), spans


def day_pieces(
    groups: Sequence[Sequence[dt.date]], rows: Mapping[dt.date, int], *, time: str, target: int
) -> DayPieces:
    """The spans of days in groups: of a day with more than ``target`` rows several, equally long.

    Args:
        groups: of :func:`group_days`.
        rows: how many each day has.
        time: the column with the time.
        target: rows of a span.
    """
    starts: list[int] = []
    numbers: list[int] = []
    for number, days in enumerate(groups):
        parts = -(-rows[days[0]] // target) if len(days) == 1 else 1
        first = (days[0] - _EPOCH).days * DAY
        starts += [first + DAY * part // parts for part in range(parts)]
        numbers += [number] * parts
    return DayPieces(time=time, starts=tuple(starts), groups=tuple(numbers))


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoredRows:
    """What the last stage left."""

    files: tuple[Path, ...]
    pieces: DayPieces

    def of_group(self, layout: Layout, group: int) -> Iterator[pa.RecordBatch]:
        """The rows of a group of days, sorted by time and id, a span at a time."""
        for number, of in enumerate(self.pieces.groups):
            if of == group:
                rows = read_piece(self.files, number, self.pieces)
                if rows is not None:
                    yield from layout.in_order(rows).to_batches()


@dataclass(frozen=True, kw_only=True, slots=True)
class DayTask:
    """Writes the files of a group of days, whose rows come sorted, a batch at a time."""

    layout: Layout
    scored: ScoredRows
    step: Step
    folder: Path
    """Where the days go."""
    model_name: str
    model_version: int | None
    checksum: str
    """Of the model, for the files' metadata."""

    def work(self, group: int) -> None:
        """Does it."""
        self.write(group, self.scored.of_group(self.layout, group))

    def write(self, group: int, batches: Iterator[pa.RecordBatch]) -> None:
        """Writes the files of a group's days, and the record that says so."""
        tally = _Tally(self.layout.column["amount"])
        rows = 0
        in_days = _by_day(batches, self.layout.column["timestamp"])
        for day, parts in itertools.groupby(in_days, key=itemgetter(0)):
            tables = (self._output(tally.counted(day, part)) for _, part in parts)
            rows += self._write(day_folder(self.folder, day) / FILE, tables)
        self.step.finish(group, {"rows": rows, **tally.record()})

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


class _Tally:
    """Counts what passes, for the report."""

    def __init__(self, amount: str) -> None:
        self._amount = amount
        self._days: dict[str, dict[str, list[float]]] = {}
        self._scores = count_scores(np.empty(0))

    def counted(self, day: dt.date, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The same batch."""
        amounts, decisions = (batch.column(it).to_numpy() for it in (self._amount, DECISION))
        of_day = self._days.setdefault(day.isoformat(), {})
        for number in np.unique(decisions).tolist():
            there = decisions == number
            found = of_day.setdefault(DECISIONS.get(number, "none"), [0, 0.0])
            found[0] += int(there.sum())
            found[1] += float(amounts[there].sum())
        self._scores += count_scores(batch.column(SCORE).to_numpy())
        return batch

    def record(self) -> dict[str, Any]:
        """By day and decision the payments and their amount; the scores in their bins."""
        return {"days": self._days, "scores": self._scores.tolist()}


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
