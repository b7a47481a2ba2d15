"""A journal whose connection is cut, or whose server is killed: once, not at all, or unknown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
import sqlalchemy as sa
from cutting_proxy import CuttingProxy

from data_connector.errors import OutcomeUnknownError, SourceUnreachableError
from data_connector.journal import Entry, Journal, open_journal
from tools.servers.postgresql import PostgresqlServer
from tools.servers.redis import RedisServer, redis_server


@pytest.fixture
def journal(through_proxy: str) -> Iterator[Journal]:
    """A journal behind the proxy."""
    with open_journal(through_proxy) as opened:
        yield opened


@pytest.fixture
def other(direct: str) -> Iterator[Journal]:
    """The same journal, without the proxy."""
    with open_journal(direct) as opened:
        yield opened


def values(journal: Journal) -> list[bytes]:
    return [entry.value for entry in journal.since(0)]


# A call has several answers: those that come before the last are of preparing.
@pytest.mark.parametrize("after", range(4))
def test_an_append_is_done_once_whichever_answer_is_lost(
    journal: Journal, proxy: CuttingProxy, after: int
) -> None:
    for n in range(4):
        proxy.lose_answer(after=after)
        assert journal.append(b"%d" % n, after=n) == [Entry(n + 1, b"%d" % n)]
        assert journal.since(n) == [Entry(n + 1, b"%d" % n)]
    assert values(journal) == [b"0", b"1", b"2", b"3"]


def test_an_append_that_was_not_done_is_done_once(journal: Journal, proxy: CuttingProxy) -> None:
    journal.append(b"1", after=0)
    proxy.cut()
    assert journal.append(b"2", after=1) == [Entry(2, b"2")]
    assert values(journal) == [b"1", b"2"]


def test_reading_and_trimming_go_on_whichever_answer_is_lost(
    journal: Journal, proxy: CuttingProxy
) -> None:
    for n in range(3):
        journal.append(b"%d" % n, after=n)
    for n in range(3):
        proxy.lose_answer(after=n)
        assert journal.since(1) == [Entry(2, b"1"), Entry(3, b"2")]
        proxy.lose_answer(after=n)
        assert journal.last() == 3
        proxy.lose_answer(after=n)
        journal.trim(1)
        assert journal.since(1) == [Entry(2, b"1"), Entry(3, b"2")]


def test_of_an_append_that_was_done_others_may_have_been_told(
    journal: Journal, proxy: CuttingProxy, other: Journal
) -> None:
    journal.append(b"1", after=0)
    proxy.lose_answer(lambda: other.append(b"3", after=0))
    # Those after it are not told: they were not there when it was appended.
    assert journal.append(b"2", after=0) == [Entry(1, b"1"), Entry(2, b"2")]
    assert values(other) == [b"1", b"2", b"3"]


def test_of_an_append_that_is_trimmed_since_the_outcome_is_unknown(
    journal: Journal, proxy: CuttingProxy, other: Journal
) -> None:
    journal.append(b"1", after=0)
    proxy.lose_answer(lambda: other.trim(2))
    with pytest.raises(OutcomeUnknownError, match="trimmed up to position 2") as caught:
        journal.append(b"2", after=1)
    # Nor by another try, which must not append it again.
    with pytest.raises(OutcomeUnknownError, match="trimmed up to position 2"):
        journal.append(b"2", after=1, token=caught.value.version)
    assert other.last() == 2


def test_an_append_whose_server_does_not_come_back_can_be_repeated_later(
    journal: Journal, proxy: CuttingProxy, other: Journal
) -> None:
    journal.append(b"1", after=0)
    proxy.lose_answer(proxy.refuse)
    with pytest.raises(OutcomeUnknownError, match="same value= and after=, and token=") as caught:
        journal.append(b"2", after=1)
    # From now on it is known that nothing is done.
    with pytest.raises(SourceUnreachableError, match="check host, port") as known:
        journal.append(b"3", after=1)
    assert not isinstance(known.value, OutcomeUnknownError)
    other.append(b"4", after=0)
    repeated = other.append(b"2", after=1, token=caught.value.version)
    assert repeated == [Entry(2, b"2")]
    assert values(other) == [b"1", b"2", b"4"]


@pytest.mark.parametrize("direct", ["postgresql"], indirect=True)
def test_an_append_whose_repetition_fails_otherwise_has_an_unknown_outcome(
    through_proxy: str, proxy: CuttingProxy, direct: str
) -> None:
    impatient = sa.make_url(through_proxy).update_query_dict({"options": "-c lock_timeout=50"})
    with (
        open_journal(impatient.render_as_string(hide_password=False)) as journal,
        closing(psycopg.connect(direct)) as other,
    ):
        journal.append(b"1", after=0)
        proxy.lose_answer(lambda: other.execute("SELECT FROM journal_head FOR UPDATE"))
        with pytest.raises(OutcomeUnknownError, match="lock timeout") as caught:
            journal.append(b"2", after=1)
        other.rollback()
        journal.append(b"2", after=1, token=caught.value.version)
        assert values(journal) == [b"1", b"2"]


def test_a_journal_on_a_server_that_is_killed_goes_on(server_to_kill: PostgresqlServer) -> None:
    server_to_kill.start()
    with open_journal(server_to_kill.url.render_as_string(hide_password=False)) as journal:
        assert "***" in repr(journal) and "pa55" not in repr(journal)
        kill_and_start(journal, server_to_kill)


def test_a_journal_on_a_redis_that_keeps_all_goes_on() -> None:
    with (
        redis_server("--appendonly", "yes", "--appendfsync", "always") as server,
        open_journal(server.url) as journal,
    ):
        kill_and_start(journal, server)


def kill_and_start(journal: Journal, server: PostgresqlServer | RedisServer) -> None:
    journal.append(b"1", after=0)
    journal.append(b"2", after=1)
    journal.trim(1)
    server.kill()
    for call in (journal.last, lambda: journal.append(b"lost", after=2)):
        with pytest.raises(SourceUnreachableError, match="check host, port"):
            call()
    server.start()
    assert journal.append(b"3", after=1) == [Entry(2, b"2"), Entry(3, b"3")]
    server.kill()
    server.start()
    assert journal.append(b"4", after=2) == [Entry(3, b"3"), Entry(4, b"4")]
