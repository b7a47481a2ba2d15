"""A simulated scenario as a folder of Parquet files, written day by day in bounded memory."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from batch_proc.whole_files import ROW_GROUP, parquet_writer, write_parquet
from data_connector.atomic import sync_folder, write_errors
from data_connector.errors import TargetExistsError
from fraud_ml.scenario import Scenario
from fraud_ml.scenario_toml import scenario_to_toml
from fraud_ml.simulator import Day, Decide, SimulatedWorld

TRANSACTIONS, SCENARIO = "transactions.parquet", "scenario.toml"
TRUTH, CUSTOMERS, EPISODES = "truth.parquet", "truth_customers.parquet", "truth_episodes.parquet"


@dataclass(frozen=True, slots=True)
class Written:
    """What :func:`write_scenario` wrote."""

    n_rows: int
    frauds: dict[str, int]
    """Transactions of each name in the truth, ``honest`` included."""


def write_scenario(
    scenario: Scenario,
    folder: Path,
    *,
    decide: Decide | None = None,
    on_day: Callable[[int, int], None] = lambda _day, _n_rows: None,
) -> Written:
    """Simulates a scenario into a new folder, which appears whole or not at all.

    ======================== =============================================================
    transactions.parquet     transactions and labels: what a model may see, in due time
    truth.parquet            row by row the same: which fraud it was, and of which episode
    truth_customers.parquet  what the customers' payments were drawn with
    truth_episodes.parquet   when, where and by whom frauds were committed
    scenario.toml            the scenario, all settings given
    ======================== =============================================================

    The same scenario gives the same files. A row group holds whole days, of which one larger than
    a group fills several. Memory is that of the people, a day, and a group.

    Args:
        scenario: what to simulate.
        folder: must not be there; the one above it must.
        decide: the policy, as of :meth:`~fraud_ml.simulator.SimulatedWorld.days`.
        on_day: called after each day with its number, 0 first, and the rows so far.

    Raises:
        TargetExistsError: ``folder`` is there.
        ValueError: no customer has a terminal in reach.
        WriteError: the operating system refused.
    """
    with _whole_folder(folder) as aside:
        world = SimulatedWorld(scenario)
        found: Counter[str] = Counter()
        n_rows = 0
        with ExitStack() as stack:
            outputs = {name: _Output(aside / name, stack) for name in (TRANSACTIONS, TRUTH)}
            for number, day in enumerate(world.days(decide)):
                outputs[TRANSACTIONS].add(_with_labels(day))
                outputs[TRUTH].add(day.truth)
                n_rows += day.truth.num_rows
                counted = day.truth["fraud"].combine_chunks().value_counts()
                found.update({it["values"].as_py(): it["counts"].as_py() for it in counted})
                on_day(number, n_rows)
            for output in outputs.values():
                output.flush()
        write_parquet(aside / CUSTOMERS, world.customers)
        write_parquet(aside / EPISODES, world.episodes())
        (aside / SCENARIO).write_text(scenario_to_toml(scenario), encoding="utf-8")
    return Written(n_rows, {name: found[name] for name in scenario.names})


def _with_labels(day: Day) -> pa.Table:
    table = day.transactions
    for name in ("is_fraud", "labelled_at"):
        table = table.append_column(day.labels.schema.field(name), day.labels[name])
    return table


class _Output:
    """A Parquet file that is opened with its first table, and written in row groups."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self._path, self._stack = path, stack
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []

    def add(self, table: pa.Table) -> None:
        if sum(it.num_rows for it in self._waiting) + table.num_rows > ROW_GROUP:
            self.flush()
        self._waiting.append(table)

    def flush(self) -> None:
        if self._waiting:
            if self._writer is None:
                opened = parquet_writer(self._path, self._waiting[0].schema)
                self._writer = self._stack.enter_context(opened)
            self._writer.write_table(pa.concat_tables(self._waiting), row_group_size=ROW_GROUP)
            self._waiting = []


@contextmanager
def _whole_folder(folder: Path) -> Iterator[Path]:
    """A folder beside ``folder`` to write in, which takes its name when the block ends."""
    if os.path.lexists(folder):
        raise TargetExistsError(f"{folder} is there already: name another folder, or remove it")
    aside = folder.with_name(f".{folder.name}.{uuid4().hex}.partial")
    with write_errors(folder):
        aside.mkdir()
    try:
        with write_errors(folder):
            yield aside
            aside.rename(folder)  # fails where something lies there by now, but an empty folder
            sync_folder(folder.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
