"""A journal in Redis: its refusals, and a server that forgets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from data_connector.errors import CorruptSourceError, JournalReplacedError, WriteError
from data_connector.journal import Entry, open_journal
from tools.servers.redis import RedisServer, redis_server


@pytest.fixture
def client(redis_session: RedisServer, redis_url: str) -> Iterator[redis.Redis]:
    """The server, past the library."""
    with redis.Redis(unix_socket_path=str(redis_session.socket)) as opened:
        yield opened


def test_a_server_that_forgot_everything_is_noticed() -> None:
    with redis_server() as server, open_journal(server.url) as journal:
        journal.append(b"1", after=0)
        server.kill()
        server.start()
        with pytest.raises(JournalReplacedError, match="ends at position 0, before 1"):
            journal.append(b"2", after=1)
        assert journal.last() == 0


@pytest.mark.parametrize("dropped", ["{journal}:entries", "{journal}:head"])
def test_a_server_that_drops_a_key_is_noticed(
    redis_url: str, client: redis.Redis, dropped: str
) -> None:
    with open_journal(redis_url) as journal:
        journal.append(b"1", after=0)
        client.delete(dropped)
        for call in (lambda: journal.append(b"2", after=1), journal.last, lambda: journal.trim(1)):
            with pytest.raises(CorruptSourceError, match="'journal'.*is damaged.*anew"):
                call()
        journal.close()
    with open_journal(redis_url) as journal, pytest.raises(CorruptSourceError, match="damaged"):
        journal.since(0)


def test_a_server_without_room_refuses_an_append(redis_url: str, client: redis.Redis) -> None:
    with open_journal(redis_url) as journal:
        journal.append(b"1", after=0)
        client.config_set("maxmemory", 1)
        try:
            with pytest.raises(WriteError, match="nothing was written.*maxmemory"):
                journal.append(b"2", after=1)
        finally:
            client.config_set("maxmemory", 0)
        assert journal.append(b"3", after=1) == [Entry(2, b"3")]


def test_keys_of_another_kind_or_format_are_refused(redis_url: str, client: redis.Redis) -> None:
    client.set("{texts}:entries", "text")
    client.hset("{newer}:head", "format", "2")
    for name in ("texts", "newer"):
        with pytest.raises(CorruptSourceError, match=f"'{name}'.*no journal of format 1"):
            open_journal(redis_url, name=name)
