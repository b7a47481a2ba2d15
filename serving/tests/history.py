"""What a journal says has happened, and the features that the batch engine computes of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from payments import SPEC

from data_connector import open_journal
from fraud_detect.online_state import OnlineState
from fraud_detect.snapshots import Snapshots
from fraud_ml import journal_entries
from fraud_ml.features import compute_features, feature_matrix
from fraud_ml.journal_entries import Labels
from fraud_ml.transactions import label_schema


def counted(url: str) -> list[dict[str, Any]]:
    """The transactions in the journal at ``url``, in their order, each once."""
    rows: dict[Any, dict[str, Any]] = {}
    with open_journal(url) as journal:
        entries = journal.since(0, limit=max(journal.last(), 1))
        for entry in map(journal_entries.decode, (e.value for e in entries)):
            if not isinstance(entry, Labels):
                for values in zip(*entry.columns.values(), strict=True):
                    row = dict(zip(entry.columns, values, strict=True))
                    rows.setdefault(row["transaction_id"], row)
    return list(rows.values())


def features_offline(url: str, labels: pa.Table | None = None) -> dict[Any, npt.NDArray[Any]]:
    """Of each transaction in the journal at ``url``, its features by the batch engine.

    Args:
        url: of the journal, which nobody has trimmed.
        labels: that were known; none by default.
    """
    rows = counted(url)
    table = pa.Table.from_pylist(rows)
    at = table.column_names.index("timestamp")
    time = table["timestamp"].cast(pa.timestamp("us", tz="UTC"))
    table = table.set_column(at, "timestamp", time)
    if labels is None:
        labels = label_schema(transaction_id=table["transaction_id"].type).empty_table()
    found = feature_matrix(compute_features(table, labels, SPEC, arrival_order=True))
    return dict(zip(table["transaction_id"].to_pylist(), found, strict=True))


def columns_of(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """``rows`` column by column, as a state counts them."""
    names = dict.fromkeys(chain.from_iterable(rows))
    return {name: [row[name] for row in rows] for name in names}


@contextmanager
def state_of(url: str) -> Iterator[OnlineState]:
    """The online state at ``url``, whose connections are closed in the end."""
    with open_journal(url) as journal, closing(Snapshots(url, SPEC)) as snapshots:
        yield OnlineState(journal, snapshots)


def same_features(found: npt.ArrayLike, url: str, ids: list[Any], **known: Any) -> None:
    """Fails unless ``found`` are the batch engine's features of the transactions ``ids``."""
    offline = features_offline(url, **known)
    expected = np.array([offline[name] for name in ids])
    np.testing.assert_allclose(np.asarray(found, np.float32), expected, atol=1e-6, rtol=1e-6)
