"""Machine code reads from PostgreSQL what psycopg reads, and nothing that is malformed."""

from __future__ import annotations

import ctypes
import datetime as dt
import mmap
import os
import signal
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ctypes import CFUNCTYPE, POINTER, c_int, c_size_t, c_void_p
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import psycopg
import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

import data_connector as dc
from data_connector import postgresql_blocks, postgresql_rows
from data_connector.native_code import LIBRARY
from data_connector.postgresql_blocks import RowReader, blocks, row_reader
from data_connector.postgresql_copy import HEADER, TRAILER

Psql = Callable[[str, str], list[tuple[object, ...]]]

on_one_server = settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
decimals = st.decimals(allow_nan=False, allow_infinity=False, places=8, min_value=-(10**20))

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "boolean": st.booleans(),
    "smallint": st.integers(-(2**15), 2**15 - 1),
    "integer": st.integers(-(2**31), 2**31 - 1),
    "bigint": st.integers(-(2**63), 2**63 - 1),
    "real": st.floats(width=32, allow_nan=False),
    "double precision": st.floats(allow_nan=False),
    "oid": st.integers(0, 2**32 - 1),
    "numeric(30, 8)": decimals.filter(lambda value: abs(value) < 10**20),
    "text": texts,
    "char(9)": texts.map(lambda text: text[:9]),
    "bytea": st.binary(max_size=20),
    "date": st.dates(),
    "timestamp": st.datetimes(),
    "timestamptz": st.datetimes(
        dt.datetime.fromisoformat("0001-01-02"),
        dt.datetime.fromisoformat("9999-12-30"),
        timezones=st.just(dt.UTC),
    ),
}


@pytest.fixture(autouse=True)
def needs_machine_code() -> None:
    assert LIBRARY.exists()
    assert row_reader() is not None


@contextmanager
def connected(url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(url) as connection:
        yield connection


def fill(url: str, declared: list[str], rows: list[tuple[Any, ...]]) -> None:
    """A table `rows` with columns a, b, ... of the declared types."""
    names = "abcdefghij"[: len(declared)]
    with connected(url) as connection:
        columns = ", ".join(f"{name} {it}" for name, it in zip(names, declared, strict=True))
        connection.execute("DROP TABLE IF EXISTS rows")
        connection.execute(sql.SQL(f"CREATE TABLE rows ({columns})"))  # type: ignore[arg-type]
        marks = ", ".join("%s" for _ in declared)
        connection.cursor().executemany(f"INSERT INTO rows VALUES ({marks})", rows)  # type: ignore[arg-type]


@on_one_server
@given(st.data())
def test_both_ways_give_the_same(
    postgresql: str, monkeypatch: pytest.MonkeyPatch, data: st.DataObject
) -> None:
    declared = data.draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=4))
    row = st.tuples(*(st.one_of(st.none(), VALUES[it]) for it in declared))
    rows = data.draw(st.lists(row, max_size=20))
    fill(postgresql, declared, rows)
    by_machine_code = dc.fetch(postgresql, table="rows", batch_rows=4).read_all()
    with monkeypatch.context() as patched:
        patched.setattr(postgresql_rows, "row_reader", lambda: None)
        by_psycopg = dc.fetch(postgresql, table="rows", batch_rows=4).read_all()
    assert by_machine_code == by_psycopg
    assert by_machine_code.num_rows == len(rows)
    for name, kind in zip("abcd", declared, strict=False):
        if not kind.startswith("char"):  # which is padded
            expected = [row["abcd".index(name)] for row in rows]
            assert by_machine_code[name].to_pylist() == expected


def is_a_numeric(number: Decimal) -> bool:
    exponent = number.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -16_383 and number.adjusted() < 131_072


@on_one_server
@given(
    st.lists(
        st.one_of(
            st.sampled_from(["NaN", "Infinity", "-Infinity", "0.000", "10000", "-9999.0001"]),
            st.decimals(allow_nan=False, allow_infinity=False).filter(is_a_numeric),
            st.decimals(-1, 1).filter(is_a_numeric),
            st.builds("{}e{}".format, st.integers(1, 9), st.integers(-16_383, 131_071)),
        ),
        max_size=10,
    )
)
def test_a_numeric_is_the_text_that_the_server_makes_of_it(
    postgresql: str, numbers: list[Decimal | str]
) -> None:
    fill(postgresql, ["numeric"], [(it,) for it in numbers])
    with connected(postgresql) as connection:
        columns = connection.execute("SELECT a, a::text FROM rows LIMIT 0").description or []
        select = "SELECT a, a::text FROM rows"
        with postgresql_rows.copied(connection, select, columns, 4) as rows:
            for number, text in rows.blocks:
                assert number == text


def test_texts_of_any_length_go_through(postgresql: str) -> None:
    longest = 5_000_000
    sizes = [700_000] * 5 + [0, longest, 1]
    rows = [(str(n) * size, bytes([n]) * (longest - size), n) for n, size in enumerate(sizes)]
    fill(postgresql, ["text", "bytea", "boolean"], [(a, b, c % 3 == 0) for a, b, c in rows])
    read = dc.fetch(postgresql, table="rows").read_all().to_pydict()
    assert read["a"] == [row[0] for row in rows]
    assert read["b"] == [row[1] for row in rows]
    assert read["c"] == [row[2] % 3 == 0 for row in rows]


def test_a_text_that_is_no_utf8_does_not_leave_the_server(postgresql: str, psql: Psql) -> None:
    psql(
        postgresql,
        "CREATE DATABASE plain ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0",
    )
    try:
        plain = sa.make_url(postgresql).set(database="plain")
        url = plain.render_as_string(hide_password=False)
        query = r"SELECT 'fine' AS a UNION ALL SELECT convert_from('\xff41', 'SQL_ASCII')"
        with pytest.raises(dc.QueryError, match='invalid byte sequence for encoding "UTF8": 0xff'):
            dc.fetch(url, query=query).read_all()
    finally:
        psql(postgresql, "DROP DATABASE plain WITH (FORCE)")


SLOW = "SELECT 1 AS a FROM (SELECT pg_sleep(600)) AS slow"
RUNNING = "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'COPY (%'"


def assert_it_ends(psql: Psql, url: str) -> None:
    """The server has been told to stop, and stops when it gets round to it."""
    deadline = time.monotonic() + 30
    while psql(url, RUNNING):
        assert time.monotonic() < deadline


def test_a_query_that_is_slow_hears_ctrl_c_and_ends_on_the_server(
    postgresql: str, psql: Psql
) -> None:
    template = sa.make_url(postgresql).set(database="template1")
    other = template.render_as_string(hide_password=False)

    def interrupt_it_once_it_runs() -> None:
        while not psql(other, RUNNING):
            pass
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt_it_once_it_runs, daemon=True)
    thread.start()
    with pytest.raises(KeyboardInterrupt), dc.fetch(postgresql, query=SLOW) as reader:
        reader.read_all()
    thread.join()
    assert_it_ends(psql, other)


def test_a_reader_that_is_closed_early_leaves_no_query_behind(postgresql: str, psql: Psql) -> None:
    query = "SELECT n, pg_sleep(n / 100000) FROM generate_series(1, 1000000) n"
    with dc.fetch(postgresql, query=query, columns=["n"], batch_rows=10) as reader:
        reader.read_next_batch()
    assert_it_ends(psql, postgresql)


class FakeLibpq:
    """A libpq that yields the given messages, but no empty ones.

    A message ends where memory begins that nobody may read: who goes too far is killed.
    """

    def __init__(self, messages: list[bytes]) -> None:
        self.messages = filter(None, messages)
        self.is_held = False
        self.memory = mmap.mmap(-1, 2 * mmap.PAGESIZE)
        self.end = ctypes.addressof(ctypes.c_char.from_buffer(self.memory)) + mmap.PAGESIZE
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.mprotect(c_void_p(self.end), c_size_t(mmap.PAGESIZE), 0) == 0  # PROT_NONE
        self.functions = (
            CFUNCTYPE(c_int, c_void_p, POINTER(c_void_p), c_int)(self._get),
            CFUNCTYPE(c_int, c_void_p)(lambda _: 1),
            CFUNCTYPE(None, c_void_p)(self._free),
        )
        addresses = (ctypes.cast(function, c_void_p) for function in self.functions)
        real = row_reader()
        assert real is not None
        self.reader = RowReader(real.read, real.free, postgresql_blocks._Libpq(*addresses))

    def _get(self, _connection: int, buffer: Any, _asynchronous: int) -> int:
        message = next(self.messages, None)
        if message is None:
            return -1
        assert not self.is_held
        self.is_held = True
        buffer[0] = self.end - len(message)
        ctypes.memmove(buffer[0], message, len(message))
        return len(message)

    def _free(self, _address: int) -> None:
        self.is_held = False

    def rows(self, types: list[int], n_rows: int) -> list[list[pa.Array]]:
        """The blocks, as `blocks` makes them."""
        read, write = os.pipe()
        pgconn = SimpleNamespace(socket=read, pgconn_ptr=None, get_result=lambda: None)
        connection: Any = SimpleNamespace(pgconn=pgconn)
        try:
            return list(blocks(self.reader, connection, types, n_rows))
        finally:
            os.close(read)
            os.close(write)


TYPES = [16, 21, 23, 20, 25, 1082, 1114, 26, 1700, 2950]
ROW = struct.pack(
    ">h i? ih ii iq i3s ii iq iI i4h2H",
    *(len(TYPES), 1, True, 2, -7, 4, 8, 8, -9, 3, b"abc", 4, 10, 8, 11, 4, 2**32 - 1),
    *(12, 2, 0, 0, 2, 12, 3400),
) + struct.pack(">i16s", 16, bytes(16))
NULLS = struct.pack(f">h{len(TYPES)}i", len(TYPES), *[-1] * len(TYPES))


def test_rows_are_read_as_they_are_sent() -> None:
    fake = FakeLibpq([HEADER + ROW, NULLS, ROW, TRAILER])
    first, second = fake.rows(TYPES, 2)
    values = [array.to_pylist() for array in first]
    day = dt.date(2000, 1, 11)
    instant = dt.datetime.fromisoformat("2000-01-01T00:00:00.000011")
    row = [True, -7, 8, -9, "abc", day, instant, 2**32 - 1, "12.34", None]
    assert values == [[value, None] for value in row]
    assert [array.to_pylist() for array in second] == [[value] for value in row]
    assert not fake.is_held


def test_a_block_has_no_memory_for_rows_that_long_texts_leave_no_room_for() -> None:
    texts = ["x" * 4_000] * 2_000 + ["y"] * 70_000
    rows = [struct.pack(">hi", 1, len(text)) + text.encode() for text in texts]
    found = FakeLibpq([HEADER + rows[0], *rows[1:], TRAILER]).rows([25], 65_536)
    (first,), (second,) = found[:2]
    assert len(first) < 300  # of a megabyte
    assert second.get_total_buffer_size() < 1_100_000
    assert max(len(block) for (block,) in found) > 40_000  # of short ones there are many again
    assert [text for (block,) in found for text in block.to_pylist()] == texts


@settings(deadline=None, max_examples=2_000)
@given(st.data())
def test_no_bytes_do_harm(data: st.DataObject) -> None:
    whole = [HEADER + ROW, NULLS, ROW, TRAILER]
    number = data.draw(st.integers(0, len(whole) - 1))
    message = bytearray(whole[number])
    for _ in range(data.draw(st.integers(0, 3))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    whole[number] = bytes(message[: data.draw(st.integers(0, len(message)))])
    whole[number] += data.draw(st.binary(max_size=3))
    fake = FakeLibpq(whole)
    with suppress(psycopg.DataError):
        for block in fake.rows(TYPES, data.draw(st.integers(1, 4))):
            for array in block:
                if not pa.types.is_string(array.type):  # the server sees to it that it is UTF-8
                    array.validate(full=True)
    assert not fake.is_held


@pytest.mark.parametrize(
    "messages",
    [
        [b"PGCOPY\n\xff\r\n\1" + bytes(8) + ROW],
        [HEADER[:-8] + b"\0\1\0\0" + bytes(4) + ROW],  # with oids
        [HEADER + ROW[:-1]],
        [HEADER + ROW + b"\0"],
        [HEADER + b"\0\1" + ROW[2:]],
        [HEADER + ROW, b"\0"],
    ],
)
def test_what_is_no_row_is_an_error(messages: list[bytes]) -> None:
    fake = FakeLibpq(messages)
    with pytest.raises(psycopg.DataError, match="another form than it described"):
        fake.rows(TYPES, 4)
    assert not fake.is_held
