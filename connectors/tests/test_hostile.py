"""Hostile names and values are stored as they stand or refused: they never run, never break out."""

from __future__ import annotations

import string
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

import data_connector as dc

Psql = Callable[[str, str], list[tuple[object, ...]]]

CANARY = pa.table({"alive": [True]})

# What SQL, its drivers, and formats of text give a meaning, to be put together at will.
FRAGMENTS = [
    *("'", '"', "`", ";", "--", "/*", "*/", "\\", "\\.", "\0", "\n", "\r", "\t", ",", "(", ")"),
    *("%", "%s", "%(a)s", "%%", ":a", "::int", "?", "?1", "$1", "$$", "@", "{0}", "{", "}", "."),
    *("DROP TABLE canary", "DELETE FROM canary", "UPDATE canary SET alive = NULL", "COMMIT"),
    *("select", "table", "NULL", "TRUE", "rowid", "excluded", "main", "public", "pg_temp"),
    *("canary", "fetched", "numbered", "ü", "ß", "\u202e", "\ufeff", "🦊", " ", "\ud800"),
]
texts = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=3), min_size=1, max_size=5).map(
    "".join
)


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def fresh(
    request: pytest.FixtureRequest, tmp_path: Path, psql: Psql, mysql: Psql
) -> Callable[[], str]:
    """Makes a database that holds only the canary; its URL."""

    def sqlite() -> str:
        (tmp_path / "data.db").unlink(missing_ok=True)
        return f"sqlite:///{tmp_path}/data.db"

    def postgresql() -> str:
        url: str = request.getfixturevalue("postgresql")
        psql(url, "DROP SCHEMA public CASCADE")
        psql(url, "CREATE SCHEMA public")
        return url

    def mariadb() -> str:
        url: str = request.getfixturevalue("mariadb")
        mysql(url, f"CREATE OR REPLACE DATABASE {sa.make_url(url).database}")
        return url

    def make() -> str:
        url = {"sqlite": sqlite, "postgresql": postgresql, "mariadb": mariadb}[request.param]()
        dc.load(CANARY, url, table="canary")
        return url

    return make


def is_text(value: str) -> bool:
    """Whether UTF-8 has it."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


def is_kept(url: str, table: str, columns: list[str], value: str) -> bool:
    """Whether the database can hold it all."""
    names = [table, *columns]
    if not all(is_text(name) and "\0" not in name for name in names):
        return False
    if url.startswith("sqlite"):
        # SQLite's own folding of case knows ASCII only, ours is stricter.
        return len({name.lower() for name in columns}) == len(columns)
    if url.startswith("mysql"):
        return len({name.lower() for name in columns}) == len(columns) and all(
            0 < len(name) <= 64 and max(name) <= "\uffff" and name[-1] not in string.whitespace
            for name in names
        )
    return "\0" not in value and all(0 < len(name.encode()) <= 63 for name in names)


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(table=texts, key=texts, column=texts, value=texts)
@example(table='"; DROP TABLE canary; --', key='")); DROP TABLE canary; --', column='"', value="'")
@example(table="excluded", key="excluded", column="numbered", value="\\.")
@example(table="a", key="rowid", column="%s %(a)s :a ?", value="%s %(a)s :a ?")
@example(table="a\0", key="b", column="c", value="d")
@example(table="a", key="b\0", column="c", value="d\0")
@example(table="a\ud800", key="b", column="c", value="d")
@example(table="a", key="b", column="c", value="d\0")
@example(table="x" * 64, key="b", column="c", value="d")
def test_what_can_be_kept_is_kept_and_the_rest_is_refused(
    fresh: Callable[[], str], table: str, key: str, column: str, value: str
) -> None:
    assume(key != column and is_text(key + column + value))  # Arrow takes no others
    assume(table and table.lower() != "canary")
    url = fresh()
    rows = pa.table([[value, f"{value}!"], [1, 2]], names=[key, column])
    if is_kept(url, table, [key, column], value):
        for _ in range(2):
            dc.load(rows, url, table=table, if_exists="upsert", key=[key])
            assert set(dc.list_tables(url)) == {table, "canary"}
            read = dc.fetch(url, table=table, columns=[column, key])
            assert read.read_all().select([key, column]) == rows
        dc.load(rows, url, table=table, if_exists="replace")
        dc.load(rows, url, table=table, if_exists="append")
        assert dc.fetch(url, table=table).read_all() == pa.concat_tables([rows, rows])
    else:
        for if_exists in ("upsert", "replace"):
            with pytest.raises((dc.SchemaMismatchError, dc.WriteError)):
                dc.load(rows, url, table=table, if_exists=if_exists, key=[key])  # type: ignore[arg-type]
    assert dc.fetch(url, table="canary").read_all() == CANARY


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(table=texts, column=texts)
@example(table='canary"; DROP TABLE canary; --', column='alive" FROM canary; DROP TABLE canary; --')
@example(table="\0", column="\0")
@example(table="\ud800", column="\ud800")
def test_what_is_not_there_is_not_found(fresh: Callable[[], str], table: str, column: str) -> None:
    assume(table != "canary")
    url = fresh()
    with pytest.raises(dc.TableNotFoundError):
        dc.fetch(url, table=table)
    with pytest.raises(dc.ColumnNotFoundError):
        dc.fetch(url, table="canary", columns=[column])
    assert dc.fetch(url, table="canary").read_all() == CANARY
