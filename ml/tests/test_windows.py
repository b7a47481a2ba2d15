from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fraud_ml._windows import PrefixSums, highest_between, highest_covering

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
