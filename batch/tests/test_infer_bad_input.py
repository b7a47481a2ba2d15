"""Histories that Spark cannot score: one message that names the file and the row, no output."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from small_model import FEW, bytes_below, train_moment

from batch_proc import infer as command
from batch_proc.errors import SHOWN
from batch_proc.spark_session import spark_session
from data_connector.command import run
from fraud_ml.default_specs import DEFAULT_SPEC
from fraud_ml.simulator import simulate

Change = Callable[[pa.Table], pa.Table]
Fails = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    with spark_session(tmp_path_factory.mktemp("spark"), master="local[2]") as session:
        yield session


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    history = simulate(FEW)
    return history.transactions.append_column("is_fraud", history.labels["is_fraud"])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    history = simulate(FEW)
    folder = tmp_path_factory.mktemp("models") / "small"
    return train_moment(folder, history.transactions, history.labels, DEFAULT_SPEC)


@pytest.fixture
def fails(
    spark: SparkSession,
    model: Path,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Fails:
    """Runs the command; its exit code and message, having checked that nothing is left."""

    def infer(*arguments: str) -> tuple[int, str]:
        output = str(tmp_path / "out")
        given = ["--output", output, "--model", str(model), "--bucket-rows", "3000"]
        monkeypatch.setattr("sys.argv", ["infer", *given, *arguments])
        try:
            status = run(command.main, shown=SHOWN)
        except SystemExit as exit_:  # argparse's own way to end
            status = int(exit_.code or 0)
        assert not (tmp_path / "out").exists()
        assert not (tmp_path / ".out.work").exists()
        return status, capsys.readouterr().err.replace("\n", " ")

    return infer


def with_value(name: str, row: int, value: object) -> Change:
    def change(rows: pa.Table) -> pa.Table:
        values = rows.column(name).to_pylist()
        values[row] = value
        at = rows.column_names.index(name)
        field = pa.field(name, rows.column(name).type)
        return rows.set_column(at, field, pa.array(values, field.type))

    return change


BAD_ROWS: dict[str, tuple[Change, str]] = {
    "negative amount": (
        with_value("amount", 7, -1.5),
        "column 'amount': amounts must be at least 0 and below 1e+13, got -1.5 in transaction_id 7,"
        " at least 1 such rows; correct or drop them (a refund is not a payment); it is in"
        " {b}, row 7 (the first is 0)",
    ),
    "NaN amount": (with_value("amount", 9, float("nan")), "got nan in transaction_id 9,"),
    "no amount": (with_value("amount", 7, None), "column 'amount': null in transaction_id 7,"),
    "no customer": (with_value("customer_id", 7, None), "'customer_id': null in transaction_id 7,"),
    "no id": (with_value("transaction_id", 7, None), "column 'transaction_id': null in a row,"),
    "repeated id": (
        with_value("transaction_id", 7, 3),
        "column 'transaction_id': 3 occurs in {b}, row 3 (the first is 0) and again in"
        " {b}, row 7 (the first is 0), 1 such repeats",
    ),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_bad_row_is_named_with_its_file(
    fails: Fails, rows: pa.Table, tmp_path: Path, name: str
) -> None:
    change, message = BAD_ROWS[name]
    folder = tmp_path / "in"
    folder.mkdir()
    half = rows.num_rows // 2
    pq.write_table(rows.slice(half), folder / "a.parquet")
    pq.write_table(change(rows.slice(0, half)), folder / "b.parquet")
    status, said = fails("--input", str(folder))
    assert status == 1
    assert message.format(b=folder / "b.parquet") in said


def test_an_id_in_two_files_with_other_customers_is_found(
    fails: Fails, rows: pa.Table, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    half = rows.num_rows // 2
    pq.write_table(rows.slice(0, half), folder / "a.parquet")
    pq.write_table(with_value("transaction_id", 0, 12)(rows.slice(half)), folder / "b.parquet")
    status, said = fails("--input", str(folder))
    assert status == 1
    assert ": 12 occurs in" in said
    assert "a.parquet, row 12" in said
    assert "b.parquet, row 0" in said


BAD_FILES: dict[str, tuple[Callable[[Path, pa.Table], object], str]] = {
    "no Parquet": (lambda file, _: file.write_bytes(b"no parquet"), "z.parquet cannot be read"),
    "cut short": (
        lambda file, rows: (pq.write_table(rows, file), file.write_bytes(file.read_bytes()[:-99])),
        "z.parquet cannot be read",
    ),
    "damaged pages": (lambda file, rows: damaged(file, rows), "z.parquet cannot be read"),
    "another type": (
        lambda file, rows: pq.write_table(
            rows.set_column(
                rows.column_names.index("amount"), "amount", rows["amount"].cast(pa.float32())
            ),
            file,
        ),
        "column 'amount' is float in ",
    ),
    "no such column": (
        lambda file, rows: pq.write_table(rows.drop_columns("terminal_id"), file),
        "column 'terminal_id' is missing in ",
    ),
}


def damaged(file: Path, rows: pa.Table) -> None:
    pq.write_table(rows, file, compression="zstd")
    content = bytearray(file.read_bytes())
    content[100 : len(content) // 2] = bytes(len(content) // 2 - 100)
    file.write_bytes(content)


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_among_good_ones_is_named(
    fails: Fails, rows: pa.Table, tmp_path: Path, name: str
) -> None:
    write, message = BAD_FILES[name]
    folder = tmp_path / "in"
    folder.mkdir()
    half = rows.num_rows // 2
    pq.write_table(rows.slice(0, half), folder / "a.parquet")
    write(folder / "z.parquet", rows.slice(half))
    status, said = fails("--input", str(folder))
    assert status == 1
    assert message in said
    assert "z.parquet" in said


def test_a_csv_value_that_is_no_number_names_the_file(
    fails: Fails, rows: pa.Table, tmp_path: Path
) -> None:
    file = tmp_path / "payments.csv"
    pyarrow.csv.write_csv(rows, file)
    first, _, last = file.read_text().rstrip("\n").rpartition("\n")
    cells = last.split(",")
    cells[rows.column_names.index("amount")] = "twelve"
    repeated = [first] * 200  # the types are guessed from the first megabytes
    file.write_text("\n".join([*repeated[:1], ",".join(cells), ""]))
    status, said = fails("--input", str(file))
    assert status == 1
    assert "payments.csv" in said or "'amount'" in said


def test_missing_days_are_a_warning(
    spark: SparkSession,
    model: Path,
    home: Path,
    rows: pa.Table,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    day = rows["timestamp"].cast("date32")
    gone = pa.array([dt.date(2018, 4, 9), dt.date(2018, 4, 20), dt.date(2018, 4, 21)])
    pq.write_table(rows.filter(pc.invert(pc.is_in(day, value_set=gone))), tmp_path / "in.parquet")
    given = ["--input", str(tmp_path / "in.parquet"), "--output", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", ["infer", *given, "--model", str(model)])
    assert run(command.main, shown=SHOWN) == 0
    said = capsys.readouterr().out
    assert "warning: no transactions on 2018-04-09\n" in said
    assert "warning: no transactions from 2018-04-20 to 2018-04-21\n" in said


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--input", "/nowhere"], 1, "no file or folder /nowhere"),
        (["--input", "carrier-pigeon://x"], 1, "carrier-pigeon"),
        (["--input", "{in}", "--model", "7"], 1, "no version 7 of model 'fraud'"),
        (["--input", "{in}", "--model", "./nowhere"], 1, "--model ./nowhere: no such folder"),
        (["--input", "{in}", "--since", "April"], 2, "'April' is no time"),
        (["--input", "{in}", "--since", "2018-05-02", "--until", "2018-05-01"], 2, "--until"),
        (["--input", "{in}", "--since", "2031-01-01"], 1, "no transactions from 2031-01-01"),
        (["--input", "{in}", "--until", "2001-01-01"], 1, "no transactions before"),
        (["--input", "{in}", "--columns", "/nowhere.toml"], 2, "/nowhere.toml"),
        (["--input", "{in}", "--bucket-rows", "0"], 2, "at least 1"),
    ],
)
def test_what_cannot_be_done_is_said(
    fails: Fails,
    rows: pa.Table,
    tmp_path: Path,
    arguments: list[str],
    status: int,
    message: str,
) -> None:
    pq.write_table(rows, tmp_path / "in.parquet")
    place = str(tmp_path / "in.parquet")
    found, said = fails(*(place if it == "{in}" else it for it in arguments))
    assert (found, message in said) == (status, True), said


def test_a_column_that_the_model_reads_is_named(
    fails: Fails, rows: pa.Table, tmp_path: Path
) -> None:
    pq.write_table(rows.drop_columns("terminal_id"), tmp_path / "in.parquet")
    status, said = fails("--input", str(tmp_path / "in.parquet"))
    assert status == 1
    assert "missing column 'terminal_id', which feature 'terminal_count_1d' of the model" in said


def test_a_folder_of_others_is_not_written_to(
    spark: SparkSession,
    model: Path,
    home: Path,
    rows: pa.Table,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pq.write_table(rows, tmp_path / "in.parquet")
    output = tmp_path / "photos"
    output.mkdir()
    (output / "me.jpg").write_bytes(b"me")
    given = ["--input", str(tmp_path / "in.parquet"), "--output", str(output)]
    monkeypatch.setattr("sys.argv", ["infer", *given, "--model", str(model)])
    assert run(command.main, shown=SHOWN) == 1
    assert "holds 'me.jpg', which is no output of this command" in capsys.readouterr().err
    assert bytes_below(output) == {"me.jpg": b"me"}
