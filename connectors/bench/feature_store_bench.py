"""How fast online state is read and written: the feature store against plain SQLite and Redis."""

from __future__ import annotations

import random
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, closing
from itertools import cycle
from pathlib import Path

import redis
from redis_server import redis_server

from data_connector.feature_store import FeatureStore, Stored, open_feature_store
from tools.bench.harness import Result, in_turn, say

PLAIN_SQLITE = "sqlite3, SELECT and REPLACE by key"
PLAIN_REDIS = "redis-py, MGET"
KEYS = 10_000
VALUE_BYTES = 4_096
BATCH = 32

Keys = list[str]


def bench_feature_store(*, quick: bool) -> list[Result]:
    """Our microseconds a call, and how many times the peer takes those.

    The peers do what people write by hand: values by key, without versions, so that two writers
    lose each other's updates. Plain SQLite commits as it does unless told otherwise, which brings
    each write to the disk; ours leaves that to the operating system (`synchronous=NORMAL`), and
    compares versions first. Plain Redis takes its values from keys of their own.
    """
    calls = 32 if quick else 256  # a round
    rng = random.Random(7)  # noqa: S311 - the same keys in every run
    keys = [f"customer:{n}" for n in range(KEYS)]
    batches = cycle([rng.sample(keys, BATCH) for _ in range(calls)])
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        values = {key: rng.randbytes(VALUE_BYTES) for key in keys}
        say(f"a feature store of {KEYS:,} keys in SQLite")
        ours = stack.enter_context(open_feature_store(f"sqlite:///{folder}/ours.db"))
        ours.replace_all(values.items())
        plain = stack.enter_context(closing(plain_sqlite(folder / "plain.db", values)))
        writer = Writer(ours)
        new = rng.randbytes(VALUE_BYTES)
        say(f"one key, {BATCH} keys, and {BATCH} keys written")
        pairs: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
            "get1": (
                lambda: ours.get_many(next(batches)[:1]),
                lambda: plain_get_many(plain, next(batches)[:1]),
            ),
            "get32": (
                lambda: ours.get_many(next(batches)),
                lambda: plain_get_many(plain, next(batches)),
            ),
            "put32": (
                lambda: writer.put_many(next(batches), new),
                lambda: plain_put_many(plain, next(batches), new),
            ),
        }
        results = [
            measured(f"feature_store_{name}", PLAIN_SQLITE, *pair, calls)
            for name, pair in pairs.items()
        ]
        say("the same in Redis")
        server = stack.enter_context(redis_server())
        remote = stack.enter_context(open_feature_store(server.url))
        remote.replace_all(values.items())
        client = stack.enter_context(redis.Redis(unix_socket_path=str(server.socket)))
        client.mset(values)
        results.append(
            measured(
                "feature_store_redis_get32",
                PLAIN_REDIS,
                lambda: remote.get_many(next(batches)),
                lambda: client.mget(next(batches)),
                calls,
            )
        )
    return results


def measured(
    name: str, peer: str, ours: Callable[[], object], theirs: Callable[[], object], calls: int
) -> Result:
    """The median of nine rounds."""
    seconds = in_turn({"ours": repeated(ours, calls), peer: repeated(theirs, calls)}, rounds=9)
    return Result(
        name=name,
        value=seconds["ours"] / calls * 1e6,
        unit="us",
        peer=peer,
        ratio=seconds[peer] / seconds["ours"],
    )


def repeated(call: Callable[[], object], calls: int) -> Callable[[], None]:
    """One round."""

    def run() -> None:
        for _ in range(calls):
            call()

    return run


class Writer:
    """A scorer that knows the versions of what it wrote."""

    def __init__(self, store: FeatureStore) -> None:
        self._store = store
        self._versions = {key.decode(): it.version for key, it in store.items()}

    def put_many(self, keys: Keys, value: bytes) -> None:
        """Write the keys."""
        versions = self._versions
        new = self._store.put_many({key: Stored(value, versions[key]) for key in keys})
        versions.update(dict.fromkeys(keys, new))


def plain_sqlite(path: Path, values: dict[str, bytes]) -> sqlite3.Connection:
    """A table of keys and values."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE features (key TEXT PRIMARY KEY, value BLOB)")
    connection.executemany("INSERT INTO features VALUES (?, ?)", values.items())
    connection.commit()
    return connection


def plain_get_many(connection: sqlite3.Connection, keys: Keys) -> dict[str, bytes]:
    """Read key by key."""
    select = "SELECT value FROM features WHERE key = ?"
    return {key: connection.execute(select, (key,)).fetchone()[0] for key in keys}


def plain_put_many(connection: sqlite3.Connection, keys: Keys, value: bytes) -> None:
    """Write in one transaction."""
    connection.executemany("REPLACE INTO features VALUES (?, ?)", [(key, value) for key in keys])
    connection.commit()
