"""What the running state keeps of a key, against the plain definitions on all that came."""

import itertools
import statistics
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fraud_ml import _key_state, _rings, _running_max, _usual, _windows
from fraud_ml._distinct import Distinct
from fraud_ml._exact import from_square_limbs, limbs_of, square_limbs_of
from fraud_ml._key_state import AMOUNTS, COUNT, ENTRIES, Histories, Kept
from fraud_ml._rings import empty_rings

STEPS = st.lists(st.integers(0, 4), min_size=1, max_size=40)  # instants from one to the next
AMOUNTS_PAID = st.lists(st.sampled_from([0.0, 0.1, 1.0, 7.5, 20.0]), min_size=1, max_size=40)
ROOM = 2**16
KEY = 1  # of two
PENDING, FRAUDS, FRAUD_AMOUNTS, FEWER_FRAUDS = 1, 2, 3, 4
BIT = 2  # of what FEWER_FRAUDS leaves out


def kept(*ages, has_labels=False):
    return Kept(
        ages=np.array(ages),
        n_sums=4,
        has_amounts=True,
        has_squares=False,
        has_unusual=False,
        usual_over=1,
        unusual_ratio=1.0,
        has_z=False,
        arrival=-1,
        pending=PENDING if has_labels else -1,
        latest=-1,
        n_latest=1,
        frauds=np.array([(0, FRAUDS, FRAUD_AMOUNTS), (BIT, FEWER_FRAUDS, -1)]),
        peaks=np.zeros((0, 3), dtype=np.int64),
    )


def queues(*widths):
    return empty_rings(2, np.array(widths), ROOM)


def empty(kept):
    widths = (5, 5, 2, 3, 2) if kept.pending == PENDING else (5,)
    return Histories(
        queues(*widths), np.zeros(2, np.int64), np.zeros((2, len(kept.ages)), np.int64)
    )


def entry(histories, record, column):
    return histories.rings.pool[_rings.at(histories.rings, KEY, ENTRIES, record) + column]


def records(rings, number):
    """The records of a queue, oldest first."""
    _, numbers = _rings.unroll(rings, number, np.array([KEY]))
    return numbers.reshape(-1, rings.width[number]).tolist()


@given(STEPS, st.tuples(st.integers(1, 5), st.integers(6, 12)))
def test_the_sums_over_a_window_are_those_of_what_lies_in_it(steps, ages):
    what = kept(*ages)
    histories, came = empty(what), []
    for n, now in enumerate(itertools.accumulate(steps)):
        came.append((now, n))
        newest = _key_state.count_in(histories, what, KEY, now, float(n))
        assert newest.was_there == (len(came) > 1 and came[-2][0] == now)
        last = _rings.end(histories.rings, KEY, ENTRIES) - 1
        assert newest.now == entry(histories, last, 0) == now
        assert newest.since == came[0][0]
        for age, before in zip(ages, histories.lasts[KEY], strict=True):
            inside = [value for at, value in came if at > now - age]
            for column, expected in ((COUNT, len(inside)), (AMOUNTS, sum(inside))):
                assert entry(histories, last, column) - entry(histories, before, column) == expected


def test_entries_that_have_left_are_dropped_and_sums_start_anew():
    what = kept(10)
    histories = empty(what)
    for now in range(5_000):
        _key_state.count_in(histories, what, KEY, now, 1e13)
    assert _rings.end(histories.rings, KEY, ENTRIES) == 5_001
    assert len(records(histories.rings, ENTRIES)) == 11
    assert histories.rings.used[0] == 5 * (2 + 4 + 8 + 16)
    assert entry(histories, 5_000, AMOUNTS) - entry(histories, 4_990, AMOUNTS) == 10 * 10**13
    assert entry(histories, 5_000, AMOUNTS) < 1_024 * 10**13


# From when on, of which instant, a fraud more or less, what leaves it out, and of what amount.
CHANGES = st.tuples(
    st.integers(0, 20),
    st.integers(0, 9),
    st.sampled_from([1, -1]),
    st.sampled_from([0, 1, BIT, 1 | BIT]),
    st.sampled_from([0.0, 0.5, 7.0]),
)


@given(st.lists(CHANGES, max_size=12))
def test_frauds_count_from_when_they_are_known(changes):
    what = kept(100, has_labels=True)
    histories = empty(what)
    for change in changes:
        _key_state.will_learn(histories, what, KEY, *change)
    known, fewer, of_amount = Counter(), Counter(), Counter()
    for now in range(22):
        _key_state.learn(histories.rings, what, KEY, now)
        for since, instant, more, left_out, amount in changes:
            if since == now:
                known[instant] += more
                fewer[instant] += 0 if left_out & BIT else more
                of_amount[instant, amount] += more
        for queue, counted in ((FRAUDS, known), (FEWER_FRAUDS, fewer)):
            expected = [[at, n] for at, n in sorted(counted.items()) if n]
            assert records(histories.rings, queue) == expected
        listed = [[at, bits_of(amount), n] for (at, amount), n in sorted(of_amount.items()) if n]
        assert records(histories.rings, FRAUD_AMOUNTS) == listed


def bits_of(amount):
    return int(np.float64(amount).view(np.int64))


def test_frauds_that_have_left_all_windows_are_dropped():
    what = kept(5, has_labels=True)
    histories = empty(what)
    for instant in range(100):
        _key_state.will_learn(histories, what, KEY, instant + 1, instant, 1, 0, 2.5)
        _key_state.learn(histories.rings, what, KEY, instant + 1)
    for queue in (FRAUDS, FEWER_FRAUDS):
        assert records(histories.rings, queue) == [[at, 1] for at in (96, 97, 98, 99)]
    listed = [[at, bits_of(2.5), 1] for at in (96, 97, 98, 99)]
    assert records(histories.rings, FRAUD_AMOUNTS) == listed


@given(STEPS, AMOUNTS_PAID, st.integers(0, 5), st.integers(1, 9))
def test_the_running_maximum_is_that_of_the_window(steps, values, delay, window):
    rings, came, longest = queues(2, 2), [], delay + window
    for now, value in zip(itertools.accumulate(steps), values, strict=False):
        came.append((now, value))
        _running_max.add(rings, KEY, 0, now, value, delay, longest)
        inside = [v for at, v in came if now - longest < at <= now - delay]
        assert _running_max.since(rings, KEY, 0, now - longest) == max(inside, default=0.0)
        assert len(records(rings, 0)) <= window
        assert len(records(rings, 1)) <= delay


@given(STEPS, st.lists(st.sampled_from("abcd"), min_size=1, max_size=40), st.integers(1, 9))
def test_distinct_values_are_those_of_the_window(steps, values, window):
    distinct, came = Distinct(), []
    for now, value in zip(itertools.accumulate(steps), values, strict=False):
        came.append((now, value))
        distinct.add(now, value, 9)
        assert distinct.since(now - window) == len({v for at, v in came if at > now - window})
        assert set(distinct.last) == {v for at, v in came if at > now - 9}


@given(AMOUNTS_PAID | st.lists(st.floats(0, 1e12), min_size=1, max_size=40), st.integers(1, 8))
def test_the_usual_amount_is_the_median_of_the_last_few(amounts, over):
    rings = queues(1, 1)
    assert _usual.median(rings, KEY, 0) == _usual.median_distance(rings, KEY, 0, 0.0) == 0.0
    for n, amount in enumerate(amounts, 1):
        _usual.add(rings, KEY, 0, amount, over)
        last = amounts[max(0, n - over) : n]
        median = _usual.median(rings, KEY, 0)
        assert median == statistics.median(last)
        distance = _usual.median_distance(rings, KEY, 0, median)
        assert distance == statistics.median(abs(a - median) for a in last)


@given(st.floats(0, 1e13))
def test_one_number_is_split_as_an_array_of_them(value):
    values = np.array([value])
    assert limbs_of(value) == tuple(int(limb[0]) for limb in _windows.limbs_of(values))
    squares = square_limbs_of(value)
    assert squares == tuple(int(limb[0]) for limb in _windows.square_limbs_of(values))
    arrays = (np.array([limb]) for limb in squares)
    assert from_square_limbs(*squares) == _windows.from_square_limbs(*arrays)[0]
