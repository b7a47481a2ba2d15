"""`./bazelw run //serving:labels`: tells the running service which payments were frauds.

Labels go into the journal like payments, so that every worker learns of each at the same point.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from data_connector import Journal, fetch, open_journal
from data_connector.command import fraud_home, run
from fraud_detect.worker_settings import usual_feature_store
from fraud_ml.errors import DataError
from fraud_ml.journal_entries import label_entries
from fraud_ml.transactions import LABEL_COLUMNS


@dataclass(frozen=True, slots=True)
class _Options:
    labels: str
    table: str | None
    feature_store: str | None


def say_labels(journal: Journal, labels: pa.Table) -> int:
    """Appends labels to the journal, and returns how many they were.

    To say them again does no harm: :func:`fraud_ml.journal_entries.label_entries`.

    Args:
        journal: of the service's payments.
        labels: columns ``transaction_id``, ``is_fraud`` and ``labelled_at`` (a time with a zone);
            nulls in the last two mean not known.

    Raises:
        DataError: a column is missing or of another type.
        ConnectorError: the journal cannot be written; what was appended before counts.
    """
    for value in label_entries(labels):
        journal.append(value, after=journal.last())
    return int(labels.num_rows)


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


def command() -> int:
    """The exit code of :func:`main`; its errors are told."""
    return run(main, shown=(DataError,))


if __name__ == "__main__":
    sys.exit(command())
