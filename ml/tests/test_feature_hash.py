"""Hashes of features, by machine code and without, are BLAKE2b's."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as numbers

from fraud_ml import feature_hash
from fraud_ml.feature_hash import feature_hashes

ROWS = numbers.arrays(np.float32, st.tuples(st.integers(0, 20), st.integers(1, 100)))


@pytest.fixture(params=[0, 1, 2, "hashlib"], autouse=True)
def _way(request, monkeypatch):
    """By vectors of one level and the next, as far as this processor has them, and without."""
    hashes = None if request.param == "hashlib" else feature_hash._native_of(request.param)
    assert (hashes is None) == (request.param == "hashlib")
    monkeypatch.setattr(feature_hash, "_native", lambda: hashes)


def test_a_hash_is_of_the_values_and_never_changes():
    rows = np.array([[1.5, np.nan, 0.0], [1.5, -np.nan, -0.0], [1.5, 1.0, 0.0]], dtype=np.float32)
    first, same, other = feature_hashes(rows)
    assert first == same != other
    assert first == "b979e44c5a99898f"


@given(ROWS)
def test_a_hash_is_blake2b_of_the_bytes(rows):
    usual = np.where(np.isnan(rows), np.float32("nan"), rows + np.float32(0))
    assert feature_hashes(rows) == [
        hashlib.blake2b(row.tobytes(), digest_size=8).hexdigest() for row in usual
    ]


def test_rows_may_be_part_of_a_wider_array():
    wide = np.arange(60, dtype=np.float32).reshape(6, 10)
    part = wide[::2, 3:7]
    assert feature_hashes(part) == feature_hashes(part.copy())
    assert feature_hashes(part)[1] == feature_hashes(wide[2:3, 3:7].copy())[0]
