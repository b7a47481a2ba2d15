"""A service that starts from a rebuilt state scores as one that has lived through all of it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from history import columns_of
from payments import SPEC, calls_of, rows_of, scorer_at, small_artifact, small_simulation

from data_connector import SnapshotStore, open_journal
from fraud_detect.say_labels import say_labels
from fraud_ml.feature_state import FeatureState
from fraud_ml.features import compute_features
from fraud_ml.replica import Replica, name_of_snapshots

SIMULATION = small_simulation()
PAYMENTS, LABELS = SIMULATION.transactions, SIMULATION.labels
HALF = PAYMENTS.num_rows // 2


@pytest.fixture
def url(tmp_path) -> str:
    """A feature store with the state after the first half, as ``//batch:backfill`` leaves it."""
    url = f"sqlite:///{tmp_path / 'features.db'}"
    replica = Replica(FeatureState(SPEC))
    for start in range(0, HALF, 100):
        stop = min(start + 100, HALF)
        replica.count(columns_of(rows_of(PAYMENTS.slice(start, stop - start))))
        # Each counts from its own time on.
        replica.state.apply_labels(LABELS.slice(start, stop - start))
    replica.begin_here()
    store = SnapshotStore(url, name=name_of_snapshots(SPEC))
    store.save(replica.to_bytes())
    store.close()
    return url


def test_features_are_those_of_the_whole_history(url) -> None:
    scorer = scorer_at(url, small_artifact())
    later = PAYMENTS.slice(HALF)
    calls = calls_of(later)
    for start in range(0, len(calls), 25):
        scorer.answer(calls[start : start + 25])
        with open_journal(url) as journal:
            say_labels(journal, LABELS.slice(HALF + start, 25))
    replica = scorer.state.replica
    found = np.array([replica.features_of(name) for name in later["transaction_id"].to_pylist()])
    whole = compute_features(PAYMENTS, LABELS, SPEC, arrival_order=True).slice(HALF)
    expected = np.column_stack([whole[name].to_numpy() for name in SPEC.names])
    np.testing.assert_allclose(found, expected, atol=1e-9, rtol=1e-9)
    ignorant = compute_features(later, LABELS.slice(HALF), SPEC, arrival_order=True)
    assert not pa.Table.equals(whole, ignorant)


def test_a_payment_of_the_history_that_is_sent_again_counts_once(url) -> None:
    scorer = scorer_at(url, small_artifact())
    before = scorer.state.replica.features_of(PAYMENTS["transaction_id"][HALF - 1].as_py())
    scorer.answer(calls_of(PAYMENTS.slice(HALF - 3, 3)))
    scorer.answer(calls_of(PAYMENTS.slice(HALF, 20)))
    after = scorer.state.replica.features_of(PAYMENTS["transaction_id"][HALF - 1].as_py())
    np.testing.assert_array_equal(before, after)
    whole = compute_features(PAYMENTS.slice(0, HALF + 20), LABELS.slice(0, HALF), SPEC)
    last = scorer.state.replica.features_of(PAYMENTS["transaction_id"][HALF + 19].as_py())
    expected = [whole[name][HALF + 19].as_py() for name in SPEC.names]
    np.testing.assert_allclose(last, expected, atol=1e-9, rtol=1e-9)
