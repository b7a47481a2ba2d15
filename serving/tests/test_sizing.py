"""What a worker costs is measured on a store that nobody uses."""

from __future__ import annotations

import pytest
from worker_sizing import Sizing, measured

from data_connector import open_journal
from fraud_detect.errors import ServingError


@pytest.fixture
def url(tmp_path) -> str:
    return f"sqlite:///{tmp_path / 'features.db'}"


def test_memory_and_time_are_those_of_the_payments_that_were_counted(url) -> None:
    found = measured(url, n_customers=2_000, n_days=9)
    assert isinstance(found, Sizing)
    assert found.n_payments == pytest.approx(9 * 2_000 * 1.9 - 300 * 32, rel=0.1)
    assert 2_000 < found.n_keys <= 4_000
    # More than of many payments: the features of the last 65,536 are kept.
    assert 300 < found.bytes_a_payment < 3_000
    assert 300 < found.bytes_a_key < 10_000
    assert 240 < found.snapshot_bytes_a_payment < 1_000
    assert 1 < found.count_us < 1_000
    assert 0 < found.append_ms < 1_000


def test_a_store_in_use_is_left_alone(url) -> None:

    with open_journal(url) as journal:
        journal.append(b"in use", after=0)
    with pytest.raises(ServingError, match="empty database"):
        measured(url, n_customers=300, n_days=2)
