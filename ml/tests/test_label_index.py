import statistics

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fraud_ml._key_histories import NO_KEY
from fraud_ml._label_index import LabelIndex, Place, Places

TIMES = st.integers(0, 5)


def places_of(*places: Place) -> Places:
    """Of one kind of key."""
    keys = np.array([key for place in places for key in place.keys], dtype=np.int64)
    instants = np.array([instant for place in places for instant in place.instants], dtype=np.int64)
    left_out = np.array([place.left_out for place in places], dtype=np.int64)
    amounts = np.array([place.amount for place in places], dtype=np.float64)
    return Places.of([keys], [instants], left_out, amounts)


def at(instant: int, *, key: int = 0) -> Place:
    return Place([key], [instant], left_out=instant % 4, amount=instant + 0.5)


def index_of(times, span=100):
    index = LabelIndex(span, 1)
    for transaction, time in enumerate(times):
        index.remember([transaction], [time], places_of(at(time)))
    return index


@given(st.lists(st.tuples(TIMES, st.booleans()), max_size=8))
def test_at_any_time_the_newest_label_by_then_counts(labels):
    index, known = index_of([0]), []
    for at, says in labels:
        changes = index.take_in(0, at, is_fraud=says)
        known += changes or []
    by_time = sorted(enumerate(labels), key=lambda item: (item[1][0], item[0]))
    for now in range(6):
        said = [says for _, (at, says) in by_time if at <= now]
        is_fraud = bool(said) and said[-1]
        assert sum(more for at, more in known if at <= now) == is_fraud


def test_a_label_that_was_given_before_is_of_no_use():
    index = index_of([0])
    assert index.take_in(0, 3, is_fraud=True) == [(3, 1)]
    assert index.take_in(0, 3, is_fraud=True) is None
    assert index.take_in(1, 3, is_fraud=True) is None


def test_it_remembers_what_is_no_older_than_the_span_and_two_blocks_more():
    index = index_of(range(10_000), span=1_000)
    assert set(range(9_000, 10_000)) <= set(index.ids)
    assert len(index) == len(index.ids) <= 1_000 + 3 * 256
    assert all(index.place_of(number) == at(number) for number in index.ids)
    assert index.place_of(1) is None


def test_a_few_wrong_clocks_in_each_block_change_nothing():
    times = [2**60 if n % 3 == 0 else n for n in range(10_000)]
    index = index_of(times, span=1_000)
    assert set(range(9_000, 10_000)) <= set(index.ids)
    assert len(index) <= 1_000 + 3 * 256
    assert statistics.median(index.medians) < 10_000


@given(st.lists(st.lists(st.integers(0, 900), max_size=400), max_size=12), st.integers(0, 300))
def test_however_many_come_at_once_it_is_as_one_by_one(batches, span):
    together, singly = LabelIndex(span, 1), LabelIndex(span, 1)
    now = 0
    for batch in batches:
        times = list(range(now, now + len(batch)))
        now += len(batch)
        together.remember(batch, times, places_of(*map(at, times)))
        for transaction, time in zip(batch, times, strict=True):
            singly.remember([transaction], [time], places_of(at(time)))
    assert together.ids == singly.ids
    assert together.medians == singly.medians
    assert together.open_times == singly.open_times
    found = [each.place_of(name) for each in (together, singly) for name in singly.ids]
    assert found[: len(singly)] == found[len(singly) :]
    assert together.places().keys.shape == (1, len(singly))


def test_an_id_that_comes_again_is_remembered_once_at_its_last_place():
    index = index_of(range(300), span=1_000)
    for name, time in ((7, 301), (299, 302)):  # of the full block, and of the open one
        index.remember([name], [time], places_of(at(time)))
    assert index.ids == list(range(300))
    assert (index.place_of(7), index.place_of(299)) == (at(301), at(302))
    assert len(index.open_times) == 300 - 256


def test_keys_get_other_numbers_and_the_places_of_forgotten_ones_none():
    index = LabelIndex(100, 1)
    keys = (0, 1, NO_KEY, 2, 1)
    index.remember(list("abcde"), [1] * 5, places_of(*(at(1, key=key) for key in keys)))
    index.renumber(0, np.array([1, NO_KEY, 0]))
    found = [index.place_of(name) for name in "abcde"]
    assert found == [at(1, key=key) for key in (1, NO_KEY, NO_KEY, 0, NO_KEY)]
