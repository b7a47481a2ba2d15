from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fraud_ml._windows import (
    KeyOrder,
    PrefixSums,
    highest_between,
    highest_covering,
    n_up_to,
)

AMOUNTS = st.lists(st.floats(0, 1e12), min_size=1, max_size=30)


@given(AMOUNTS, st.data())
def test_a_sum_is_right_to_its_last_bits(values, data):
    stop = data.draw(st.integers(0, len(values)))
    start = data.draw(st.integers(0, stop))
    (total,) = PrefixSums.of(np.array(values)).between(np.array([start]), np.array([stop]))
    exact = sum(map(Fraction, values[start:stop]), Fraction(0))
    assert abs(Fraction(float(total)) - exact) <= exact / 2**52 + Fraction(stop - start, 2**81)


@given(before=AMOUNTS, values=AMOUNTS)
def test_what_lies_outside_a_range_changes_no_bit_of_its_sum(before, values):
    alone = PrefixSums.of(np.array(values))
    after = PrefixSums.of(np.array(before + values))
    whole = np.array([0]), np.array([len(values)])
    shifted = tuple(bound + len(before) for bound in whole)
    assert alone.between(*whole) == after.between(*shifted)


def test_sums_stay_right_where_prefix_sums_wrap_around():
    values = np.full(2**21, 9e12)  # twice the range of int64
    sums = PrefixSums.of(values)
    last = np.array([len(values)])
    assert sums.between(last - 3, last) == 27e12
    assert (sums.limbs[0] < 0).any()


@given(st.lists(st.tuples(st.sampled_from([0, 1, 2**16, 2**33 + 1]), st.integers(0, 2))))
def test_rows_are_ordered_by_key_and_those_of_a_key_by_arrival(keys):
    columns = [np.array([key[at] for key in keys], dtype=np.int64) for at in (0, 1)]
    order = KeyOrder.of(columns)
    assert order.row.tolist() == sorted(range(len(keys)), key=lambda row: keys[row])
    in_order = [keys[row] for row in order.row]
    assert order.is_first.tolist() == [
        at == 0 or in_order[at - 1] != key for at, key in enumerate(in_order)
    ]


@given(st.lists(st.integers(1, 5), max_size=20), st.integers(50, 62))
def test_blocks_hold_whole_keys_and_too_few_to_overflow(lengths, bits):
    order = KeyOrder.of([np.repeat(np.arange(len(lengths)), lengths)])
    blocks = order.blocks(2**bits)
    covered = [position for block in blocks for position in range(block.start, block.stop)]
    assert covered == list(range(len(order.row)))
    for block in blocks:
        assert order.is_first[block.start]
        n_keys = order.is_first[block].sum()
        assert n_keys == 1 or (block.stop - block.start - 5) * (2**bits + 1) < 2**61


@given(st.lists(st.integers(-(2**61), 2**61)), st.lists(st.integers(-(2**61), 2**61)))
def test_counting_by_merging_is_a_binary_search(values, bounds):
    values, bounds = (np.array(sorted(many), dtype=np.int64) for many in (values, bounds))
    expected = np.searchsorted(values, bounds, side="right")
    assert n_up_to(values, bounds).tolist() == expected.tolist()


@given(st.lists(st.floats(0, 1e12), max_size=40), st.data())
def test_the_highest_between_is_the_largest_of_the_slice(values, data):
    bounds = st.lists(st.tuples(*[st.integers(0, len(values))] * 2), max_size=10)
    ranges = data.draw(bounds)
    start, stop = np.array(ranges, dtype=np.int64).reshape(-1, 2).T
    found = highest_between(np.array(values, dtype=np.float64), start, stop)
    assert found.tolist() == [max(values[a:b], default=0.0) for a, b in ranges]


@given(st.integers(0, 40), st.data())
def test_the_highest_covering_is_the_largest_of_the_ranges_that_do(n, data):
    range_ = st.tuples(st.integers(0, n), st.integers(0, n), st.integers(0, 9))
    ranges = data.draw(st.lists(range_, max_size=12))
    start, stop, value = np.array(ranges, dtype=np.int64).reshape(-1, 3).T
    found = highest_covering(start, stop, value, n)
    assert found.tolist() == [
        max((v for a, b, v in ranges if a <= position < b), default=-1) for position in range(n)
    ]
