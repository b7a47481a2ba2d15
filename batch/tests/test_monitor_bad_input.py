"""What a user of the monitor can get wrong: each gives one message, and nothing is written."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from small_watch import World, store_model, world, write

import data_connector
from batch_proc import monitor
from batch_proc.errors import SHOWN
from data_connector.command import run

Change = Callable[[pa.Table], pa.Table]
Fails = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def stable() -> World:
    return world()


@pytest.fixture
def fails(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Fails:
    """Runs the command; its exit code and message, having checked that nothing is left."""

    def command(options: dict[str, str], *arguments: str) -> tuple[int, str]:
        words = [word for pair in options.items() for word in pair]
        monkeypatch.setattr("sys.argv", ["monitor", *words, *arguments])
        try:
            status = run(monitor.main, shown=SHOWN)
        except SystemExit as exit_:  # argparse's own way to end
            status = int(exit_.code or 0)
        assert not (home / "reports").exists()
        assert not (home / "monitor.db").exists()
        return status, capsys.readouterr().err

    return command


def without(name: str) -> Change:
    return lambda rows: rows.drop_columns([name])


def with_value(name: str, value: object) -> Change:
    """The row that is the last of the watched days has another value."""

    def change(rows: pa.Table) -> pa.Table:
        values = [*rows[name].to_pylist()[:-1], value]
        return rows.set_column(rows.column_names.index(name), name, pa.array(values))

    return change


def as_text(name: str) -> Change:
    return lambda rows: rows.set_column(
        rows.column_names.index(name), name, pc.binary_join_element_wise(
            rows[name].cast(pa.string()), "?", ""
        )
    )  # fmt: skip


BAD: dict[str, tuple[str, Change, str]] = {
    "no score": ("--scores", without("score"), "the scores lack score; they have: transaction_id"),
    "no version": ("--scores", without("version"), "--version"),
    "score above 1": ("--scores", with_value("score", 1.5), "got 1.5 for transaction '11199'"),
    "score NaN": ("--scores", with_value("score", float("nan")), "probability"),
    "score missing": ("--scores", with_value("score", None), "1 rows have no score"),
    "score text": ("--scores", as_text("score"), "score must be double"),
    "odd decision": ("--scores", with_value("decision", "jail"), "'jail'"),
    "other model": ("--scores", lambda rows: rows.set_column(
        rows.column_names.index("model"), "model", pa.array(["spam"] * rows.num_rows)
    ), "those that did: spam"),
    "unknown version": ("--scores", with_value("version", 7), "version 7"),
    "no verdict": ("--labels", without("is_fraud"), "the labels lack is_fraud"),
    "verdict of text": ("--labels", as_text("is_fraud"), "is_fraud must be true/false or 0/1"),
    "time of text": ("--labels", as_text("labelled_at"), "labelled_at"),
    "no label id": ("--labels", with_value("transaction_id", None), "no transaction_id"),
    "no amount": ("--transactions", without("amount"), "amount"),
    "negative amount": ("--transactions", with_value("amount", -1.0), "-1.0"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_data_that_is_not_what_it_should_be_fails(
    fails: Fails, stable: World, home: Path, tmp_path: Path, name: str
) -> None:
    store_model(home, stable)
    option, change, message = BAD[name]
    options = write(tmp_path, stable) | {"--as-of": "2018-06-29"}
    with data_connector.fetch(options[option]) as reader:
        rows = reader.read_all()
    data_connector.load(change(rows), options[option], if_exists="replace")
    status, said = fails(options)
    assert (status, message in said) == (1, True), said
    assert said.count("\n") == said.count("error: ") + said.count(" s)\n")


def test_what_is_not_there_fails(fails: Fails, stable: World, home: Path, tmp_path: Path) -> None:
    options = write(tmp_path, stable) | {"--as-of": "2018-06-29"}
    assert "fraud" in fails(options)[1]  # no model yet
    store_model(home, stable)
    status, said = fails(options | {"--as-of": "2031-01-01"})
    assert status == 1 and "nothing was scored from 2030-12-18 to 2030-12-31" in said
    status, said = fails(options | {"--version": "3"})
    assert status == 1 and "version 3 of 'fraud' scored nothing" in said and "did: 1" in said
    status, said = fails(options | {"--labels": str(tmp_path / "none.csv")})
    assert status == 1 and "none.csv" in said
    history = {"--history": str(tmp_path / "history.parquet")}
    status, said = fails(options | history)
    assert status == 1 and "upsert" in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ap_minimum = 0.5", "'ap_minimum' is no threshold; there are ap_min,"),
        ("ap_min = 1.5", "ap_min must be between 0 and 1, got 1.5"),
        ("ap_min = nan", "ap_min must be between 0 and 1, got nan"),
        ('ap_min = "high"', "ap_min must be a number, got 'high'"),
        ("ap_min = true", "ap_min must be a number, got True"),
        ("psi_warn = 0.5", "psi_warn must be at most psi_alert"),
        ("psi_alert = -1.0", "psi_alert must be at least 0"),
        ("min_frauds = 0", "min_frauds must be a whole number, at least 1"),
        ("drift_ignored = [1]", "list of features' names"),
        ("ap_min", "is not TOML"),
        ('drift_ignored = ["amonut"]', "'amonut', which is no feature of the model; there are"),
    ],
)
def test_wrong_thresholds_are_wrong_usage(
    fails: Fails, stable: World, home: Path, tmp_path: Path, text: str, message: str
) -> None:
    store_model(home, stable)
    options = write(tmp_path, stable) | {"--as-of": "2018-06-29"}
    limits = tmp_path / "limits.toml"
    limits.write_text(text)
    status, said = fails(options | {"--thresholds": str(limits)})
    assert (status, message in said) == (2, True), said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scores", "x.csv"], "--labels"),
        (["--labels", "x.csv"], "--scores"),
        (["--scores", "x", "--labels", "y", "--as-of", "yesterday"], "yesterday"),
        (["--scores", "x", "--labels", "y", "--days", "0"], "at least 1"),
        (["--scores", "x", "--labels", "y", "--columns", "c.toml"], "--transactions"),
        (["--scores", "x", "--labels", "y", "--json", "/nowhere/n.json"], "/nowhere/n.json"),
        (["--scores", "x", "--labels", "y", "--report", "/nowhere/n.html"], "/nowhere/n.html"),
        (["--scores", "x", "--labels", "y", "--thresholds", "/nowhere.toml"], "/nowhere.toml"),
    ],
)
def test_wrong_usage_fails_before_any_work(
    fails: Fails, arguments: list[str], message: str
) -> None:
    status, said = fails({}, *arguments)
    assert (status, message in said) == (2, True), said
