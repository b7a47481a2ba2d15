"""The folder of entries: nothing false in it, nothing half, and never too much."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest

from tools.cache.store import AC, CAS, FullError, RefusedError, Store, StoreError, on_disk
from tools.cache.tests.messages import result, tree

MB = 1 << 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    made = Store(folder, 10 * MB)
    yield made
    made.close()


def name_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def put(store: Store, content: bytes, kind: str = CAS, name: str = "") -> str:
    """The name of an entry, stored."""
    name = name or name_of(content)
    upload = store.begin(kind, name)
    try:
        store.add(upload, content)
        store.commit(upload)
    finally:
        store.abort(upload)
    return name


def get(store: Store, name: str) -> bytes | None:
    blob = store.blob(name)
    if blob is None:
        return None
    with blob.file:
        return blob.file.read()


def bytes_on_disk(folder: Path) -> int:
    """What the files take, found out by walking."""
    found = 0
    for file in folder.rglob("*"):
        try:
            found += on_disk(file.stat().st_size) if file.is_file() else 0
        except FileNotFoundError:  # gone meanwhile
            continue
    return found


def blocks(number: int, salt: int = 0) -> bytes:
    """Content that takes so many blocks, different for each salt."""
    return Random(salt).randbytes(number * 4096)


# --- What is stored -------------------------------------------------------------------------------


def test_what_was_stored_comes_back(store: Store) -> None:
    assert get(store, put(store, b"hello")) == b"hello"
    action = name_of(b"the action")
    put(store, result(b"hello"), AC, action)
    assert store.result(action) == result(b"hello")


def test_a_blob_that_is_not_its_name_is_refused_and_gone(store: Store, folder: Path) -> None:
    with pytest.raises(RefusedError, match=f"not {name_of(b'something else')}"):
        put(store, b"hello", name=name_of(b"something else"))
    assert get(store, name_of(b"something else")) is None
    assert store.used == 0 == bytes_on_disk(folder)


def test_a_result_that_is_none_is_refused(store: Store) -> None:
    with pytest.raises(RefusedError, match="no ActionResult"):
        put(store, b"\xffnonsense", AC, name_of(b"the action"))
    assert store.result(name_of(b"the action")) is None


def test_an_upload_is_not_seen_before_its_end(store: Store, folder: Path) -> None:
    upload = store.begin(CAS, name_of(b"hello"))
    store.add(upload, b"hel")
    assert get(store, upload.digest) is None
    store.abort(upload)
    assert get(store, upload.digest) is None
    assert store.used == 0 == bytes_on_disk(folder)


def test_what_an_ended_process_left_half_is_cleared(store: Store, folder: Path) -> None:
    upload = store.begin(CAS, name_of(b"hello"))
    store.add(upload, b"hel")
    upload.file.close()
    store.close()
    again = Store(folder, 10 * MB)
    assert again.used == 0 == bytes_on_disk(folder)
    again.close()


def test_two_servers_do_not_share_a_folder(store: Store, folder: Path) -> None:
    with pytest.raises(StoreError, match="another server uses"):
        Store(folder, 10 * MB)


def test_a_full_disk_costs_the_upload_and_nothing_else(store: Store, folder: Path) -> None:
    kept = put(store, b"kept")
    used = store.used
    upload = store.begin(CAS, name_of(b"hello"))
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, upload.file.fileno())
    os.close(full)
    with pytest.raises(OSError) as error:  # noqa: PT011 (its number is looked at)
        store.add(upload, b"hello")
    assert error.value.errno == errno.ENOSPC
    store.abort(upload)
    assert get(store, kept) == b"kept" and store.used == used == bytes_on_disk(folder)


# --- What the disk did meanwhile ------------------------------------------------------------------


@pytest.mark.parametrize("found", [b"", b"hel", b"hellO", b"hello and more"])
def test_a_blob_that_changed_on_disk_is_a_miss_after_a_restart(
    store: Store, folder: Path, found: bytes
) -> None:
    name = put(store, b"hello")
    store.close()
    (folder / "cas" / name[:2] / name).write_bytes(found)
    again = Store(folder, 10 * MB)
    assert get(again, name) is None and again.counts.corrupt == 1
    assert again.used == 0 == bytes_on_disk(folder)
    put(again, b"hello")
    assert get(again, name) == b"hello"
    again.close()


def test_a_blob_that_was_cut_under_a_running_server_is_a_miss(store: Store, folder: Path) -> None:
    name = put(store, b"hello")
    os.truncate(folder / "cas" / name[:2] / name, 3)
    assert get(store, name) is None and store.counts.corrupt == 1


@pytest.mark.parametrize("length", [0, 10, 32, 40])
def test_a_result_that_was_cut_is_a_miss(store: Store, folder: Path, length: int) -> None:
    action = name_of(b"the action")
    put(store, b"hello")
    put(store, result(b"hello"), AC, action)
    os.truncate(folder / "ac" / action[:2] / action, length)
    assert store.result(action) is None and store.counts.corrupt == 1


def test_a_result_that_was_changed_is_a_miss(store: Store, folder: Path) -> None:
    action = name_of(b"the action")
    put(store, result(b"hello"), AC, action)
    file = folder / "ac" / action[:2] / action
    file.write_bytes(file.read_bytes().replace(name_of(b"hello").encode(), b"0" * 64))
    assert store.result(action) is None and store.counts.corrupt == 1


def test_a_file_removed_by_hand_is_a_miss_and_frees_its_room(store: Store, folder: Path) -> None:
    name = put(store, b"hello")
    (folder / "cas" / name[:2] / name).unlink()
    assert get(store, name) is None and store.used == 0


# --- Results of actions ---------------------------------------------------------------------------


def test_a_result_without_one_of_its_blobs_is_a_miss(store: Store) -> None:
    folder = tree([b"in the folder"], [b"below it"])
    blobs = [b"one", b"two", folder, b"in the folder", b"below it", b"printed"]
    whole = result(b"one", b"two", b"", folder=folder, stdout=b"printed")
    for missing in (None, *blobs):
        action = name_of(b"action %d" % hash(missing))
        fresh = Store(store.folder / action, 10 * MB)
        put(fresh, whole, AC, action)
        for blob in blobs:
            if blob != missing:
                put(fresh, blob)
        assert fresh.result(action) == (None if missing else whole), missing
        assert fresh.counts.incomplete == (1 if missing else 0)
        fresh.close()


def test_the_blobs_of_a_result_are_used_with_it(folder: Path) -> None:
    store = Store(folder, 5 * 4096)
    first, second = put(store, blocks(1, 1)), put(store, blocks(1, 2))
    action = name_of(b"the action")
    put(store, result(blocks(1, 1)), AC, action)
    assert store.result(action)
    put(store, blocks(3, 3))  # one has to go: the oldest was used by the action
    assert store.has_blob(first) and not store.has_blob(second) and store.result(action)
    store.close()


# --- How much is stored ---------------------------------------------------------------------------


def test_the_least_recently_used_goes_first(folder: Path) -> None:
    store = Store(folder, 3 * 4096)
    names = [put(store, blocks(1, salt)) for salt in range(3)]
    assert get(store, names[0])
    put(store, blocks(1, 3))
    assert [store.has_blob(name) for name in names] == [True, False, True]
    assert (store.counts.evicted, store.counts.evicted_bytes) == (1, 4096)
    store.close()


def test_the_order_of_use_outlives_a_restart_that_allows_less(folder: Path) -> None:
    store = Store(folder, 3 * 4096)
    names = [put(store, blocks(1, salt)) for salt in range(3)]
    assert get(store, names[0])
    store.close()
    smaller = Store(folder, 4096)
    assert [smaller.has_blob(name) for name in names] == [True, False, False]
    assert bytes_on_disk(folder) == smaller.used == 4096
    smaller.close()


def test_an_entry_counts_once_however_often_it_comes(store: Store, folder: Path) -> None:
    for _ in range(3):
        put(store, b"hello")
    assert store.used == 4096 == bytes_on_disk(folder)
    assert store.entries() == {AC: 0, CAS: 1}


def test_what_can_never_fit_evicts_nothing(folder: Path) -> None:
    store = Store(folder, 3 * 4096)
    kept = put(store, b"kept")
    with pytest.raises(FullError, match="larger than"):
        put(store, blocks(4))
    assert get(store, kept) == b"kept"
    store.close()


def test_uploads_under_way_count(folder: Path) -> None:
    store = Store(folder, 3 * 4096)
    first, second = (store.begin(CAS, name_of(blocks(2, salt))) for salt in (1, 2))
    store.add(first, blocks(2, 1))
    with pytest.raises(FullError, match="uploads under way"):
        store.add(second, blocks(2, 2))
    store.abort(second)
    store.commit(first)
    store.close()


def test_the_bound_holds_at_every_moment_of_many_writers_and_readers(folder: Path) -> None:
    most = 64 * 4096
    store = Store(folder, most)
    seen: list[int] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.is_set():
            with store._lock:  # else the files change while they are counted
                seen.append(bytes_on_disk(folder))
                assert seen[-1] <= store.used

    def work(seed: int) -> int:
        random, stored = Random(seed), 0
        for _ in range(60):
            content = blocks(random.randint(1, 8), random.randint(0, 40))
            try:
                put(store, content)
                stored += 1
            except FullError:  # the other writers' uploads fill it just now
                pass
            other = blocks(random.randint(1, 8), random.randint(0, 40))
            assert get(store, name_of(other)) in (None, other)
        return stored

    watcher = threading.Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(6) as pool:
        stored = sum(pool.map(work, range(6)))
    ended.set()
    watcher.join()
    assert stored > 200 and store.counts.evicted > 50
    assert seen and max(seen) <= most
    assert store.used == bytes_on_disk(folder) <= most
    store.close()
    again = Store(folder, most)  # finds the same
    assert again.used == store.used and again.entries() == store.entries()
    again.close()
