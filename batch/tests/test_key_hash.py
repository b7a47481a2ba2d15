"""Hashes depend on the value alone: not on its width, its neighbours or the column's encoding."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_proc.key_hash import hashes, is_hashable, key_hashes


def column(values: list[object], kind: pa.DataType | None = None) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, kind)])


@given(st.lists(st.text(max_size=40), min_size=1, max_size=30), st.integers(0, 10))
def test_a_text_has_the_same_hash_wherever_it_stands(texts: list[str], cut: int) -> None:
    alone = [hashes(column([text]))[0] for text in texts]
    np.testing.assert_array_equal(hashes(column(texts)), alone)
    np.testing.assert_array_equal(hashes(column(texts).slice(cut)), alone[cut:])
    for kind in (pa.large_string(), pa.dictionary(pa.int32(), pa.string())):
        np.testing.assert_array_equal(hashes(column(texts).cast(kind)), alone)
    with_null = hashes(column([None, *texts]))
    np.testing.assert_array_equal(with_null[1:], alone)


@given(st.lists(st.text(max_size=20), max_size=50, unique=True))
def test_texts_that_differ_have_other_hashes(texts: list[str]) -> None:
    for seed in (0, 1):
        assert len(set(hashes(column(texts, pa.string()), seed=seed).tolist())) == len(texts)


def test_another_seed_gives_other_bits() -> None:
    texts = column([f"card-{number}" for number in range(1_000)])
    assert not np.intersect1d(hashes(texts), hashes(texts, seed=1)).size


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint8(), pa.int32(), pa.uint64()])
def test_a_whole_number_has_the_hash_of_its_value(kind: pa.DataType) -> None:
    values = [0, 1, 7, None, 127]
    expected = hashes(column(values, pa.int64()))
    there = np.array([value is not None for value in values])
    np.testing.assert_array_equal(hashes(column(values, kind))[there], expected[there])


def test_numbers_in_a_row_are_spread_evenly() -> None:
    buckets = np.bincount(hashes(column(list(range(100_000)))) % np.uint64(16))
    assert buckets.min() > 5_900
    assert buckets.max() < 6_600


def test_hashes_are_those_of_other_machines() -> None:
    assert hashes(column([0, 1, -1])).tolist() == [
        16294208416658607535,
        10451216379200822465,
        16490336266968443936,
    ]
    assert hashes(column(["", "a", "longer than 8"])).tolist() == [
        12035550249420947055,
        17106707319094771287,
        5002351819477734639,
    ]


def test_a_key_of_several_columns_is_there_where_all_are() -> None:
    rows = pa.table({"a": ["x", "x", None, "y"], "b": [1, 2, 1, None]})
    number, is_there = key_hashes(rows, ["a", "b"])
    assert is_there.tolist() == [True, True, False, False]
    assert number[0] != number[1]
    swapped = key_hashes(pa.table({"a": [1, 2], "b": [2, 1]}), ["a", "b"])[0]
    assert swapped[0] != swapped[1]


def test_what_may_be_a_key() -> None:
    for kind in (pa.string(), pa.int8(), pa.bool_(), pa.null(), pa.string_view()):
        assert is_hashable(kind)
    for kind in (pa.float64(), pa.date32(), pa.list_(pa.int8())):
        assert not is_hashable(kind)
