"""A connection that is cut between a question and its answer: done, not done, or unknown."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cutting_proxy import CuttingProxy

from data_connector.errors import ConflictError, OutcomeUnknownError, SourceUnreachableError
from data_connector.feature_store import FeatureStore, Stored, open_feature_store


@pytest.fixture
def store(through_proxy: str) -> Iterator[FeatureStore]:
    """A store behind the proxy."""
    with open_feature_store(through_proxy) as opened:
        yield opened


@pytest.fixture
def other(direct: str) -> Iterator[FeatureStore]:
    """The same store, without the proxy."""
    with open_feature_store(direct) as opened:
        yield opened


def put(store: FeatureStore, key: str, value: bytes) -> None:
    """Write over what is there."""
    store.put_many({key: Stored(value, store.get_many([key])[key].version)})


# A call has several answers: those that come before the last are of preparing.
ANSWERS = range(4)


@pytest.mark.parametrize("after", ANSWERS)
def test_a_put_is_done_once_whichever_answer_is_lost(
    store: FeatureStore, proxy: CuttingProxy, after: int
) -> None:
    version = store.put_many({"a": Stored(b"0", 0)})
    for n in range(1, 4):
        proxy.lose_answer(after=after)
        version = store.put_many({"a": Stored(b"%d" % n, version), f"new {n}": Stored(b"", 0)})
        assert store.get_many(["a", f"new {n}"]) == {
            "a": Stored(b"%d" % n, version),
            f"new {n}": Stored(b"", version),
        }


@pytest.mark.parametrize("after", ANSWERS)
def test_the_other_calls_are_done_whichever_answer_is_lost(
    store: FeatureStore, proxy: CuttingProxy, after: int
) -> None:
    version = store.put_many({"a": Stored(b"1", 0), "b": Stored(b"1", 0)})
    proxy.lose_answer(after=after)
    assert store.get_many(["a"]) == {"a": Stored(b"1", version)}
    proxy.lose_answer(after=after)
    assert len(list(store.items(batch=1))) == 2
    proxy.lose_answer(after=after)
    store.delete_many(["a"])
    assert [key for key, _ in store.items()] == [b"b"]


@pytest.mark.parametrize("after", range(12))
def test_a_replacement_is_done_once_whichever_answer_is_lost(
    store: FeatureStore, proxy: CuttingProxy, after: int
) -> None:
    store.put_many({"a": Stored(b"1", 0)})
    proxy.lose_answer(after=after)
    version = store.replace_all((f"{n}", b"2") for n in range(2000))
    found = dict(store.items())
    assert len(found) == 2000
    assert set(found.values()) == {Stored(b"2", version)}


def test_a_put_that_was_done_is_done_though_others_wrote_over_some_of_it(
    store: FeatureStore, proxy: CuttingProxy, other: FeatureStore
) -> None:
    version = store.put_many({"a": Stored(b"1", 0), "b": Stored(b"1", 0)})
    version = store.put_many({"a": Stored(b"1", version), "b": Stored(b"1", version)})
    # The statement is prepared by now: it has one answer.
    proxy.lose_answer(lambda: put(other, "a", b"3"))
    version = store.put_many({"a": Stored(b"2", version), "b": Stored(b"2", version)})
    assert store.get_many(["b"]) == {"b": Stored(b"2", version)}
    assert store.get_many(["a"])["a"].value == b"3"


def test_a_put_that_was_not_done_is_a_conflict_if_others_wrote(
    store: FeatureStore, proxy: CuttingProxy, other: FeatureStore
) -> None:
    version = store.put_many({"a": Stored(b"1", 0), "b": Stored(b"1", 0)})
    put(other, "a", b"3")
    proxy.cut()
    with pytest.raises(ConflictError) as caught:
        store.put_many({"a": Stored(b"2", version), "b": Stored(b"2", version)})
    assert caught.value.keys == ("a",)
    assert store.get_many(["b"]) == {"b": Stored(b"1", version)}


def test_a_put_over_all_of_which_others_wrote_has_an_unknown_outcome(
    store: FeatureStore, proxy: CuttingProxy, other: FeatureStore
) -> None:
    version = store.put_many({"a": Stored(b"1", 0)})
    version = store.put_many({"a": Stored(b"1", version)})
    seen = []

    def write_over() -> None:
        seen.append(other.get_many(["a"])["a"])
        put(other, "a", b"3")

    proxy.lose_answer(write_over)
    with pytest.raises(OutcomeUnknownError, match="others have written since") as caught:
        store.put_many({"a": Stored(b"2", version)})
    assert seen == [Stored(b"2", caught.value.version)]  # it was done, its answer on the way


def test_a_put_whose_server_does_not_come_back_has_an_unknown_outcome(
    store: FeatureStore, proxy: CuttingProxy, other: FeatureStore
) -> None:
    version = store.put_many({"a": Stored(b"1", 0)})
    version = store.put_many({"a": Stored(b"1", version)})
    proxy.lose_answer(proxy.refuse)
    with pytest.raises(OutcomeUnknownError, match="if any has version") as caught:
        store.put_many({"a": Stored(b"2", version)})
    assert other.get_many(["a"]) == {"a": Stored(b"2", caught.value.version)}
    # From now on it is known that nothing is done.
    with pytest.raises(SourceUnreachableError, match="check host, port") as known:
        store.put_many({"a": Stored(b"3", caught.value.version)})
    assert not isinstance(known.value, OutcomeUnknownError)


def test_a_read_whose_server_does_not_come_back_is_an_error(
    store: FeatureStore, proxy: CuttingProxy
) -> None:
    proxy.lose_answer(proxy.refuse)
    with pytest.raises(SourceUnreachableError, match="check host, port"):
        store.get_many(["a"])
