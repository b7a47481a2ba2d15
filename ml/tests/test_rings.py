"""Queues in a pool, against lists."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fraud_ml import _rings
from fraud_ml._rings import empty_rings, rolled

WIDTH = np.array([1, 3])
N_KEYS = 3
NUMBER = st.integers(0, 9)
STEP = st.tuples(
    st.integers(0, N_KEYS - 1),
    st.integers(0, len(WIDTH) - 1),
    st.one_of(
        st.tuples(st.just("push"), NUMBER),
        st.tuples(st.just("push"), NUMBER),
        st.tuples(st.just("pop")),
        st.tuples(st.just("drop_before"), NUMBER),
        st.tuples(st.just("insert"), NUMBER, NUMBER),
        st.tuples(st.just("remove"), NUMBER),
    ),
)


def records(rings, key, number):
    _, numbers = _rings.unroll(rings, number, np.array([key]))
    return numbers.reshape(-1, WIDTH[number]).tolist()


def put(rings, number, place, value):
    rings.pool[place : place + WIDTH[number]] = range(value, value + WIDTH[number])


def record_of(number, value):
    return list(range(value, value + WIDTH[number]))


def do(rings, key, number, step, queue):
    """Does a step on a queue and on its list, where the list allows it."""
    first = _rings.first(rings, key, number)
    match step:
        case "push", value:
            put(rings, number, _rings.push(rings, key, number), value)
            queue.append(record_of(number, value))
        case "insert", at, value if at <= len(queue):
            put(rings, number, _rings.insert(rings, key, number, first + at), value)
            queue.insert(at, record_of(number, value))
        case "remove", at if at < len(queue):
            _rings.remove(rings, key, number, first + at)
            del queue[at]
        case ("pop",) if queue:
            _rings.pop(rings, key, number)
            del queue[-1]
        case "drop_before", at:
            _rings.drop_before(rings, key, number, first + at)
            del queue[:at]


def unrolled(rings, keys):
    return [_rings.unroll(rings, number, keys) for number in range(len(WIDTH))]


@given(st.lists(STEP, max_size=80), st.integers(0, 80))
def test_queues_do_what_lists_do_and_do_not_touch_each_other(steps, move_at):
    rings = empty_rings(N_KEYS, WIDTH, room=2_000)
    lists = {(key, number): [] for key in range(N_KEYS) for number in range(len(WIDTH))}
    for n, (key, number, step) in enumerate(steps):
        if n == move_at:
            rings = rolled(unrolled(rings, np.arange(N_KEYS)), WIDTH, n_keys=N_KEYS, room=2_000)
        assert _rings.has_room(rings, key)
        do(rings, key, number, step, lists[key, number])
        for (a_key, a_number), queue in lists.items():
            assert records(rings, a_key, a_number) == queue


@given(st.lists(NUMBER, max_size=20).map(sorted), NUMBER, st.integers(0, 20))
def test_what_comes_after_a_value_is_found(values, value, gone):
    rings = empty_rings(1, WIDTH, room=1_000)
    for each in values:
        rings.pool[_rings.push(rings, 0, 0)] = each
    _rings.drop_before(rings, 0, 0, gone)
    found = _rings.after(rings, 0, 0, value)
    left = values[gone:]
    assert found == min(gone, len(values)) + sum(each <= value for each in left)


def test_a_place_that_a_queue_leaves_is_used_again():
    n_keys, n_records = 100, 64
    rings = empty_rings(n_keys, WIDTH, room=100_000)

    def fill(key):
        before = int(rings.used[0])
        for value in range(n_records):
            put(rings, 1, _rings.push(rings, key, 1), value)
        return int(rings.used[0]) - before

    taken = [fill(key) for key in range(n_keys)]
    # The first leaves places of 2, 4, 8, 16 and 32 records, and so does each after it.
    assert taken == [126 * 3] + [64 * 3] * (n_keys - 1)
    for key in range(n_keys):
        assert records(rings, key, 1) == [record_of(1, value) for value in range(n_records)]


def test_a_pool_has_room_or_says_so():
    rings = empty_rings(1, WIDTH, room=1_000)
    n = 0
    while _rings.has_room(rings, 0):
        for number in range(len(WIDTH)):
            put(rings, number, _rings.push(rings, 0, number), n)
        n += 1
        assert rings.used[0] <= len(rings.pool)
    assert n > 10
    lengths, _ = _rings.unroll(rings, 1, np.array([0]))
    room = _rings.room_for(rings, 0)
    moved = rolled(unrolled(rings, np.array([0])), WIDTH, n_keys=2, room=room)
    assert lengths.tolist() == [n]
    assert records(moved, 0, 1) == records(rings, 0, 1)
    assert records(moved, 1, 1) == []
    assert _rings.has_room(moved, 0)
