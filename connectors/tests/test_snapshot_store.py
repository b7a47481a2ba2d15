"""What holds for every snapshot store: one suite, which each database must pass."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from data_connector import SnapshotStore, StoreReplacedError, open_feature_store


@pytest.fixture(params=["sqlite", "postgresql", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/features.db"
    fixture = "postgresql" if request.param == "postgresql" else "redis_url"
    found: str = request.getfixturevalue(fixture)
    return found


@pytest.fixture
def store(url: str) -> Iterator[SnapshotStore]:
    opened = SnapshotStore(url, name="state")
    yield opened
    opened.close()


@pytest.mark.parametrize("size", [1, 999_999, 1_000_000, 12_345_678])
def test_a_snapshot_of_any_size_comes_back(store: SnapshotStore, url: str, size: int) -> None:
    content = os.urandom(size)
    store.save(b"one before")
    store.save(content)
    other = SnapshotStore(url, name="state")
    assert other.load() == content
    assert other.start() == content[:1_000_000]
    other.close()


def test_there_is_none_at_first_and_an_empty_one_is_refused(store: SnapshotStore) -> None:
    assert (store.load(), store.start()) == (None, None)
    with pytest.raises(ValueError, match="at least one byte"):
        store.save(b"")


def test_what_is_not_accepted_is_not_replaced(store: SnapshotStore) -> None:
    def refuse(start: bytes | None) -> None:
        raise LookupError(start)

    with pytest.raises(LookupError, match="None"):
        store.save(b"first", check=refuse)
    assert store.load() is None
    store.save(b"first")
    with pytest.raises(LookupError, match="first"):
        store.save(b"second", check=refuse)
    assert store.load() == b"first"


def test_what_another_stores_while_it_is_checked_stays(store: SnapshotStore, url: str) -> None:
    other = SnapshotStore(url, name="state")

    def check(_start: bytes | None) -> None:
        other.save(b"other")

    with pytest.raises(StoreReplacedError):
        store.save(b"ours", check=check)
    assert store.load() == b"other"
    other.close()


def test_of_many_who_count_up_each_sees_what_was_there(url: str) -> None:
    """An older number never takes the place of a newer one, whoever is faster."""
    seen: list[int] = []

    def count(times: int) -> None:
        store = SnapshotStore(url, name="state")
        while times:
            number = int(store.load() or b"0") + 1

            def check(start: bytes | None, number: int = number) -> None:
                if int(start or b"0") >= number:
                    raise LookupError

            try:
                store.save(b"%d" % number, check=check)
            except (LookupError, StoreReplacedError):
                continue
            seen.append(number)
            times -= 1
        store.close()

    threads = [threading.Thread(target=count, args=(15,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == list(range(1, 46))


def test_a_store_that_is_replaced_each_time_it_is_read_says_so(
    store: SnapshotStore, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    store.save(b"there")
    tries = []

    def items() -> Iterator[object]:
        tries.append(1)
        raise StoreReplacedError("was replaced")
        yield

    monkeypatch.setattr(store._store, "items", items)
    with pytest.raises(StoreReplacedError):
        store.load()
    assert len(tries) == 5
    with open_feature_store(url, name="state") as plain:
        assert [stored.value for _, stored in plain.items()] == [b"there"]
