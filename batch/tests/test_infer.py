"""A whole history scored by Spark: the same as at once, whatever it comes from and goes to."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from html_page import read_page
from pyspark.sql import SparkSession
from small_model import (
    FEW,
    assert_same_scores,
    bytes_below,
    numbers_of,
    read_days,
    scores_at_once,
    train_moment,
)

import data_connector
from batch_proc import infer as command
from batch_proc.errors import SHOWN
from batch_proc.infer import Inferred, infer
from batch_proc.infer_options import InferOptions
from batch_proc.progress import Stages
from batch_proc.spark_session import spark_session
from data_connector import ModelStore
from data_connector.command import run
from fraud_ml.default_specs import DEFAULT_SPEC
from fraud_ml.simulator import Simulation, simulate


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    with spark_session(tmp_path_factory.mktemp("spark"), master="local[2]") as session:
        yield session


@pytest.fixture(scope="module")
def history() -> Simulation:
    return simulate(FEW)


@pytest.fixture(scope="module")
def model(history: Simulation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "small"
    return train_moment(folder, history.transactions, history.labels, DEFAULT_SPEC)


@pytest.fixture(scope="module")
def rows(history: Simulation) -> pa.Table:
    """Transactions with their labels, in no order."""
    there = history.transactions.append_column("is_fraud", history.labels["is_fraud"])
    return there.sort_by([("amount", "ascending")])


@pytest.fixture(scope="module")
def expected(history: Simulation, model: Path) -> pa.Table:
    return scores_at_once(model, history.transactions, history.labels)


@pytest.fixture
def options(tmp_path: Path, rows: pa.Table, model: Path, spark: SparkSession) -> InferOptions:
    """Of a folder with two files, in several buckets."""
    folder = tmp_path / "in"
    folder.mkdir()
    half = rows.num_rows // 2
    pq.write_table(rows.slice(0, half), folder / "a.parquet")
    pq.write_table(rows.slice(half), folder / "b.parquet")
    return InferOptions(
        input=str(folder), output=str(tmp_path / "out"), model=str(model), bucket_rows=4_000
    )


def scored(options: InferOptions, home: Path) -> Inferred:
    return infer(options, home, Stages())


def test_scores_are_those_of_all_at_once(
    options: InferOptions, home: Path, expected: pa.Table
) -> None:
    done = scored(options, home)
    assert_same_scores(read_days(Path(options.output)), expected)
    numbers = numbers_of(done.measures)
    assert numbers["rows"] == numbers["scored"] == expected.num_rows
    assert numbers["days"] == FEW.n_days
    assert numbers["approve"] + numbers["review"] + numbers["decline"] == expected.num_rows
    assert numbers["amount"] == pytest.approx(pc.sum(expected["amount"]).as_py())
    assert 0 < numbers["frauds_found"] <= numbers["frauds"]
    assert done.warnings == []


def test_the_output_is_a_table_that_others_read(
    options: InferOptions, home: Path, spark: SparkSession, expected: pa.Table
) -> None:
    scored(options, home)
    output = Path(options.output)
    assert (output / "_SUCCESS").exists()
    day = dt.date(2018, 4, 9)
    there = spark.read.parquet(str(output)).where("day = date'2018-04-09'")
    assert there.count() == pc.sum(pc.equal(expected["timestamp"].cast("date32"), day)).as_py()
    file = pq.ParquetFile(output / f"day={day}/scores.parquet")
    assert file.schema_arrow.names == [
        "transaction_id", "timestamp", "customer_id", "amount",
        "score", "decision", "model", "model_version",
    ]  # fmt: skip
    assert len(file.schema_arrow.metadata[b"fraud-detect.model.sha256"]) == 64
    assert file.read()["model"].unique().to_pylist() == ["small"]


def test_the_same_run_again_changes_nothing(options: InferOptions, home: Path) -> None:
    scored(options, home)
    output = Path(options.output)
    before = bytes_below(output)
    changed = {path: path.stat().st_mtime_ns for path in output.rglob("*")}
    scored(options, home)
    assert bytes_below(output) == before
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*")} == changed
    assert [path.name for path in output.parent.iterdir() if "work" in path.name] == []


def test_some_days_have_the_past_of_all_and_leave_other_days_alone(
    options: InferOptions, home: Path, expected: pa.Table
) -> None:
    since, until = (dt.datetime(2018, 4, day, tzinfo=dt.UTC) for day in (20, 23))
    done = scored(replace(options, since=since, until=until), home)
    time = expected["timestamp"]
    within = pc.and_(pc.greater_equal(time, since), pc.less(time, until))
    assert_same_scores(read_days(Path(options.output)), expected.filter(within))
    assert numbers_of(done.measures)["days"] == 3
    later = replace(options, since=until, until=until + dt.timedelta(days=2))
    scored(later, home)
    days = sorted(path.name for path in Path(options.output).glob("day=*"))
    assert days == [f"day=2018-04-{day}" for day in range(20, 25)]


def test_hot_keys_are_cut_and_change_nothing(
    options: InferOptions, home: Path, history: Simulation, model: Path, tmp_path: Path
) -> None:
    terminal = history.transactions["terminal_id"]
    at_one = pc.less(pc.bit_wise_and(history.transactions["transaction_id"], 15), 5)
    busy = pc.if_else(at_one, pa.scalar(1, terminal.type), terminal)
    index = history.transactions.schema.get_field_index("terminal_id")
    hot = history.transactions.set_column(index, history.transactions.schema.field(index), busy)
    pq.write_table(
        hot.append_column("is_fraud", history.labels["is_fraud"]), tmp_path / "h.parquet"
    )
    stages = Stages()
    infer(replace(options, input=str(tmp_path / "h.parquet"), bucket_rows=700), home, stages)
    assert_same_scores(read_days(Path(options.output)), scores_at_once(model, hot, history.labels))


def test_times_as_text_and_in_nanoseconds_are_times(
    options: InferOptions, home: Path, rows: pa.Table, expected: pa.Table, tmp_path: Path
) -> None:
    at = rows.column_names.index("timestamp")
    texts = pc.strftime(rows["timestamp"], format="%Y-%m-%dT%H:%M:%SZ")
    for name, column in (
        ("text", texts),
        ("nanoseconds", rows["timestamp"].cast(pa.timestamp("ns"))),
    ):
        pq.write_table(rows.set_column(at, "timestamp", column), tmp_path / f"{name}.parquet")
        output = str(tmp_path / name)
        given = replace(options, input=str(tmp_path / f"{name}.parquet"), output=output)
        scored(replace(given, bucket_rows=30_000), home)
        assert_same_scores(read_days(Path(output)), expected)


def test_csv_under_other_names_gives_the_same(
    options: InferOptions, home: Path, rows: pa.Table, expected: pa.Table, tmp_path: Path
) -> None:
    theirs = {name: f"their.{name.upper()}" for name in rows.column_names}
    flags = rows.set_column(
        rows.column_names.index("is_fraud"), "is_fraud", rows["is_fraud"].cast("int8")
    )
    file = tmp_path / "payments.csv"
    pyarrow.csv.write_csv(flags.rename_columns(list(theirs.values())), file)
    columns = tmp_path / "columns.toml"
    columns.write_text("".join(f'{ours} = "{name}"\n' for ours, name in theirs.items()))
    scored(replace(options, input=str(file), columns=columns), home)
    assert_same_scores(read_days(Path(options.output)), expected)


def test_a_database_is_fetched_and_another_takes_the_scores(
    options: InferOptions,
    home: Path,
    history: Simulation,
    expected: pa.Table,
    tmp_path: Path,
) -> None:
    url, target = (f"sqlite:///{tmp_path / name}.db" for name in ("in", "out"))
    data_connector.load(history.transactions, url, table="transactions")
    data_connector.load(history.labels, url, table="labels")
    given = replace(options, input=url, output=target)
    scored(given, home)
    with data_connector.fetch(target, table="scores") as reader:
        found = reader.read_all()
    order = [("timestamp", "ascending"), ("transaction_id", "ascending")]
    assert_same_scores(found.sort_by(order), expected)
    before = (tmp_path / "out.db").read_bytes()
    scored(given, home)
    assert (tmp_path / "out.db").read_bytes() == before
    assert not any((home / "work").iterdir())


def test_several_labels_of_a_transaction_count_each_from_its_time(
    options: InferOptions, home: Path, history: Simulation, model: Path, tmp_path: Path
) -> None:
    known = history.labels.filter(history.labels["is_fraud"])
    day = pa.scalar(dt.timedelta(days=2), pa.duration("us"))
    sooner = known.set_column(2, "labelled_at", pc.subtract(known["labelled_at"], day))
    withdrawn = known.slice(0, known.num_rows // 2).set_column(
        1, "is_fraud", pa.array([False] * (known.num_rows // 2))
    )
    labels = pa.concat_tables([withdrawn, sooner.cast(withdrawn.schema)])
    pq.write_table(labels, tmp_path / "labels.parquet")
    done = scored(replace(options, labels=str(tmp_path / "labels.parquet")), home)
    assert_same_scores(
        read_days(Path(options.output)), scores_at_once(model, history.transactions, labels)
    )
    assert numbers_of(done.measures)["frauds"] == known.num_rows - known.num_rows // 2


def test_without_labels_it_warns(
    options: InferOptions, home: Path, history: Simulation, model: Path, tmp_path: Path
) -> None:
    pq.write_table(history.transactions, tmp_path / "only.parquet")
    done = scored(replace(options, input=str(tmp_path / "only.parquet")), home)
    nothing = history.labels.slice(0, 0)
    assert_same_scores(
        read_days(Path(options.output)), scores_at_once(model, history.transactions, nothing)
    )
    assert ["no labels" in warning for warning in done.warnings] == [True]


def test_the_command_scores_with_the_champion_and_says_what_it_found(
    options: InferOptions,
    home: Path,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store = ModelStore(home / "models")
    for _ in range(2):
        store.publish(
            "fraud",
            lambda folder: [
                (folder / it.name).write_bytes(it.read_bytes()) for it in model.iterdir()
            ],
        )
    store.set_alias("fraud", "champion", 1)
    numbers = tmp_path / "numbers.json"
    argv = ["infer", "--input", options.input, "--output", options.output, "--json", str(numbers)]
    monkeypatch.setattr("sys.argv", argv)
    assert run(command.main, shown=SHOWN) == 0
    said = capsys.readouterr()
    assert "scores of fraud version 1" in said.out
    assert f"output: {options.output}" in said.out
    assert "score by terminal_id: " in said.err
    (report,) = (home / "reports").iterdir()
    assert f"report: {report}\n" in said.out
    assert report.name == "scores-fraud-1-2018-05-15.html"
    found = {row["name"]: row["value"] for row in json.loads(numbers.read_text())}
    assert found["scored"] == read_days(Path(options.output)).num_rows
    assert {"survey_seconds", "stage_1_seconds", "stage_2_seconds", "days_seconds"} <= set(found)
    scores = read_days(Path(options.output))
    assert set(scores["model_version"].to_pylist()) == {1}
    page = read_page(report.read_text(encoding="utf-8"))
    assert f"{scores.num_rows:,} payments of 45 days scored, 2018-04-01 to 2018-05-15." in page.text
    assert "moves scores most" in page.text
    assert "fraud, found" in page.text
