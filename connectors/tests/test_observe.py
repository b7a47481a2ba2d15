"""A transfer says what it did, to the log and to people, and never says a password."""

from __future__ import annotations

import gc
import io
import logging
import re
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote_plus

import pyarrow as pa
import pytest
import sqlalchemy as sa
from rich.console import Console

import data_connector as dc
from data_connector.progress import progress_bar

TABLE = pa.table({"n": range(10)})


@pytest.fixture(params=["sqlite", "parquet"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A source of ten rows."""
    url = f"sqlite:///{tmp_path}/rows.db" if request.param == "sqlite" else f"{tmp_path}/rows.pq"
    dc.load(TABLE, url, table="rows")
    return url


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[logging.LogRecord]]:
    """The package's records at INFO since the last call."""
    caplog.set_level(logging.INFO, "data_connector")

    def take() -> list[logging.LogRecord]:
        taken = [record for record in caplog.records if record.name == "data_connector"]
        caplog.clear()
        return taken

    return take


Lines = Callable[[], list[logging.LogRecord]]


def test_a_load_is_a_line_that_says_how_much_where_and_how_long(place: str, lines: Lines) -> None:
    dc.load(TABLE, place, table="rows", if_exists="replace")
    (line,) = lines()
    assert line.levelno == logging.INFO
    assert line.getMessage().startswith("loaded 10 rows (80 bytes) in ")
    assert line.getMessage().endswith(place)
    assert vars(line).items() >= {"rows": 10, "bytes": 80, "place": place}.items()
    assert 0 < vars(line)["seconds"] < 60


@pytest.mark.parametrize(
    ("end", "rows"), [("exhausted", 10), ("closed", 4), ("unread", 0), ("collected", 4)]
)
def test_a_fetch_is_one_line_however_it_ends(place: str, lines: Lines, end: str, rows: int) -> None:
    reader = dc.fetch(place, batch_rows=4)
    if end == "exhausted":
        reader.read_all()
    elif end != "unread":
        reader.read_next_batch()
    if end == "collected":
        del reader
        gc.collect()
    else:
        reader.close()
    (line,) = lines()
    assert line.getMessage().startswith(f"fetched {rows} rows (")
    # A slice's nulls are counted in bytes.
    assert rows * 8 <= vars(line)["bytes"] < rows * 8 + 8


def test_what_breaks_off_says_so_once_and_without_the_error_s_own_words(
    place: str, lines: Lines
) -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        yield from TABLE.to_batches()
        raise RuntimeError("customer 4711")

    data = pa.RecordBatchReader.from_batches(TABLE.schema, broken())
    with pytest.raises(RuntimeError):
        dc.load(data, place, table="rows", if_exists="replace")
    (line,) = lines()
    assert line.getMessage().startswith("not loaded, RuntimeError after 10 rows")


def test_a_fetch_that_breaks_off_is_one_line(tmp_path: Path, lines: Lines) -> None:
    (tmp_path / "rows.csv").write_text("n\n" + "1\n" * 5_000_000 + "word\n")
    with pytest.raises(dc.SchemaMismatchError), dc.fetch(tmp_path / "rows.csv") as reader:
        reader.read_all()
    (line,) = lines()
    assert line.getMessage().startswith("not fetched, SchemaMismatchError after ")


def test_each_batch_is_a_line_for_who_debugs(place: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "data_connector")
    dc.fetch(place, batch_rows=4).read_all()
    told = [record for record in caplog.records if record.levelno == logging.DEBUG]
    assert [record.getMessage().split()[0] for record in told] == ["4", "8", "10"]


def test_progress_is_told_after_each_batch(place: str) -> None:
    told: list[tuple[int, int]] = []
    with dc.fetch(place, batch_rows=4, progress=lambda *so_far: told.append(so_far)) as reader:
        reader.read_all()
    assert [rows for rows, _ in told] == [4, 8, 10]
    assert 80 <= told[-1][1] < 90
    told.clear()
    dc.load(TABLE, place, table="rows", if_exists="replace", progress=lambda *it: told.append(it))
    assert told == [(10, 80)]


class HadEnoughError(Exception): ...


def test_progress_that_raises_stops_the_transfer(place: str) -> None:
    def stop(rows: int, size: int) -> None:
        raise HadEnoughError

    with pytest.raises(HadEnoughError):
        dc.fetch(place, progress=stop).read_all()
    with pytest.raises(HadEnoughError):
        dc.load(TABLE.slice(5), place, table="rows", if_exists="replace", progress=stop)
    assert dc.fetch(place).read_all() == TABLE


def test_people_see_a_bar(place: str) -> None:
    seen = io.StringIO()
    console = Console(file=seen, force_terminal=True, width=100)
    with progress_bar("[transactions]", total=10, console=console) as progress:
        dc.fetch(place, progress=progress).read_all()
    assert "[transactions]" in seen.getvalue()
    assert "10 rows" in seen.getvalue()
    assert re.search("8[0-9] bytes", seen.getvalue())


def shown(error: BaseException) -> str:
    """All that any tool may show of an error, and of those behind it."""
    texts = "".join(traceback.format_exception(error))
    seen: list[BaseException] = []
    behind: BaseException | None = error
    while behind is not None and behind not in seen:
        seen.append(behind)
        texts += repr(behind) + str(behind)
        behind = behind.__cause__ or behind.__context__
    return texts


def test_no_log_or_error_shows_the_password(
    postgresql: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    right = sa.make_url(postgresql)
    password = str(right.password)
    dc.load(TABLE, postgresql, table="rows", if_exists="upsert", key=["n"])
    dc.fetch(postgresql, batch_rows=2).read_all()
    places = [
        right.set(password=password + "wrong"),
        right.set(database="nowhere"),
        right.set(username="nobody"),
        right.set(host="127.0.0.1", port=1, query={}),
        right.update_query_dict({"options": "-c nonsense=1"}),
        right.update_query_dict({"sslmode": "nonsense"}),
    ]
    errors = []
    for place in places:
        url = place.render_as_string(hide_password=False)
        for attempt in (
            lambda url=url: dc.fetch(url, table="rows"),
            lambda url=url: dc.load(TABLE, url, table="rows", if_exists="append"),
            lambda url=url: dc.list_tables(url),
        ):
            with pytest.raises(dc.ConnectorError) as caught:
                attempt()
            errors.append(shown(caught.value))
    for query in ("SELECT 1 FROM nowhere", "SELECT 1/0", "SELECT 'a'::int"):
        with pytest.raises(dc.ConnectorError) as caught:
            dc.fetch(postgresql, query=query).read_all()
        errors.append(shown(caught.value))
    assert len(errors) == 21
    assert "fetched 10 rows" in caplog.text  # so that there was something to look through
    assert password not in "".join(errors) + caplog.text
    assert quote_plus(password) not in "".join(errors) + caplog.text
