"""A URL finds its backend; what is heavy is imported by it and not before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from data_connector.backends import choose_table, open_backend
from data_connector.errors import TableNotFoundError, UnsupportedSourceError
from data_connector.locations import parse


def test_an_unknown_scheme_lists_those_there_are() -> None:
    there = "abfs, .*duckdb, file, .*mariadb, .*mysql, postgresql, s3, .*sqlite"
    with pytest.raises(UnsupportedSourceError, match=f"oracle.*{there}"):
        open_backend(parse("oracle://host/db"))


WITHOUT_DRIVERS = """
import sys

for driver in ("duckdb", "fsspec", "psycopg", "pymysql", "redis"):
    sys.modules[driver] = None  # as if it were not installed

from data_connector import ConnectorError, fetch, open_feature_store

open_it = open_feature_store if sys.argv[1].startswith("redis") else fetch
try:
    open_it(sys.argv[1])
except ConnectorError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("url", "driver", "extra"),
    [
        ("duckdb:///x.duckdb", "duckdb", "duckdb"),
        ("mariadb://host/db", "pymysql", "mysql"),
        ("postgresql://host/db", "psycopg", "postgresql"),
        ("redis://host", "redis", "redis"),
        ("s3://bucket/rows.parquet", "fsspec", "s3"),
    ],
)
def test_a_driver_that_is_not_installed_is_told_with_the_extra_that_brings_it(
    python: Callable[..., str], url: str, driver: str, extra: str
) -> None:
    scheme = url.partition(":")[0]
    assert python(WITHOUT_DRIVERS, url) == (
        f"{scheme}: URLs need {driver}, which is not installed: install data-connector[{extra}]\n"
    )


def test_importing_the_package_imports_nothing_heavy(python: Callable[..., str]) -> None:
    heavy = {"pyarrow", "sqlalchemy", "psycopg", "pymysql", "numpy", "duckdb"}
    script = f"import sys, data_connector; print({heavy} & sys.modules.keys())"
    assert python(script) == "set()\n"


def test_a_file_needs_no_database_library(python: Callable[..., str], tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "others = set(sys.modules)\n"  # coverage, where it is measured, writes to SQLite itself
        "import data_connector as dc, pyarrow as pa\n"
        "dc.load(pa.table({'a': [1]}), sys.argv[1] + '.csv')\n"
        "dc.load(pa.table({'a': [1]}), sys.argv[1] + '.parquet')\n"
        "ours = sys.modules.keys() - others\n"
        "print({'sqlalchemy', 'psycopg', 'sqlite3', 'duckdb'} & ours)"
    )
    assert python(script, tmp_path / "rows") == "set()\n"


def test_the_only_table_is_chosen() -> None:
    assert choose_table(["a"], None) == "a"
    assert choose_table(["a", "b"], "b") == "b"
    with pytest.raises(TableNotFoundError, match="holds no table"):
        choose_table([], None)
    with pytest.raises(TableNotFoundError, match="'c'") as caught:
        choose_table(["a", "b"], "c")
    assert caught.value.available == ("a", "b")
