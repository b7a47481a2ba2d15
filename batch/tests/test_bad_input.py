"""What a user can get wrong: each gives one message that names it, and stores nothing."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from small_training import TRAIN_START

import data_connector
from batch_proc import train
from batch_proc.errors import SHOWN
from data_connector.command import run

Change = Callable[[pa.Table], pa.Table]


@pytest.fixture
def fails(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Runs the command; returns its exit code and message, having checked that nothing is left."""

    def command(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["train", *arguments])
        try:
            status = run(train.main, shown=SHOWN)
        except SystemExit as exit_:  # argparse's own way to end
            status = int(exit_.code or 0)
        assert not (home / "models").exists()
        assert not (home / "reports").exists()
        return status, capsys.readouterr().err

    return command


def with_value(name: str, row: int, value: object) -> Change:
    def change(rows: pa.Table) -> pa.Table:
        values = rows.column(name).to_pylist()
        values[row] = value
        at = rows.column_names.index(name)
        return rows.set_column(at, name, pa.array(values, rows.column(name).type))

    return change


def with_column(name: str, make: Callable[[pa.ChunkedArray], pa.Array]) -> Change:
    return lambda rows: rows.set_column(
        rows.column_names.index(name), name, make(rows.column(name))
    )


def in_euros(amount: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(amount.cast("string"), "€", "")


def on_mars(timestamp: pa.ChunkedArray) -> pa.ChunkedArray:
    return timestamp.cast(pa.timestamp("us", "Mars/Phobos"))


def without_fraud(since: dt.datetime, until: dt.datetime) -> Change:
    """Nobody is a fraud between the two times."""

    def change(rows: pa.Table) -> pa.Table:
        time = rows.column("timestamp")
        outside = pc.or_(pc.less(time, pa.scalar(since)), pc.greater_equal(time, pa.scalar(until)))
        honest = pc.and_(rows.column("is_fraud"), outside)
        return rows.set_column(rows.column_names.index("is_fraud"), "is_fraud", honest)

    return change


def may(day: int) -> dt.datetime:
    return dt.datetime(2018, 5, day, tzinfo=dt.UTC)


BAD_HISTORIES: dict[str, tuple[Change, str]] = {
    "missing column": (lambda rows: rows.drop_columns(["amount"]), "'amount'"),
    "text amount": (with_column("amount", in_euros), "amount"),
    "NaN amount": (with_value("amount", 7, float("nan")), "amount"),
    "infinite amount": (with_value("amount", 7, float("inf")), "inf"),
    "negative amount": (with_value("amount", 7, -1.5), "-1.5"),
    "no amount": (with_value("amount", 7, None), "amount"),
    "no customer": (with_value("customer_id", 7, None), "customer_id"),
    "duplicate id": (with_value("transaction_id", 7, 3), "3 occurs in row 3 and again in row 7"),
    "unknown zone": (with_column("timestamp", on_mars), "Mars/Phobos"),
    "whole-number time": (with_column("timestamp", lambda c: c.cast("int64")), "timestamp"),
    "no rows": (lambda rows: rows.slice(0, 0), "no rows"),
    "no labels": (lambda rows: rows.drop_columns(["is_fraud"]), "no labels"),
    "text label": (with_column("is_fraud", lambda c: pc.if_else(c, "yes", "no")), "is_fraud"),
    "no fraud to learn": (without_fraud(may(5), may(12)), "to train on between 2018-05-05 and"),
    "no fraud to find": (without_fraud(may(19), may(26)), "to test on between 2018-05-19 and"),
}


@pytest.mark.parametrize("name", BAD_HISTORIES)
def test_data_that_is_no_history_fails(
    fails: Callable[..., tuple[int, str]],
    write: Callable[[pa.Table], str],
    rows: pa.Table,
    name: str,
) -> None:
    change, message = BAD_HISTORIES[name]
    source = write(change(rows))
    status, said = fails("--source", source, "--train-start", TRAIN_START)
    assert status == 1
    assert message in said


def test_a_message_names_the_users_column(
    fails: Callable[..., tuple[int, str]],
    write: Callable[[pa.Table], str],
    rows: pa.Table,
    tmp_path: Path,
) -> None:
    names = ["PRICE" if name == "amount" else name for name in rows.column_names]
    source = write(with_value("amount", 7, -1.5)(rows).rename_columns(names))
    columns = tmp_path / "columns.toml"
    columns.write_text('amount = "PRICE"\n')
    status, said = fails("--source", source, "--columns", str(columns))
    assert status == 1
    assert "PRICE" in said


def test_days_outside_of_the_data_fail(
    fails: Callable[..., tuple[int, str]], write: Callable[[pa.Table], str], rows: pa.Table
) -> None:
    status, said = fails("--source", write(rows), "--train-start", "2031-01-01")
    assert status == 1
    assert "2018-04-01 to 2018-05-25" in said


def test_sources_that_are_not_there_fail(
    fails: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    (tmp_path / "no.parquet").write_bytes(b"no parquet")
    for source, message in (
        (str(tmp_path / "none.parquet"), "none.parquet"),
        (str(tmp_path / "no.parquet"), "no.parquet"),
        (f"sqlite:///{tmp_path}/none.db", "none.db"),
        ("postgresql://me:secret@127.0.0.1:1/payments", "127.0.0.1"),
        ("carrier-pigeon://payments", "carrier-pigeon"),
        ("transactions.xls", "transactions.xls"),
    ):
        status, said = fails("--source", source)
        assert (status, message in said, "secret" in said) == (1, True, False), said


def test_an_unknown_table_fails_and_lists_the_tables(
    fails: Callable[..., tuple[int, str]], rows: pa.Table, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    data_connector.load(rows.slice(0, 10), url, table="orders")
    status, said = fails("--source", url, "--table", "order")
    assert status == 1
    assert "'orders'" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--train-start", "25.07.2018"], "25.07.2018"),
        (["--train-days", "0"], "at least 1"),
        (["--seed", "x"], "whole number"),
        (["--no-such-option"], "--no-such-option"),
        (["--workers", "0"], "at least 1"),
        (["--master", "spark://host:7077"], "--master says where --spark or several"),
        (["--workers", "2", "--master", "sc://host"], "cannot be started by Spark Connect"),
        (["--promote", "always"], "--promote"),
        (["--json", "/nowhere/numbers.json"], "--json /nowhere/numbers.json"),
        (["--columns", "names.toml"], "--source"),
        (["--source", "x.csv", "--columns", "/nowhere.toml"], "/nowhere.toml"),
    ],
)
def test_wrong_usage_fails_before_any_work(
    fails: Callable[..., tuple[int, str]], arguments: list[str], message: str
) -> None:
    status, said = fails(*arguments)
    assert status == 2
    assert message in said
