"""How fast online state is read and written: the feature store against plain SQLite and Redis."""

from __future__ import annotations

import random
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import cycle
from pathlib import Path

import redis

from data_connector.feature_store import FeatureStore, Stored, open_feature_store
from tools.bench.harness import Result, in_turn, say
from tools.servers.redis import redis_server

PLAIN_SQLITE = "sqlite3, SELECT and REPLACE by key"
PLAIN_REDIS = "redis-py, MGET"
KEYS = 10_000
VALUE_BYTES = 4_096
BATCH = 32

Keys = list[str]
Call = Callable[[Keys], object]

# By the result's name: ours and the peer's.
Pairs = dict[str, tuple[Call, Call]]


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
    values = {key: rng.randbytes(VALUE_BYTES) for key in keys}
    results = []
    for peer, opened in {PLAIN_SQLITE: in_sqlite, PLAIN_REDIS: in_redis}.items():
        say(f"a feature store of {KEYS:,} keys against {peer}")
        with opened(values, rng.randbytes(VALUE_BYTES)) as pairs:
            results += [measured(name, peer, pair, batches, calls) for name, pair in pairs.items()]
    return results


@contextmanager
def in_sqlite(values: dict[str, bytes], new: bytes) -> Iterator[Pairs]:
    """Reads of one key and of all given, and writes of `new`: ours and the peer's."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ours = stack.enter_context(open_feature_store(f"sqlite:///{folder}/ours.db"))
        ours.replace_all(values.items())
        plain = stack.enter_context(closing(plain_sqlite(folder / "plain.db", values)))
        writer = Writer(ours)
        yield {
            "feature_store_get1": (
                lambda keys: ours.get_many(keys[:1]),
                lambda keys: plain_get_many(plain, keys[:1]),
            ),
            "feature_store_get32": (ours.get_many, lambda keys: plain_get_many(plain, keys)),
            "feature_store_put32": (
                lambda keys: writer.put_many(keys, new),
                lambda keys: plain_put_many(plain, keys, new),
            ),
        }


@contextmanager
def in_redis(values: dict[str, bytes], new: bytes) -> Iterator[Pairs]:  # noqa: ARG001
    """Reads of all keys given: ours and the peer's."""
    with (
        redis_server() as server,
        open_feature_store(server.url) as ours,
        redis.Redis(unix_socket_path=str(server.socket)) as plain,
    ):
        ours.replace_all(values.items())
        plain.mset(values)
        yield {"feature_store_redis_get32": (ours.get_many, plain.mget)}


def measured(
    name: str, peer: str, pair: tuple[Call, Call], batches: Iterator[Keys], calls: int
) -> Result:
    """The median of nine rounds."""
    ours, theirs = (repeated(call, batches, calls) for call in pair)
    seconds = in_turn({"ours": ours, peer: theirs}, rounds=9)
    return Result(
        name=name,
        value=seconds["ours"] / calls * 1e6,
        unit="us",
        peer=peer,
        ratio=seconds[peer] / seconds["ours"],
    )


def repeated(call: Call, batches: Iterator[Keys], calls: int) -> Callable[[], None]:
    """One round."""

    def run() -> None:
        for _ in range(calls):
            call(next(batches))

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
