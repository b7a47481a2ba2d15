"""What a command that trains works on: the history that its options name, and the days."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

from batch_proc.data_options import DataOptions
from batch_proc.fold import Days
from batch_proc.history import History, fetch_history, simulate_into
from batch_proc.progress import Stages
from fraud_ml.scenario import Scenario

SIMULATED_TRAIN_START = dt.date(2018, 7, 25)  # the first test fold of the handbook


def read_history(options: DataOptions, home: Path, stages: Stages) -> History:
    """The history of the source that the options name; without one, simulated once in `home`.

    Raises:
        ConnectorError: the source cannot be read, or the simulation not be written.
        DataError: the source does not hold transactions and labels.
    """
    source = source_of(options, home, stages)
    with stages.stage("fetch", "fetch transactions") as stage:
        history = fetch_history(
            source,
            table=options.table,
            names=options.column_names,
            spec=options.spec,
            label_delay=dt.timedelta(days=options.delay_days),
        )
        stage.say(f"{history.transactions.num_rows:,} rows")
    return history


def source_of(options: DataOptions, home: Path, stages: Stages) -> str:
    """Where the transactions are: what the options name, or a simulation, made once in `home`.

    Raises:
        ConnectorError: the simulation cannot be written.
    """
    if options.source is not None:
        return options.source
    database = home / "transactions.db"
    if not database.exists():
        with stages.stage("simulate", "simulate transactions") as stage:
            simulate_into(database, Scenario())
            stage.say(str(database))
    return f"sqlite:///{database}"


def choose_days(options: DataOptions, last: Callable[[], dt.date]) -> Days:
    """The days that the options name, or the latest ones for which there is history.

    Args:
        options: of the command.
        last: finds the last day of the history, if need be.
    """
    start = options.train_start
    if start is None and options.source is None:
        start = SIMULATED_TRAIN_START
    lengths = {"train": options.train_days, "delay": options.delay_days, "test": options.test_days}
    return Days(train_start=start, **lengths) if start else Days.latest(last(), **lengths)
