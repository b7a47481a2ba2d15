"""What holds for every journal: one suite, which each backend must pass."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import IO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_connector.errors import (
    JournalReplacedError,
    JournalTrimmedError,
    UnsupportedSourceError,
)
from data_connector.journal import Entry, Journal, open_journal


@pytest.fixture(params=["sqlite", "postgresql", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/journal.db"
    fixture = "postgresql" if request.param == "postgresql" else "redis_url"
    found: str = request.getfixturevalue(fixture)
    return found


@pytest.fixture
def journal(url: str) -> Iterator[Journal]:
    with open_journal(url) as opened:
        yield opened


def fill(journal: Journal, entries: int) -> None:
    """Append `1`, `2`, ... to an empty journal."""
    for n in range(entries):
        journal.append(b"%d" % (n + 1), after=n)


def numbered(first: int, last: int) -> list[Entry]:
    """What `fill` appends."""
    return [Entry(n, b"%d" % n) for n in range(first, last + 1)]


def test_an_append_tells_all_that_came_before_it_and_itself_last(journal: Journal) -> None:
    assert journal.append(b"1", after=0) == numbered(1, 1)
    assert journal.append(b"2", after=1) == numbered(2, 2)
    assert journal.append(b"3", after=0) == numbered(1, 3)
    assert journal.since(0) == numbered(1, 3)


def test_equal_values_are_different_entries(journal: Journal) -> None:
    journal.append(b"same", after=0)
    assert journal.append(b"same", after=0) == [Entry(1, b"same"), Entry(2, b"same")]


def test_an_empty_journal_has_no_entries_and_ends_at_0(journal: Journal) -> None:
    assert (journal.trimmed(), journal.last()) == (0, 0)
    assert journal.since(0) == []
    journal.trim(5)
    assert journal.append(b"1", after=0) == numbered(1, 1)


def test_reading_goes_on_where_it_stopped(journal: Journal) -> None:
    fill(journal, 10)
    assert journal.since(0, limit=4) == numbered(1, 4)
    assert journal.since(4, limit=4) == numbered(5, 8)
    assert journal.since(8, limit=4) == numbered(9, 10)
    assert journal.since(9, limit=1) == numbered(10, 10)
    assert journal.since(10, limit=4) == []
    assert journal.last() == 10


@pytest.mark.parametrize("value", [b"", bytes(range(256)), os.urandom(5_000_000)], ids=len)
def test_values_of_any_size_come_back(journal: Journal, value: bytes) -> None:
    journal.append(b"before", after=0)
    assert journal.append(value, after=1) == [Entry(2, value)]
    assert journal.since(1) == [Entry(2, value)]


def test_what_is_trimmed_is_forgotten_and_nothing_else(journal: Journal) -> None:
    fill(journal, 10)
    for through in (4, 4, 0, 3):
        journal.trim(through)
        assert journal.trimmed() == 4
        assert journal.since(4) == numbered(5, 10)
        for after in (0, 3):
            with pytest.raises(JournalTrimmedError, match="up to position 4.*newer snapshot$"):
                journal.since(after)
    assert journal.last() == 10
    assert journal.append(b"11", after=9) == numbered(10, 11)


def test_more_than_one_piece_is_trimmed(journal: Journal) -> None:
    fill(journal, 1_000)
    journal.trim(950)
    assert journal.since(950) == numbered(951, 1_000)


def test_an_append_after_what_was_trimmed_appends_nothing(journal: Journal) -> None:
    fill(journal, 10)
    journal.trim(4)
    with pytest.raises(JournalTrimmedError, match="newer snapshot; nothing was appended"):
        journal.append(b"stale", after=3)
    assert journal._backend.append(b"stale", 1, 3).entries == []  # not read to be thrown away
    assert journal.last() == 10
    assert journal.append(b"11", after=4) == numbered(5, 11)


@pytest.mark.parametrize("trimmed", [0, 10])
def test_a_position_that_the_journal_never_had_is_an_error_and_appends_nothing(
    journal: Journal, trimmed: int
) -> None:
    fill(journal, 10)
    journal.trim(trimmed)
    with pytest.raises(JournalReplacedError, match="ends at position 10, before 11"):
        journal.append(b"ahead", after=11)
    with pytest.raises(JournalReplacedError, match="old copy; start all replicas anew"):
        journal.since(2**63 - 1)
    assert journal.last() == 10
    assert journal.since(10) == []


def test_positions_go_on_when_all_is_trimmed_and_it_is_opened_again(url: str) -> None:
    with open_journal(url) as journal:
        fill(journal, 3)
        journal.trim(100)
        assert journal.last() == 3
        assert journal.since(3) == []
    with open_journal(url) as journal:
        assert journal.last() == 3
        assert journal.append(b"4", after=3) == numbered(4, 4)
        with pytest.raises(JournalTrimmedError):
            journal.since(2)


def test_a_token_appends_once(journal: Journal) -> None:
    assert journal.append(b"1", after=0, token=7) == numbered(1, 1)
    journal.append(b"2", after=1)
    # What came after it is not told: it was not there when it was appended.
    assert journal.append(b"1", after=0, token=7) == numbered(1, 1)
    assert journal.append(b"3", after=0, token=8) == numbered(1, 3)
    assert journal.last() == 3


@pytest.mark.parametrize("after", [-1, 2**63])
def test_what_is_no_position_is_refused(journal: Journal, after: int) -> None:
    for call in (journal.since, journal.trim, lambda after: journal.append(b"", after=after)):
        with pytest.raises(ValueError, match=f"0 or more, got .*={after}"):
            call(after)
    with pytest.raises(ValueError, match="token"):
        journal.append(b"", after=0, token=after)
    with pytest.raises(ValueError, match="limit must be positive, got limit=0"):
        journal.since(0, limit=0)


def test_a_value_that_is_not_bytes_is_refused(journal: Journal) -> None:
    with pytest.raises(TypeError, match="bytes, got str"):
        journal.append("text", after=0)  # type: ignore[arg-type]
    assert journal.last() == 0


def test_a_closed_journal_is_refused(url: str) -> None:
    journal = open_journal(url)
    journal.close()
    journal.close()
    with pytest.raises(ValueError, match="Journal.*closed"):
        journal.since(0)


def test_journals_of_other_names_are_apart(url: str, journal: Journal) -> None:
    fill(journal, 2)
    with open_journal(url, name="table") as other:  # a word of SQL
        assert other.append(b"1", after=0) == numbered(1, 1)
        other.trim(1)
    assert journal.since(0) == numbered(1, 2)


@pytest.mark.parametrize("name", ["", "Journal", "a-b", 'a"; DROP', "1a", "a" * 41, "a\n"])
def test_a_name_of_other_characters_is_refused(url: str, name: str) -> None:
    with pytest.raises(ValueError, match="a journal's name"):
        open_journal(url, name=name)


@pytest.mark.parametrize("other", ["mysql://u:s3cr3t@h/d", "journal.db", "file:///journal"])
def test_other_urls_are_refused(other: str) -> None:
    with pytest.raises(UnsupportedSourceError, match="no journal.*postgresql, redis") as caught:
        open_journal(other)
    assert "s3cr3t" not in str(caught.value)


def test_threads_share_a_journal_and_leave_no_gap(journal: Journal) -> None:
    def append(n: int) -> int:
        return journal.append(b"%d" % n, after=0)[-1].position

    with ThreadPoolExecutor(4) as pool:
        positions = list(pool.map(append, range(100)))
    assert sorted(positions) == list(range(1, 101))
    found = journal.since(0)
    assert [found[position - 1].value for position in positions] == [b"%d" % n for n in range(100)]


# A replica: it appends `times` values that name it, then reads until it has all, and tells its
# last position and the hash of what it applied.
REPLICA = """
import hashlib, sys
from data_connector.journal import open_journal

url, name, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
position, digest = 0, hashlib.sha256()

def apply(entries):
    global position
    for entry in entries:
        position += 1
        assert entry.position == position
        digest.update(entry.value)

print("ready", flush=True)
input()
with open_journal(url) as journal:
    for n in range(times):
        apply(journal.append(f"{name} {n} ".encode() + bytes(3000), after=position))
        print("appended", flush=True)
    input()
    while entries := journal.since(position, limit=7):
        apply(entries)
print(position, digest.hexdigest())
"""


def pipes(child: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    assert child.stdin is not None and child.stdout is not None
    return child.stdin, child.stdout


def go_on(child: subprocess.Popen[str]) -> None:
    question, _ = pipes(child)
    question.write("\n")
    question.flush()


def test_replicas_agree_though_others_are_killed_at_any_moment(url: str) -> None:
    times, random = 50, Random(5)
    killed = []
    with ExitStack() as stack:

        def replica(name: str, times: int) -> subprocess.Popen[str]:
            child = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", REPLICA, url, name, str(times)],
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            assert pipes(child)[1].readline() == "ready\n"
            return child

        # Nobody has opened it yet: they also create it at once.
        lasting = [replica(f"lasting{n}", times) for n in range(3)]
        victims = [replica(f"victim{n}", 1_000_000) for n in range(3)]
        for child in (*lasting, victims[0]):
            go_on(child)
        for n, victim in enumerate(victims):
            if n:
                go_on(victim)
            told = random.randrange(1, 20)
            for _ in range(told):
                assert pipes(victim)[1].readline() == "appended\n"
            victim.kill()
            killed.append(told + pipes(victim)[1].read().count("appended\n"))
        for child in lasting:
            assert [pipes(child)[1].readline() for _ in range(times)] == ["appended\n"] * times
        ends = {child.communicate("\n")[0] for child in lasting}
        assert [child.returncode for child in lasting] == [0, 0, 0]
    with open_journal(url) as journal:
        entries = journal.since(0, limit=100_000)
        assert [entry.position for entry in entries] == list(range(1, journal.last() + 1))
    values = [entry.value for entry in entries]
    digest = hashlib.sha256(b"".join(values)).hexdigest()
    assert ends == {f"{len(values)} {digest}\n"}
    for n in range(3):
        assert counted(values, f"lasting{n}") == times
        # Of its last one, the killed one may not have had the answer.
        assert counted(values, f"victim{n}") - killed[n] in (0, 1)


def counted(values: list[bytes], name: str) -> int:
    """How many are whole and of `name`, which are in its order."""
    mine = [value for value in values if value.startswith(f"{name} ".encode())]
    assert mine == [f"{name} {n} ".encode() + bytes(3000) for n in range(len(mine))]
    return len(mine)


def test_trimming_disturbs_neither_writers_nor_readers(url: str, journal: Journal) -> None:
    done, trimmed = threading.Event(), threading.Event()

    def read() -> bytes:
        applied, position = hashlib.sha256(), 0
        with open_journal(url) as reader:
            while not done.is_set() or position < reader.last():
                for entry in reader.since(position, limit=10):
                    assert entry.position == position + 1
                    position = entry.position
                    applied.update(entry.value)
                positions["reader"] = position
        return applied.digest()

    def trim() -> None:
        with open_journal(url) as trimmer:
            while not done.is_set():
                if upto := min(positions.values()):
                    trimmer.trim(upto)
                    trimmed.set()

    positions = {"reader": 0, "writer": 0}
    with ThreadPoolExecutor(2) as pool:
        reading, trimming = pool.submit(read), pool.submit(trim)
        try:
            for n in range(1_000):
                if n == 500:  # SQLite may let no one else write while this loop does
                    assert trimmed.wait(timeout=60)
                assert journal.append(b"%d," % n, after=n) == [Entry(n + 1, b"%d," % n)]
                positions["writer"] = n + 1
        finally:
            done.set()
        trimming.result()
        expected = b"".join(b"%d," % n for n in range(1_000))
        assert reading.result() == hashlib.sha256(expected).digest()
    assert journal.last() == 1_000
    with pytest.raises(JournalTrimmedError):
        journal.since(0)


FORK = """
import os, sys
from data_connector.journal import open_journal

with open_journal(sys.argv[1]) as journal:
    journal.append(b"parent", after=0)
    child = os.fork()
    if not child:
        journal.append(b"child", after=1)
        journal.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    print([entry.value for entry in journal.append(b"parent", after=1)])
"""


def test_a_journal_goes_on_on_both_sides_of_a_fork(url: str, python: Callable[..., str]) -> None:
    assert python(FORK, url) == "[b'child', b'parent']\n"


steps = st.one_of(
    st.tuples(st.just("append"), st.integers(0, 12)),
    st.tuples(st.just("since"), st.integers(0, 12)),
    st.tuples(st.just("trim"), st.integers(0, 12)),
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(history=st.lists(steps, max_size=25))
def test_a_journal_is_a_list_that_forgets_its_start(
    url: str, journal: Journal, history: list[tuple[str, int]]
) -> None:
    # What the example before left is forgotten, and counts from its end.
    start = trimmed = journal.last()
    journal.trim(start)
    expected: list[Entry] = []
    for step, back in history:
        last = start + len(expected)
        position = last + 2 - back
        if step == "trim":
            journal.trim(max(position, 0))
            trimmed = max(trimmed, min(position, last))
        elif not trimmed <= position <= last:
            error = JournalTrimmedError if position < trimmed else JournalReplacedError
            if position < 0:
                continue
            with pytest.raises(error):
                journal.since(position)
            with pytest.raises(error):
                journal.append(b"refused", after=position)
        elif step == "since":
            assert journal.since(position, limit=3) == expected[position - start :][:3]
        else:
            expected.append(Entry(last + 1, b"%d" % last))
            found = journal.append(b"%d" % last, after=position)
            assert found == expected[position - start :]
        assert journal.last() == start + len(expected)
