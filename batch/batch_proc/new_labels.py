"""Labels that are new since the last time, told to the running service by its journal."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from pathlib import Path

import pyarrow as pa

from batch_proc.backfill_options import LabelOptions
from batch_proc.backfill_work import only_one
from batch_proc.errors import BackfillError
from data_connector import IncrementalCursor, Journal, open_journal
from data_connector.atomic import written_whole
from fraud_ml.journal_entries import label_entries
from fraud_ml.transactions import LABEL_COLUMNS

LAG = dt.timedelta(days=1)
"""A label may turn up so much later than others that were found after it."""

_DIGEST = 16  # bytes


class NewLabels:
    """What a source of labels has that the service was not told yet."""

    def __init__(self, options: LabelOptions, folder: Path) -> None:
        """Remembers in ``folder`` what it has told, for each source and feature store.

        Args:
            options: the source, and whose feature store.
            folder: made where it is missing.
        """
        self._options = options
        which = (options.labels, options.table, options.feature_store)
        name = hashlib.blake2b(json.dumps(which).encode(), digest_size=_DIGEST).hexdigest()
        self._state = folder / f"labels-{name}.json"
        self._told_file = folder / f"labels-{name}.told.json"
        self._lock = folder / f"labels-{name}.lock"

    def tell(self) -> int:
        """Appends the new labels to the journal; how many they were.

        If this is killed, the next time tells again what it cannot know to have told: which does
        no harm, since a label counts once.

        Raises:
            BackfillError: another process does the same.
            ConnectorError: the source, the journal or the folder cannot be used.
            DataError: what the source has is no labels.
        """
        with only_one(self._lock), open_journal(self._options.feature_store) as journal:
            return self._tell(journal)

    def _tell(self, journal: Journal) -> int:
        cursor = IncrementalCursor(
            self._options.labels,
            table=self._options.table,
            column="labelled_at",
            columns=list(LABEL_COLUMNS),
            state=self._state,
            lag=LAG,
        )
        told, seen, n_new = self._told(), {}, 0
        with cursor.fetch() as reader:
            for batch in reader:
                labels = pa.Table.from_batches([batch])
                label_entries(labels)  # raises where they are none
                marks = [_mark(row) for row in zip(*batch.to_pydict().values(), strict=True)]
                new = labels.filter(pa.array([mark not in told for mark in marks], pa.bool_()))
                for value in label_entries(new):
                    journal.append(value, after=journal.last())
                n_new += new.num_rows
                seen |= dict(zip(marks, batch["labelled_at"].to_pylist(), strict=True))
        self._remember(seen)
        cursor.commit()
        return n_new

    def _told(self) -> set[str]:
        """Marks of the labels that may come again, being within the lag."""
        try:
            return set(json.loads(self._told_file.read_text()))
        except FileNotFoundError:
            return set()
        except (ValueError, TypeError) as error:
            raise BackfillError(
                f"{self._told_file} is damaged: remove it, and what it held is told again"
            ) from error

    def _remember(self, seen: dict[str, dt.datetime]) -> None:
        since = max(seen.values(), default=dt.datetime.max.replace(tzinfo=dt.UTC)) - LAG
        marks = sorted(mark for mark, at in seen.items() if at >= since)
        if marks:
            with written_whole(self._told_file, replace=True) as file:
                file.write(json.dumps(marks).encode())


def _mark(row: tuple[object, ...]) -> str:
    return hashlib.blake2b(repr(row).encode(), digest_size=_DIGEST).hexdigest()
