"""The benchmark compares what is the same: every contender loads the rows that we do."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from load_bench import OURS, TABLE, payments, postgresql, sqlite

import data_connector as dc
from tools.servers.postgresql import postgresql_running

ROWS = payments(1_000)


def loaded(url: str) -> pa.Table:
    """What others see, with times of no zone, as pandas writes them to SQLite, taken for UTC."""
    return dc.fetch(url, table=TABLE).read_all().cast(ROWS.schema)


def test_into_postgresql_all_load_the_rows() -> None:
    with postgresql_running("secret") as server:
        url = server.url.render_as_string(hide_password=False)
        contenders = dict(postgresql(ROWS, url))
        assert len(contenders) == 4
        for who, (run, rows) in contenders.items():
            for _ in range(2):  # each replaces what it loaded before
                run()
                assert loaded(url) == ROWS.slice(0, rows), who


def test_into_sqlite_all_load_the_rows(tmp_path: Path) -> None:
    files = {OURS: "ours.db", "sqlite3, executemany of ready tuples": "raw.db"}
    contenders = dict(sqlite(ROWS, tmp_path))
    assert len(contenders) == 3
    for who, (run, rows) in contenders.items():
        url = f"sqlite:///{tmp_path}/{files.get(who, 'pandas.db')}"
        for _ in range(2):
            run()
            assert loaded(url) == ROWS.slice(0, rows), who
