"""A journal in Redis 5 or later; how durable it is, `redis_connection` tells.

A journal that forgets its last entries is behind the replicas that have applied them: with anything
less than `appendonly yes` and `appendfsync always` a crash of the server may do that.
"""

from __future__ import annotations

import struct
from typing import Any

from data_connector.errors import ConnectorError, CorruptSourceError
from data_connector.journal_backends import Entry, Found, Row, through_token
from data_connector.locations import DatabaseLocation
from data_connector.one_connection import FORMAT
from data_connector.redis_connection import RedisConnection

# A value is stored behind its token, in eight bytes.
_TOKEN = struct.Struct(">q")

_DAMAGED = "DAMAGED"

# Scripts run alone, and reach the disk whole. Numbers in Lua are whole up to 2**53.
_HEAD = """
local head = redis.call('HMGET', KEYS[1], 'trimmed', 'last')
local trimmed, last = tonumber(head[1]), tonumber(head[2])
local there = redis.call('LLEN', KEYS[2])
if not (trimmed and last) or last - trimmed ~= there then
    return redis.error_reply('DAMAGED ' .. there .. ' entries where there were '
        .. tostring(head[1]) .. ' to ' .. tostring(head[2]))
end
"""
_APPEND = f"""
{_HEAD}
local after, entries = tonumber(ARGV[1]), {{}}
if after < trimmed or after > last then
    return {{trimmed, last, entries}}
end
if after < last then
    entries = redis.call('LRANGE', KEYS[2], after - last, -1)
end
for i = 1, #entries do
    if string.sub(entries[i], 1, 8) == ARGV[2] then
        return {{trimmed, last, entries}}
    end
end
redis.call('RPUSH', KEYS[2], ARGV[2] .. ARGV[3])
redis.call('HSET', KEYS[1], 'last', last + 1)
return {{trimmed, last, entries}}
"""
_SINCE = f"""
{_HEAD}
local after, entries = tonumber(ARGV[1]), {{}}
if after >= trimmed and after < last then
    local to = math.min(after + tonumber(ARGV[2]), last)
    entries = redis.call('LRANGE', KEYS[2], after - last, to - last - 1)
end
return {{trimmed, last, entries}}
"""
_TRIM = f"""
{_HEAD}
local mark = math.min(tonumber(ARGV[1]), trimmed + tonumber(ARGV[2]))
if mark <= trimmed then
    return 0
end
redis.call('LTRIM', KEYS[2], mark - trimmed, -1)
redis.call('HSET', KEYS[1], 'trimmed', mark)
return 1
"""


class RedisJournal(RedisConnection):
    """Two keys: a list of the entries, and a hash that tells the positions of first and last."""

    def __init__(self, location: DatabaseLocation, name: str) -> None:
        super().__init__(location, name, kind="journal")
        self._keys = [f"{{{name}}}:head", f"{{{name}}}:entries"]

    def connect(self) -> None:
        """Connect, and make what is missing."""
        super().connect()
        head, entries = self._keys
        pipeline = self._open.pipeline()
        for field, value in (("format", FORMAT), ("trimmed", 0), ("last", 0)):
            pipeline.hsetnx(head, field, value)
        pipeline.hget(head, "format")
        pipeline.llen(entries)
        *_, found, _ = pipeline.execute()
        if found != b"%d" % FORMAT:
            raise self._another(f"it says {found!r}")

    def translate(self, error: Exception) -> ConnectorError:
        """As for all; or keys that the server or somebody dropped."""
        if _DAMAGED in str(error):
            return CorruptSourceError(
                f"the journal {self._name!r} in {self._location} is damaged ({error}): delete its "
                "keys, and start all replicas anew"
            )
        return super().translate(error)

    def append(self, value: bytes, token: int, after: int) -> Found:
        """One script."""
        packed = _TOKEN.pack(token)
        trimmed, last, there = self._run(_APPEND, self._keys, [after, packed, value])
        entries, done = through_token(_rows(after, there), token)
        found = Found(trimmed, last, entries)
        if done or not found.knows(after):
            return found
        entries.append(Entry(last + 1, value))
        return Found(trimmed, last + 1, entries)

    def since(self, after: int, limit: int) -> Found:
        """One script."""
        trimmed, last, there = self._run(_SINCE, self._keys, [after, limit])
        rows = _rows(after, there)
        return Found(trimmed, last, [Entry(position, value) for position, _, value in rows])

    def head(self) -> Found:
        """One script."""
        return Found(*self._run(_HEAD + "return {trimmed, last, {}}", self._keys, []))

    def trim(self, through: int, limit: int) -> bool:
        """One script."""
        return bool(self._run(_TRIM, self._keys, [through, limit]))


def _rows(after: int, packed: list[Any]) -> list[Row]:
    return [
        (position, *_TOKEN.unpack_from(entry), entry[_TOKEN.size :])
        for position, entry in enumerate(packed, after + 1)
    ]
