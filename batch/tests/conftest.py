"""A small history for every test of the project."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from small_training import SMALL

import data_connector
from fraud_ml.simulator import Simulation, simulate


@pytest.fixture(scope="session")
def simulation() -> Simulation:
    return simulate(SMALL)


@pytest.fixture(scope="session")
def rows(simulation: Simulation) -> pa.Table:
    """Transactions with their labels in the same table, as a user's export would be."""
    return simulation.transactions.append_column("is_fraud", simulation.labels["is_fraud"])


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty `$FRAUD_HOME`."""
    folder = tmp_path / "home"
    monkeypatch.setenv("FRAUD_HOME", str(folder))
    monkeypatch.delenv("BUILD_WORKING_DIRECTORY", raising=False)
    return folder


@pytest.fixture
def write(tmp_path: Path) -> Callable[[pa.Table], str]:
    """Writes a table as a Parquet file; returns its path."""

    def write_table(table: pa.Table) -> str:
        path = str(tmp_path / "transactions.parquet")
        data_connector.load(table, path, if_exists="replace")
        return path

    return write_table


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory, rows: pa.Table) -> str:
    """The path of a Parquet file with the rows, which no test changes."""
    path = str(tmp_path_factory.mktemp("source") / "transactions.parquet")
    data_connector.load(rows, path)
    return path
