"""What a Spark task tells of its part of a step, whose rows it has written to a file itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from batch_proc.run_ledger import Step
from data_connector.errors import ConnectorError
from fraud_ml.errors import DataError

# How fraud_ml names a row: of those that a task holds, which is no row that a user could look up.
_ROW = re.compile(r"row (\d+) \(the first is 0\)(, transaction_id [^,;)]+)?")
_HOW_MANY = re.compile(r"(?<=, )(\d+) such")
_FAILED = "failed"


class Told(NamedTuple):
    """How it went."""

    part: int
    error: str | None = None
    """What is wrong with the data."""
    transaction_id: str | None = None
    """If it is about one whose place the error does not tell yet."""
    repeats: bool = False
    """Whether it is that transactions' ids occur twice."""


class PlacedError(DataError):
    """What is wrong with a row, with its place in the user's files."""


class RepeatsError(DataError):
    """Ids of transactions occur more than once."""


def told(step: Step, part: int, work: Callable[[int], None]) -> Told:
    """Works on a part, and says how that went.

    After an error of the data no other task of the step begins; Spark would try each again.
    """
    failed = step.folder / _FAILED
    if failed.exists():
        return Told(part)
    # Spark runs as many tasks as there are cores.
    pa.set_cpu_count(1)
    try:
        work(part)
    except PlacedError as wrong:
        found = Told(part, str(wrong))
    except RepeatsError as wrong:
        found = Told(part, str(wrong), repeats=True)
    except DataError as wrong:
        found = Told(part, *without_row(str(wrong))[:2])
    except ConnectorError as wrong:
        found = Told(part, str(wrong))
    else:
        return Told(part)
    failed.touch()
    return found


def forget_failure(folder: Path) -> None:
    """Lets the tasks of a step begin, whatever happened in an earlier run."""
    (folder / _FAILED).unlink(missing_ok=True)


def without_row(message: str) -> tuple[str, str | None, int | None]:
    """A message without the number of a row that only a task knows; the transaction, the row."""
    found = re.search(r"transaction_id '?([^,;)']+)'?", message)
    identity = found[1] if found and found[1] != "None" else None
    row = _ROW.search(message)
    message = _ROW.sub(lambda it: it[2][2:] if identity and it[2] else "a row", message)
    return _HOW_MANY.sub(r"at least \1 such", message), identity, int(row[1]) if row else None
