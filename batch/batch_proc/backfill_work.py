"""Where a backfill keeps how far it is, so that one that was killed can go on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from batch_proc.errors import BackfillError
from batch_proc.rows_by_day import DayFiles
from batch_proc.timeline import Cursor
from data_connector.atomic import lock, written_whole
from fraud_ml.errors import DataError
from fraud_ml.feature_spec import FeatureSpec
from fraud_ml.replica import Replica

_LENGTH = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What is being done, settled at the start."""

    options: str
    """Tells apart runs of other options."""
    until: int
    """Microseconds since 1970-01-01 UTC: what happened or was known from then on is left out."""
    start: int
    """The position from where the journal is applied."""
    transactions: int
    """Rows of the history."""
    labels: int


@dataclass(kw_only=True, slots=True)
class Counts:
    """What has been counted so far."""

    from_history: int = 0
    from_journal: int = 0
    labels: int = 0
    labels_of_use: int = 0


@dataclass(kw_only=True, slots=True)
class Progress:
    """How far a backfill is: what it has read, and what has come of it."""

    replica: Replica
    transactions: Cursor = field(default_factory=Cursor)
    labels: Cursor = field(default_factory=Cursor)
    counts: Counts = field(default_factory=Counts)


class Work:
    """A folder of one backfill: what it has read, by days, and how far it is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.transactions = DayFiles(folder, "transactions", time="timestamp")
        self.labels = DayFiles(folder, "labels", time="labelled_at")
        self._plan = folder / "plan.json"
        self._progress = folder / "progress"

    def clear(self) -> None:
        """Forgets all of a run before."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(mode=0o700, parents=True)  # payments lie there

    def plan(self) -> Plan | None:
        """What was settled; None where nothing was yet."""
        try:
            return Plan(**json.loads(self._plan.read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise self._damaged(self._plan, error) from error

    def settle(self, plan: Plan) -> None:
        """Keeps the plan: from now on the run can go on after it was killed."""
        with written_whole(self._plan, replace=True) as file:
            file.write(json.dumps(asdict(plan)).encode())

    def progress(self, spec: FeatureSpec) -> Progress | None:
        """How far the run before came; None where it did not.

        Raises:
            BackfillError: the file is damaged.
        """
        try:
            content = self._progress.read_bytes()
        except FileNotFoundError:
            return None
        start = _LENGTH + int.from_bytes(content[:_LENGTH], "little")
        try:
            header = json.loads(content[_LENGTH:start])
            return Progress(
                replica=Replica.from_bytes(content[start:], spec),
                transactions=Cursor(**header["transactions"]),
                labels=Cursor(**header["labels"]),
                counts=Counts(**header["counts"]),
            )
        except (DataError, ValueError, KeyError, TypeError) as error:
            raise self._damaged(self._progress, error) from error

    def save(self, progress: Progress) -> None:
        """Keeps how far it is: all of it, or what was kept before.

        Raises:
            ConnectorError: it cannot be written.
        """
        header: dict[str, Any] = {
            "transactions": asdict(progress.transactions),
            "labels": asdict(progress.labels),
            "counts": asdict(progress.counts),
        }
        text = json.dumps(header).encode()
        with written_whole(self._progress, replace=True) as file:
            file.write(len(text).to_bytes(_LENGTH, "little"))
            file.write(text)
            file.write(progress.replica.to_bytes())

    def remove(self) -> None:
        """Nothing is left of it."""
        shutil.rmtree(self.folder)

    def _damaged(self, path: Path, error: Exception) -> BackfillError:
        return BackfillError(f"{path} is damaged ({error}): run it anew, without --resume")


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Inside the block nobody else is in one of the same ``path``, a lock's file.

    Raises:
        BackfillError: another is.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        if not lock(file.fileno(), wait=False):
            raise BackfillError(f"another backfill of the same is going on (it has {path} locked)")
        yield
