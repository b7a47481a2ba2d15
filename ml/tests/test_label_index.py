import statistics

from hypothesis import given
from hypothesis import strategies as st

from fraud_ml._label_index import LabelIndex

TIMES = st.integers(0, 5)


def index_of(times, span=100):
    index = LabelIndex(span)
    for transaction, time in enumerate(times):
        index.remember([transaction], [time], [("terminal", time)])
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
    assert set(range(9_000, 10_000)) <= set(index.places)
    assert len(index.places) <= 1_000 + 3 * 256


def test_a_few_wrong_clocks_in_each_block_change_nothing():
    times = [2**60 if n % 3 == 0 else n for n in range(10_000)]
    index = index_of(times, span=1_000)
    assert set(range(9_000, 10_000)) <= set(index.places)
    assert len(index.places) <= 1_000 + 3 * 256
    assert statistics.median(median for median, _ in index.blocks) < 10_000


def test_an_id_that_comes_again_is_remembered_once_at_its_last_place():
    index = LabelIndex(100)
    for time in (1, 2):
        index.remember(["a"], [time], [("terminal", time)])
    assert index.places == {"a": ("terminal", 2)}
    assert index.open_ids == ["a"]


def test_the_places_of_forgotten_keys_are_nowhere():
    index = LabelIndex(100)
    index.remember("ab", (1, 1), [("ann", 1, 0, 7.5), ("bob", 1, 0, 7.5)])
    index.forget_keys(0, {"ann"})
    assert index.places["a"][1] < -(2**61)
    assert index.places["a"][2:] == (0, 7.5)
    assert index.places["b"] == ("bob", 1, 0, 7.5)
