"""The benchmark compares what is the same: every contender yields the table that was loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
from fetch_bench import transactions
from fetch_peers import ALL, PEERS, TABLE, sum_of, table_of

import data_connector as dc


@pytest.mark.parametrize("name", PEERS["sqlite"])
def test_every_contender_yields_the_table(tmp_path: Path, name: str) -> None:
    rows = transactions(1_000)
    url = f"sqlite:///{tmp_path / 'transactions.db'}"
    dc.load(rows, url, table=TABLE)
    fetch = PEERS["sqlite"][name]
    assert table_of(fetch, url, ALL).to_pylist() == rows.to_pylist()
    assert sum_of(fetch, url, ALL) == pytest.approx(sum(rows["amount"].to_pylist()))
