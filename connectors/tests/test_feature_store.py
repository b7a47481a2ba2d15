"""What holds for every feature store: one suite, which each backend must pass."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_connector.errors import (
    ConflictError,
    StoreReplacedError,
    UnsupportedSourceError,
)
from data_connector.feature_store import FeatureStore, Stored, open_feature_store


@pytest.fixture(params=["sqlite", "postgresql", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/features.db"
    fixture = "postgresql" if request.param == "postgresql" else "redis_url"
    found: str = request.getfixturevalue(fixture)
    return found


@pytest.fixture
def store(url: str) -> Iterator[FeatureStore]:
    with open_feature_store(url) as opened:
        yield opened


def values(store: FeatureStore) -> dict[bytes, bytes]:
    return {key: stored.value for key, stored in store.items()}


def put(store: FeatureStore, **items: bytes) -> int:
    """Write, whatever is there."""
    there = store.get_many(list(items))
    return store.put_many(
        {key: Stored(new, there[key].version if key in there else 0) for key, new in items.items()}
    )


def test_what_is_put_comes_back_and_what_is_not_there_is_absent(store: FeatureStore) -> None:
    version = store.put_many({"c:1": Stored(b"one", 0), "t:1": Stored(b"", 0)})
    assert store.get_many(["c:1", "t:1", "c:2"]) == {
        "c:1": Stored(b"one", version),
        "t:1": Stored(b"", version),
    }
    assert store.get_many([]) == {}


def test_every_put_gives_another_version(store: FeatureStore) -> None:
    versions = {put(store, a=b"same") for _ in range(5)}
    assert len(versions) == 5
    assert 0 not in versions


def test_text_is_its_utf_8(store: FeatureStore) -> None:
    version = put(store, größe=b"1")
    encoded = "größe".encode()
    assert store.get_many([encoded]) == {encoded: Stored(b"1", version)}
    assert values(store) == {encoded: b"1"}


def test_values_and_many_keys_of_any_size_come_back(store: FeatureStore) -> None:
    large = os.urandom(5_000_000)
    put(store, large=large)
    assert store.get_many(["large"])["large"].value == large
    many = [b"\0%d" % n for n in range(40_000)]
    store.replace_all((key, key) for key in many)
    read = store.get_many(many)
    assert {key: stored.value for key, stored in read.items()} == dict(zip(many, many, strict=True))


def test_a_stale_version_is_a_conflict_that_names_its_keys_and_writes_nothing(
    store: FeatureStore,
) -> None:
    old = put(store, a=b"1", b=b"1")
    new = put(store, b=b"2")
    with pytest.raises(ConflictError, match=r"nothing was written.*'b'") as caught:
        store.put_many({"a": Stored(b"3", old), "b": Stored(b"3", old), "c": Stored(b"3", 0)})
    assert caught.value.keys == ("b",)
    assert store.get_many(["a", "b", "c"]) == {"a": Stored(b"1", old), "b": Stored(b"2", new)}


def test_a_key_that_must_not_be_there_but_is_is_a_conflict(store: FeatureStore) -> None:
    put(store, a=b"1")
    with pytest.raises(ConflictError) as caught:
        store.put_many({b"a": Stored(b"2", 0), b"b": Stored(b"2", 0)})
    assert caught.value.keys == (b"a",)
    assert values(store) == {b"a": b"1"}


def test_a_deleted_value_does_not_come_back(store: FeatureStore) -> None:
    old = put(store, a=b"1", b=b"1")
    store.delete_many(["a", "never there"])
    store.delete_many([])
    with pytest.raises(ConflictError):
        store.put_many({"a": Stored(b"2", old)})
    assert values(store) == {b"b": b"1"}
    # Not even to a key that is there again, with the same value.
    put(store, a=b"1")
    with pytest.raises(ConflictError):
        store.put_many({"a": Stored(b"2", old)})


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ([""], "1 to 512 bytes, got 0"),
        (["ü" * 257], "1 to 512 bytes, got 514"),
        ("alone", "a list of keys, not the key 'alone'"),
        (b"alone", "a list of keys"),
        (["\ud800"], "surrogates"),
    ],
)
def test_what_is_no_key_is_refused(store: FeatureStore, keys: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        store.get_many(keys)
    with pytest.raises(ValueError, match=message):
        store.delete_many(keys)
    if isinstance(keys, list):
        with pytest.raises(ValueError, match=message):
            store.put_many({keys[0]: Stored(b"", 0)})
        with pytest.raises(ValueError, match=message):
            store.replace_all([(keys[0], b"")])


@pytest.mark.parametrize("version", [-1, 2**63])
def test_what_is_no_version_is_refused(store: FeatureStore, version: int) -> None:
    with pytest.raises(ValueError, match=f"'a'.*{version}"):
        store.put_many({"a": Stored(b"", version)})


def test_a_value_that_is_not_bytes_is_refused(store: FeatureStore) -> None:
    with pytest.raises(TypeError, match="'a'.*bytes, got str"):
        store.put_many({"a": Stored("text", 0)})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="'a'.*bytes, got int"):
        store.replace_all([("a", 1)])  # type: ignore[list-item]
    assert values(store) == {}


def test_a_closed_store_is_refused(url: str) -> None:
    store = open_feature_store(url)
    store.close()
    store.close()
    with pytest.raises(ValueError, match="closed"):
        store.get_many(["a"])


def test_what_is_put_is_there_for_the_next_who_opens(url: str) -> None:
    with open_feature_store(url) as store:
        version = put(store, a=b"1")
    with open_feature_store(url) as store:
        assert store.get_many(["a"]) == {"a": Stored(b"1", version)}


def test_stores_of_other_names_are_apart(url: str, store: FeatureStore) -> None:
    put(store, a=b"1")
    with open_feature_store(url, name="table") as other:  # a word of SQL
        assert values(other) == {}
        put(other, a=b"2")
        other.replace_all([("b", b"3")])
    assert values(store) == {b"a": b"1"}


@pytest.mark.parametrize("name", ["", "Features", "a-b", 'a"b', "1a", "a" * 41, "a\n"])
def test_a_name_of_other_characters_is_refused(url: str, name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        open_feature_store(url, name=name)


@pytest.mark.parametrize("other", ["mysql://u:s3cr3t@h/d", "features.db", "file:///features"])
def test_other_urls_are_refused(other: str) -> None:
    with pytest.raises(UnsupportedSourceError, match="postgresql, redis.*sqlite") as caught:
        open_feature_store(other)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("batch", [1, 3, 10, 1000])
def test_items_come_once(store: FeatureStore, batch: int) -> None:
    expected = {b"%d" % n: os.urandom(n) for n in range(10)}
    store.replace_all(expected.items())
    found = list(store.items(batch=batch))
    assert len(found) == 10
    assert {key: stored.value for key, stored in found} == expected
    with pytest.raises(ValueError, match="batch"):
        store.items(batch=0)


def test_items_come_once_while_others_write(store: FeatureStore) -> None:
    # More than Redis packs into one piece, which it would give at once.
    kept = {b"%d" % n for n in range(1000)}
    store.replace_all((key, b"") for key in kept)
    found = []
    for n, (key, _) in enumerate(store.items(batch=10)):
        found.append(key)
        put(store, **{f"new {n}": b"", "999": b"changed"})
    assert sorted(key for key in found if not key.startswith(b"new")) == sorted(kept)
    assert len(found) == len(set(found))


def test_items_of_a_replaced_store_are_an_error_and_no_mixture(store: FeatureStore) -> None:
    store.replace_all((f"{n}", b"old") for n in range(1000))
    reading = store.items(batch=10)
    assert next(reading)[1].value == b"old"
    store.replace_all((f"{n}", b"new") for n in range(1000))
    found = []
    with pytest.raises(StoreReplacedError, match="start again"):
        found.extend(stored.value for _, stored in reading)
    assert set(found) <= {b"old"}


def test_replacing_replaces_all_and_fails_writers_of_before(store: FeatureStore) -> None:
    old = put(store, a=b"1", b=b"1")
    new = store.replace_all([("a", b"2"), ("c", b"first"), ("c", b"2")])
    assert store.get_many(["a", "b", "c"]) == {"a": Stored(b"2", new), "c": Stored(b"2", new)}
    for key in ("a", "b"):
        with pytest.raises(ConflictError):
            store.put_many({key: Stored(b"3", old)})
    assert values(store) == {b"a": b"2", b"c": b"2"}
    store.put_many({"a": Stored(b"3", new), "b": Stored(b"3", 0)})
    assert values(store) == {b"a": b"3", b"b": b"3", b"c": b"2"}


def test_a_key_that_comes_twice_far_apart_has_its_last_value(store: FeatureStore) -> None:
    store.replace_all((f"{n % 1500}", b"%d" % n) for n in range(3000))
    assert values(store) == {b"%d" % n: b"%d" % (n + 1500) for n in range(1500)}


def test_replacing_by_nothing_empties(store: FeatureStore) -> None:
    put(store, a=b"1")
    store.replace_all([])
    assert values(store) == {}
    put(store, a=b"1")
    assert values(store) == {b"a": b"1"}


class SourceBrokeError(Exception): ...


def test_a_replacement_that_breaks_off_changes_nothing(store: FeatureStore) -> None:
    old = put(store, a=b"1")

    def breaking() -> Iterator[tuple[str, bytes]]:
        yield from ((f"{n}", b"2") for n in range(2500))
        assert values(store) == {b"a": b"1"}  # nobody sees it in the making
        raise SourceBrokeError

    with pytest.raises(SourceBrokeError):
        store.replace_all(breaking())
    assert store.get_many(["a", "0"]) == {"a": Stored(b"1", old)}
    store.put_many({"a": Stored(b"2", old)})


def test_of_two_replacements_at_once_the_later_wins(url: str, store: FeatureStore) -> None:
    put(store, a=b"1")

    def overtaken() -> Iterator[tuple[str, bytes]]:
        yield from ((f"{n}", b"slow") for n in range(1000))
        with open_feature_store(url) as other:
            other.replace_all([("a", b"quick")])
        yield "z", b"slow"

    with pytest.raises(StoreReplacedError, match="one run at a time"):
        store.replace_all(overtaken())
    assert values(store) == {b"a": b"quick"}


REPLACE_HALF = """
import sys
from data_connector.feature_store import open_feature_store

def items():
    for n in range(2500):
        yield f"{n}", b"half"
    stop_here()

open_feature_store(sys.argv[1]).replace_all(items())
"""


def test_a_killed_replacement_leaves_the_old_values_and_its_own_go_with_the_next(
    url: str, store: FeatureStore, killed: Callable[..., None]
) -> None:
    old = put(store, a=b"1")
    killed(REPLACE_HALF, url)
    assert values(store) == {b"a": b"1"}
    store.put_many({"a": Stored(b"2", old)})
    store.replace_all([("b", b"3")])
    assert values(store) == {b"b": b"3"}


def test_readers_see_the_old_or_the_new_and_never_a_mixture(url: str, store: FeatureStore) -> None:
    keys = [f"{n}" for n in range(50)]
    store.replace_all((key, b"0") for key in keys)
    done = threading.Event()

    def read() -> set[int]:
        seen = []
        with open_feature_store(url) as reader:
            while not done.is_set() or not seen:
                seen.append({stored.value for stored in reader.get_many(keys).values()})
        return {len(found) for found in seen}

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        try:
            for n in range(1, 40):
                store.replace_all((key, b"%d" % n) for key in keys)
        finally:
            done.set()
        assert reading.result() == {1}


def test_threads_share_a_store_and_lose_nothing(store: FeatureStore) -> None:
    def increment(_: int) -> None:
        while True:
            there = store.get_many(["n"]).get("n", Stored(b"0", 0))
            try:
                store.put_many({"n": Stored(b"%d" % (int(there.value) + 1), there.version)})
            except ConflictError:
                continue
            return

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(increment, range(100)))
    assert store.get_many(["n"])["n"].value == b"100"


# Adds 1 to both counters, again and again; says so each time.
INCREMENT = """
import sys
from data_connector.errors import ConflictError
from data_connector.feature_store import Stored, open_feature_store

url, times = sys.argv[1], int(sys.argv[2])
print("ready", flush=True)
input()
with open_feature_store(url) as store:
    for _ in range(times):
        while True:
            there = store.get_many(["a", "b"])
            new = {
                key: Stored(b"%d" % (int(there[key].value) + 1), there[key].version)
                if key in there else Stored(b"1", 0)
                for key in (["a", "b"] if times % 2 else ["b", "a"])
            }
            try:
                store.put_many(new)
            except ConflictError:
                continue
            break
        print("added", flush=True)
"""


def test_processes_lose_no_update_though_one_is_killed(url: str) -> None:
    # Nobody has opened it yet: they also create it at once.
    with ExitStack() as stack:
        children = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", INCREMENT, url, str(times)],
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for times in (60, 61, 1_000_000)
        ]
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        for child in children:
            assert child.stdin is not None
            child.stdin.write("\n")
            child.stdin.flush()
        *lasting, victim = children
        assert victim.stdout is not None
        for _ in range(30):
            assert victim.stdout.readline() == "added\n"
        victim.kill()
        killed = 30 + victim.stdout.read().count("added\n")
        for child in lasting:
            child.communicate()
            assert child.returncode == 0
    with open_feature_store(url) as store:
        found = values(store)
    # Of its last one, the killed one may not have had the answer.
    assert int(found[b"a"]) - 60 - 61 - killed in (0, 1)
    assert found[b"a"] == found[b"b"]


FORK = """
import os, sys
from data_connector.feature_store import Stored, open_feature_store

with open_feature_store(sys.argv[1]) as store:
    version = store.put_many({"a": Stored(b"parent", 0)})
    child = os.fork()
    if not child:
        store.put_many({"a": Stored(b"child", version)})
        store.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    print(store.get_many(["a"])["a"].value.decode())
"""


def test_a_store_goes_on_on_both_sides_of_a_fork(url: str, python: Callable[..., str]) -> None:
    assert python(FORK, url) == "child\n"


FORK_AMONG_THREADS = """
import os, sys, threading
from data_connector.feature_store import Stored, open_feature_store

def read():
    while not done.is_set():
        store.get_many(["a"])

done = threading.Event()
with open_feature_store(sys.argv[1]) as store:
    store.put_many({"a": Stored(b"1", 0)})
    reading = threading.Thread(target=read)
    reading.start()
    for _ in range(20):
        child = os.fork()
        if not child:
            os._exit(0 if store.get_many(["a"])["a"].value == b"1" else 1)
        assert os.waitpid(child, 0)[1] == 0
    done.set()
    reading.join()
print("done")
"""


def test_a_fork_waits_for_the_calls_of_other_threads(url: str, python: Callable[..., str]) -> None:
    assert python(FORK_AMONG_THREADS, url) == "done\n"


keys = st.binary(min_size=1, max_size=3)
steps = st.one_of(
    st.tuples(st.just("put"), st.dictionaries(keys, st.binary(max_size=9), max_size=5)),
    st.tuples(st.just("stale put"), st.dictionaries(keys, st.binary(max_size=9), min_size=1)),
    st.tuples(st.just("delete"), st.lists(keys, max_size=3)),
    st.tuples(st.just("replace"), st.dictionaries(keys, st.binary(max_size=9), max_size=5)),
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(history=st.lists(steps, max_size=12))
def test_a_store_is_a_dictionary(store: FeatureStore, history: list[tuple[str, object]]) -> None:
    store.replace_all([])
    expected: dict[bytes, Stored] = {}
    for step, with_what in history:
        if step == "delete":
            assert isinstance(with_what, list)
            store.delete_many(with_what)
            expected = {key: it for key, it in expected.items() if key not in with_what}
            continue
        assert isinstance(with_what, dict)
        nothing = Stored(b"", 0)
        new = {k: Stored(v, expected.get(k, nothing).version) for k, v in with_what.items()}
        if step == "replace":
            version = store.replace_all(with_what.items())
            expected = {key: Stored(value, version) for key, value in with_what.items()}
        elif step == "put":
            version = store.put_many(new)
            expected |= {key: Stored(it.value, version) for key, it in new.items()}
        else:
            wrong = min(new)
            new[wrong] = Stored(new[wrong].value, new[wrong].version + 1)
            with pytest.raises(ConflictError) as caught:
                store.put_many(new)
            assert caught.value.keys == (wrong,)
        assert dict(store.items(batch=2)) == expected
