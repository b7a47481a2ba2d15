"""`./bazelw run //serving:labels`: tells the running service which payments were frauds.

Labels go into the journal like payments, so that every worker learns of each at the same point.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from data_connector import Journal, fetch, open_journal
from data_connector.command import fraud_home, run
from fraud_detect import journal_entries
from fraud_detect.journal_entries import Labels
from fraud_detect.worker_settings import usual_feature_store
from fraud_ml.errors import DataError
from fraud_ml.transactions import LABEL_COLUMNS

_AT_ONCE = 10_000  # in one entry, while payments wait some milliseconds


@dataclass(frozen=True, slots=True)
class _Options:
    labels: str
    table: str | None
    feature_store: str | None


def say_labels(journal: Journal, labels: pa.Table) -> int:
    """Appends labels to the journal, and returns how many they were.

    To say them again does no harm: of no use, and without effect, are labels of payments that the
    service never saw or that have left all windows, and those that it has already.

    Args:
        journal: of the service's payments.
        labels: columns ``transaction_id``, ``is_fraud`` and ``labelled_at`` (a time with a zone);
            nulls in the last two mean not known.

    Raises:
        DataError: a column is missing or of another type.
        ConnectorError: the journal cannot be written; what was appended before counts.
    """
    ids, frauds, times = _checked(labels)
    for start in range(0, len(ids), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        entry = Labels(ids[part], frauds[part], times[part])
        journal.append(journal_entries.encode(entry), after=journal.last())
    return len(ids)


def _checked(labels: pa.Table) -> tuple[list[Any], list[bool | None], list[int | None]]:
    missing = [name for name in LABEL_COLUMNS if name not in labels.column_names]
    if missing:
        raise DataError(
            f"labels lack {', '.join(missing)}; they have: {', '.join(labels.column_names)}"
        )
    ids, frauds, times = (labels[name] for name in LABEL_COLUMNS)
    if not (pa.types.is_timestamp(times.type) and times.type.tz):
        raise DataError(f"labelled_at must be a time with a zone, got {times.type}")
    if ids.null_count:
        raise DataError("transaction_id has nulls; it must have none")
    try:
        casts = (frauds.cast(pa.bool_()), times.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()))
    except pa.ArrowInvalid as error:
        raise DataError(f"labels cannot be read: {error}") from error
    return ids.to_pylist(), casts[0].to_pylist(), casts[1].to_pylist()


def _parse(arguments: Sequence[str] | None = None) -> _Options:
    parser = argparse.ArgumentParser(
        prog="labels", description="Tells the service which of its payments were frauds."
    )
    parser.add_argument(
        "--labels", required=True, metavar="URL", help="database or file with transaction_id,"
        " is_fraud and labelled_at"
    )  # fmt: skip
    parser.add_argument("--table", help="in a database (default: the only one)")
    parser.add_argument(
        "--feature-store", metavar="URL", help="as of the service (default: in $FRAUD_HOME)"
    )
    given = parser.parse_args(arguments)
    return _Options(given.labels, given.table, given.feature_store)


def main() -> None:
    """Does what the command line says."""
    options = _parse()
    with fetch(options.labels, table=options.table, columns=list(LABEL_COLUMNS)) as reader:
        labels = reader.read_all()
    url = options.feature_store or usual_feature_store(fraud_home())
    with open_journal(url) as journal:
        said = say_labels(journal, labels)
    sys.stdout.write(f"{said:,} labels said\n")


if __name__ == "__main__":
    sys.exit(run(main, shown=(DataError,)))
