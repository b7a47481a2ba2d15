"""A scenario becomes a folder of Parquet files: whole, the same each time, group by group."""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from batch_proc.errors import SHOWN
from batch_proc.history import fetch_history
from data_connector.command import UsageError, run
from data_connector.errors import TargetExistsError
from experiments import simulate, simulation_files
from experiments.simulation_files import (
    CUSTOMERS,
    EPISODES,
    SCENARIO,
    TRANSACTIONS,
    TRUTH,
    write_scenario,
)
from fraud_ml import simulator
from fraud_ml.default_specs import DEFAULT_LABEL_DELAY, DEFAULT_SPEC
from fraud_ml.policy import Decision
from fraud_ml.scenario import Adversary, CompromisedTerminals, Population, Scenario
from fraud_ml.scenario_toml import scenario_from_toml, scenario_to_toml

PEOPLE = Population(n_customers=200, n_terminals=300, radius=12)
SMALL = Scenario(n_days=20, population=PEOPLE)


def test_the_files_hold_what_is_simulated_in_memory(tmp_path: Path) -> None:
    written = write_scenario(SMALL, tmp_path / "out")
    expected = simulator.simulate(SMALL)
    assert written.n_rows == expected.transactions.num_rows
    assert sum(written.frauds.values()) == written.n_rows
    assert list(written.frauds) == ["honest", "large_amount", "terminal", "customer"]
    assert written.frauds["terminal"] == expected.truth["fraud"].to_pylist().count("terminal")
    table = pq.read_table(tmp_path / "out" / TRANSACTIONS)
    assert table.select(expected.transactions.column_names).equals(expected.transactions)
    assert table["is_fraud"].equals(expected.labels["is_fraud"])
    assert table["labelled_at"].equals(expected.labels["labelled_at"])
    truth = pq.read_table(tmp_path / "out" / TRUTH)
    assert truth.to_pylist() == expected.truth.to_pylist()
    assert pq.read_table(tmp_path / "out" / CUSTOMERS).equals(expected.customers)
    assert pq.read_table(tmp_path / "out" / EPISODES).num_rows == 20 * 5
    text = (tmp_path / "out" / SCENARIO).read_text(encoding="utf-8")
    assert scenario_from_toml(text) == SMALL
    assert sorted(it.name for it in tmp_path.iterdir()) == ["out"]


def test_what_is_written_is_a_source_for_the_other_commands(tmp_path: Path) -> None:
    write_scenario(SMALL, tmp_path / "out")
    history = fetch_history(
        str(tmp_path / "out" / TRANSACTIONS),
        table=None,
        names={},
        spec=DEFAULT_SPEC,
        label_delay=DEFAULT_LABEL_DELAY,
    )
    expected = simulator.simulate(SMALL)
    assert history.transactions.equals(expected.transactions)
    assert history.labels.equals(expected.labels)


def test_a_row_group_holds_whole_days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation_files, "ROW_GROUP", 1_000)
    write_scenario(SMALL, tmp_path / "out")
    file = pq.ParquetFile(tmp_path / "out" / TRANSACTIONS)
    days = [
        set(file.read_row_group(group)["timestamp"].to_numpy().astype("datetime64[D]"))
        for group in range(file.num_row_groups)
    ]
    assert len(days) > 5
    assert sum(len(its) for its in days) == 20  # no day in two groups
    assert max(file.metadata.row_group(g).num_rows for g in range(len(days))) <= 1_000


def test_the_same_scenario_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    def digests(scenario: Scenario, name: str) -> list[str]:
        write_scenario(scenario, tmp_path / name)
        return [
            hashlib.sha256((tmp_path / name / it).read_bytes()).hexdigest()
            for it in (TRANSACTIONS, TRUTH, CUSTOMERS, EPISODES)
        ]

    first = digests(SMALL, "a")
    assert digests(SMALL, "b") == first
    other = digests(dataclasses.replace(SMALL, seed=1), "c")
    assert all(one != another for one, another in zip(first, other, strict=True))


def test_a_policy_may_be_given(tmp_path: Path) -> None:
    fraud = CompromisedTerminals(adversary=Adversary())
    scenario = dataclasses.replace(SMALL, frauds=(fraud,))

    def decline_all(transactions):  # type: ignore[no-untyped-def]
        return np.full(transactions.num_rows, Decision.DECLINE, dtype=np.int8)

    write_scenario(scenario, tmp_path / "out", decide=decline_all)
    episodes = pq.read_table(tmp_path / "out" / EPISODES)
    assert episodes.num_rows > 20 * 2


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail(_day: int, n_rows: int) -> None:
        if n_rows > 1_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_scenario(SMALL, tmp_path / "out", on_day=fail)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_never_overwritten(tmp_path: Path) -> None:
    kept = tmp_path / "out"
    kept.mkdir()
    with pytest.raises(TargetExistsError, match="is there already: name another"):
        write_scenario(SMALL, kept)
    assert list(kept.iterdir()) == []


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["simulate", *arguments])
    return run(simulate.main, shown=SHOWN)


def test_the_command_simulates_the_scenario_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "scenario.toml"
    file.write_text(scenario_to_toml(SMALL), encoding="utf-8")
    out = tmp_path / "out"
    arguments = ["--scenario", str(file), "--output", str(out), "--rows", "3000", "--days", "10"]
    assert call(monkeypatch, *arguments, "--seed", "4") == 0
    n_rows = pq.read_metadata(out / TRANSACTIONS).num_rows
    assert n_rows == pytest.approx(3_000, rel=0.15)
    shown = capsys.readouterr().out
    assert f"{n_rows:,} transactions in {out}" in shown
    assert "terminal: " in shown
    assert "MiB at most" in shown
    scenario = scenario_from_toml((out / SCENARIO).read_text(encoding="utf-8"))
    assert (scenario.n_days, scenario.seed) == (10, 4)


def test_without_a_file_it_is_the_handbooks(tmp_path: Path) -> None:
    assert simulate.parse_options(["--output", str(tmp_path / "out")])[0] == Scenario()


def test_a_wrong_scenario_is_wrong_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "scenario.toml"
    arguments = ["--scenario", str(file), "--output", str(tmp_path / "out")]
    assert call(monkeypatch, *arguments) == 2
    assert "cannot be read" in capsys.readouterr().err
    file.write_text("n_dayz = 1", encoding="utf-8")
    assert call(monkeypatch, *arguments) == 2
    assert f"--scenario {file}: n_dayz: unknown key; a scenario may" in capsys.readouterr().err
    file.write_text(
        "frauds = []\n[population]\nn_customers = 1\nn_terminals = 1\nradius = 1e-9",
        encoding="utf-8",
    )
    assert call(monkeypatch, *arguments) == 2
    assert "no customer has a terminal in reach" in capsys.readouterr().err
    with pytest.raises(UsageError, match="the folder above it does not exist"):
        simulate.parse_options(["--output", str(tmp_path / "no" / "out")])
