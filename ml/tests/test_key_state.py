"""What the running state keeps of a key, against the plain definitions on all that came."""

import itertools
import statistics

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fraud_ml import _windows
from fraud_ml._exact import from_square_limbs, limbs_of, square_limbs_of
from fraud_ml._key_state import Kept, KeyState
from fraud_ml._running import Distinct, RunningMax
from fraud_ml._usual import Usual

STEPS = st.lists(st.integers(0, 4), min_size=1, max_size=40)  # instants from one to the next
AMOUNTS = st.lists(st.sampled_from([0.0, 0.1, 1.0, 7.5, 20.0]), min_size=1, max_size=40)


def kept(*ages, n_sums=2):
    return Kept(ages=ages, n_sums=n_sums, n_peaks=0, distinct_of=(), n_last=1)


@given(STEPS, st.tuples(st.integers(1, 5), st.integers(6, 12)))
def test_the_sums_over_a_window_are_those_of_what_lies_in_it(steps, ages):
    key, came = KeyState(kept(*ages), 0), []
    for n, now in enumerate(itertools.accumulate(steps)):
        came.append((now, n))
        was_there = key.count_in(now, [1, n], kept(*ages))
        assert was_there == (len(came) > 1 and came[-2][0] == now)
        newest = key.lasts[0]
        assert key.newest == now
        for age, last in zip(ages, key.lasts[1:], strict=True):
            inside = [value for at, value in came if at > now - age]
            assert key.entries[newest + 1] - key.entries[last + 1] == len(inside)
            assert key.entries[newest + 2] - key.entries[last + 2] == sum(inside)


def test_entries_that_have_left_are_dropped_and_sums_never_overflow():
    key = KeyState(kept(10), 0)
    for now in range(10_000):
        key.count_in(now, [1, 2**55], kept(10))
        assert len(key.entries) <= 3 * 24
    assert key.entries[key.lasts[0] + 2] - key.entries[key.lasts[1] + 2] == 10 * 2**55


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 9), st.sampled_from([1, -1])), max_size=9)
)
def test_frauds_count_from_when_they_are_known(changes):
    key, known = KeyState(kept(100), 0), {}
    for since, instant, more in changes:
        key.will_learn(since, instant, more)
    for now in range(22):
        key.learn(now, 100)
        for since, instant, more in changes:
            if since == now:
                known[instant] = known.get(instant, 0) + more
        expected = {at: n for at, n in sorted(known.items()) if n}
        assert dict(zip(key.fraud_instants, key.fraud_counts, strict=True)) == expected


def test_frauds_that_have_left_all_windows_are_dropped():
    key = KeyState(kept(5), 0)
    for instant in range(100):
        key.will_learn(instant + 1, instant, 1)
        key.learn(instant + 1, 5)
    assert key.fraud_instants.tolist() == [96, 97, 98, 99]


@given(STEPS, AMOUNTS, st.integers(0, 5), st.integers(1, 9))
def test_the_running_maximum_is_that_of_the_window(steps, values, delay, window):
    peak, came = RunningMax(), []
    for now, value in zip(itertools.accumulate(steps), values, strict=False):
        came.append((now, value))
        peak.add(now, value, delay, delay + window)
        inside = [v for at, v in came if now - delay - window < at <= now - delay]
        assert peak.since(now - delay - window) == max(inside, default=0.0)
        assert len(peak.instants) <= window
        assert len(peak.young_instants) <= delay


@given(STEPS, st.lists(st.sampled_from("abcd"), min_size=1, max_size=40), st.integers(1, 9))
def test_distinct_values_are_those_of_the_window(steps, values, window):
    distinct, came = Distinct(), []
    for now, value in zip(itertools.accumulate(steps), values, strict=False):
        came.append((now, value))
        distinct.add(now, value, 9)
        assert distinct.since(now - window) == len({v for at, v in came if at > now - window})
        assert set(distinct.last) == {v for at, v in came if at > now - 9}


@given(AMOUNTS | st.lists(st.floats(0, 1e12), min_size=1, max_size=40), st.integers(1, 8))
def test_the_usual_amount_is_the_median_of_the_last_few(amounts, over):
    usual = Usual()
    assert usual.median() == usual.median_distance(0.0) == 0.0
    for n, amount in enumerate(amounts, 1):
        usual.add(amount, over)
        last = amounts[max(0, n - over) : n]
        median = usual.median()
        assert median == statistics.median(last)
        assert usual.median_distance(median) == statistics.median(abs(a - median) for a in last)


@given(st.floats(0, 1e13))
def test_one_number_is_split_as_an_array_of_them(value):
    values = np.array([value])
    assert limbs_of(value) == tuple(int(limb[0]) for limb in _windows.limbs_of(values))
    squares = square_limbs_of(value)
    assert squares == tuple(int(limb[0]) for limb in _windows.square_limbs_of(values))
    arrays = (np.array([limb]) for limb in squares)
    assert from_square_limbs(*squares) == _windows.from_square_limbs(*arrays)[0]
