"""A feature store in Redis 5 or later; how durable it is, `redis_connection` tells.

All values are fields of one hash, so that one command reads many, and one `RENAME` replaces all. A
writer cannot take a value that came back from before for one that was lost: its version is another.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from data_connector.feature_backends import Page, Row
from data_connector.locations import DatabaseLocation
from data_connector.one_connection import FORMAT
from data_connector.redis_connection import RedisConnection

# A value is stored behind its version, in eight bytes.
_VERSION = struct.Struct(">q")

# Scripts run alone, and reach the disk whole. Versions stay text: numbers in Lua have 53 bits.
_PUT = """
local conflicts = {}
for i = 2, #ARGV, 3 do
    local there = redis.call('HGET', KEYS[1], ARGV[i])
    local version = there and string.sub(there, 1, 8) or '\\0\\0\\0\\0\\0\\0\\0\\0'
    if version ~= ARGV[i + 1] and version ~= ARGV[1] then
        conflicts[#conflicts + 1] = ARGV[i]
    end
end
if #conflicts == 0 then
    for i = 2, #ARGV, 3 do
        redis.call('HSET', KEYS[1], ARGV[i], ARGV[1] .. ARGV[i + 2])
    end
end
return conflicts
"""
_BUILD = """
if redis.call('HGET', KEYS[1], 'building') ~= ARGV[1] then
    return 0
end
for i = 2, #ARGV, 2 do
    redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
end
return 1
"""
_SWAP = """
if redis.call('HGET', KEYS[1], 'building') == ARGV[1] then
    redis.call('UNLINK', KEYS[3])
    if redis.call('EXISTS', KEYS[2]) == 1 then
        redis.call('RENAME', KEYS[2], KEYS[3])
    end
    redis.call('HSET', KEYS[1], 'current', ARGV[1])
    redis.call('HDEL', KEYS[1], 'building')
end
return redis.call('HGET', KEYS[1], 'current') == ARGV[1] and 1 or 0
"""
_ABANDON = """
if redis.call('HGET', KEYS[1], 'building') == ARGV[1] then
    redis.call('HDEL', KEYS[1], 'building')
    redis.call('UNLINK', KEYS[2])
end
"""


class RedisFeatures(RedisConnection):
    """Three keys."""

    def __init__(self, location: DatabaseLocation, name: str) -> None:
        super().__init__(location, name, kind="feature store")
        self._meta = f"{{{name}}}:meta"
        self._building = f"{{{name}}}:building"
        self._current = f"{{{name}}}:current"

    def connect(self) -> None:
        """Connect, and note the format where there is none yet."""
        super().connect()
        pipeline = self._open.pipeline()
        pipeline.hsetnx(self._meta, "format", FORMAT)
        pipeline.hget(self._meta, "format")
        pipeline.hlen(self._current)
        _, found, _ = pipeline.execute()
        if found != b"%d" % FORMAT:
            raise self._another(f"it says {found!r}")

    def get(self, keys: Sequence[bytes]) -> list[Row]:
        """One command."""
        found: Any = self._open.hmget(self._current, list(keys))
        return [
            self._row(key, packed)
            for key, packed in zip(keys, found, strict=True)
            if packed is not None
        ]

    def put(self, rows: Sequence[Row], version: int) -> list[bytes]:
        """One script."""
        arguments = [_VERSION.pack(version)]
        for key, expected, value in rows:
            arguments += [key, _VERSION.pack(expected), value]
        conflicts: list[bytes] = self._run(_PUT, [self._current], arguments)
        return conflicts

    def delete(self, keys: Sequence[bytes]) -> None:
        """One command."""
        self._open.hdel(self._current, *keys)

    def page(self, cursor: object | None, limit: int) -> Page:
        """What one `HSCAN` gives, but for keys that came before: it may repeat some."""
        position, seen = cursor if isinstance(cursor, tuple) else (0, set())
        pipeline = self._open.pipeline()
        pipeline.hget(self._meta, "current")
        pipeline.hscan(self._current, position, count=limit)
        generation, (position, found) = pipeline.execute()
        rows = [self._row(key, packed) for key, packed in found.items() if key not in seen]
        seen.update(found)
        after = (position, seen) if position else None
        return Page(generation=int(generation or 1), rows=rows, cursor=after)

    def begin(self, generation: int) -> None:
        """Note it, and drop what another left."""
        pipeline = self._open.pipeline()
        pipeline.hset(self._meta, "building", generation)
        pipeline.unlink(self._building)
        pipeline.execute()

    def build(self, generation: int, rows: Sequence[tuple[bytes, bytes]]) -> bool:
        """Write to the hash aside."""
        arguments: list[int | bytes] = [generation]
        for key, value in rows:
            arguments += [key, _VERSION.pack(generation) + value]
        return bool(self._run(_BUILD, [self._meta, self._building], arguments))

    def swap(self, generation: int) -> bool:
        """Rename the hash aside."""
        return bool(self._run(_SWAP, [self._meta, self._building, self._current], [generation]))

    def abandon(self, generation: int) -> None:
        """Drop it."""
        self._run(_ABANDON, [self._meta, self._building], [generation])

    def clean(self, limit: int) -> bool:  # noqa: ARG002
        """Nothing: the server drops a replaced hash by itself, in the background."""
        return False

    def _row(self, key: bytes, packed: bytes) -> Row:
        if len(packed) < _VERSION.size:
            raise self._another(f"no version at key {key!r}")
        (version,) = _VERSION.unpack_from(packed)
        return key, version, packed[_VERSION.size :]
