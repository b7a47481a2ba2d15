"""The benchmark compares what is the same: the peers read and write the values that we do."""

from __future__ import annotations

from feature_store_bench import Call, in_redis, in_sqlite

from data_connector.feature_store import Stored

VALUES = {f"customer:{n}": b"value %d" % n for n in range(50)}
KEYS = ["customer:7", "customer:49", "customer:0"]


def read(call: Call, keys: list[str]) -> dict[str, bytes]:
    """What it found, in the order of the keys where it is a list."""
    found = call(keys)
    if isinstance(found, list):
        return dict(zip(keys, found, strict=True))
    assert isinstance(found, dict)
    return {key: it.value if isinstance(it, Stored) else it for key, it in found.items()}


def test_in_sqlite_all_read_and_write_the_same() -> None:
    with in_sqlite(VALUES, b"new") as pairs:
        one, many, write = (pairs[f"feature_store_{name}"] for name in ("get1", "get32", "put32"))
        for read_one, read_many, write_many in zip(one, many, write, strict=True):
            assert read(read_one, KEYS) == {KEYS[0]: VALUES[KEYS[0]]}
            assert read(read_many, KEYS) == {key: VALUES[key] for key in KEYS}
            for _ in range(2):
                write_many(KEYS)
            assert read(read_many, list(VALUES)) == VALUES | dict.fromkeys(KEYS, b"new")


def test_in_redis_all_read_the_same() -> None:
    with in_redis(VALUES, b"") as pairs:
        for call in pairs["feature_store_redis_get32"]:
            assert read(call, KEYS) == {key: VALUES[key] for key in KEYS}
