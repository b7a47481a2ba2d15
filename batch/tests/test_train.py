"""The main job, end to end: from a source to a stored model and its numbers."""

import contextlib
import datetime as dt
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from html_page import read_page
from small_training import QUICK, SMALL, TRAIN_START

import data_connector
from batch_proc import inputs, train
from batch_proc.errors import SHOWN
from data_connector import ModelStore
from data_connector.command import run
from fraud_ml.artifact import load_artifact
from fraud_ml.feature_spec import Aggregate, FeatureSpec, RowFeature, RowValue, WindowFeature
from fraud_ml.feature_spec_toml import spec_to_toml
from fraud_ml.policy import CapacityPolicy
from fraud_ml.simulator import Simulation


@dataclass(frozen=True)
class Trained:
    """What a training left, printed and measured."""

    home: Path
    numbers: dict[str, float]
    printed: str


def train_in(folder: Path, *arguments: str) -> dict[str, float]:
    """Trains; returns the numbers by name."""
    numbers = folder / "numbers.json"
    argv = ["train", *QUICK, "--train-start", TRAIN_START, "--json", str(numbers), *arguments]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", argv)
        assert run(train.main, shown=SHOWN) == 0
    return {row["name"]: row["value"] for row in json.loads(numbers.read_text())}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, rows: pa.Table) -> Trained:
    """A first training, which the tests go on from."""
    folder = tmp_path_factory.mktemp("trained")
    source = folder / "transactions.parquet"
    data_connector.load(rows, source)
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setenv("FRAUD_HOME", str(folder / "home"))
        patch.delenv("BUILD_WORKING_DIRECTORY", raising=False)
        numbers = train_in(folder, "--source", str(source))
    return Trained(folder / "home", numbers, printed.getvalue())


@pytest.fixture
def numbers(trained: Trained, home: Path) -> dict[str, float]:
    """Those of a first training in `home`."""
    shutil.copytree(trained.home, home)
    return trained.numbers


@pytest.fixture
def train_on(home: Path, tmp_path: Path) -> Callable[..., dict[str, float]]:
    """Trains in `home`; returns the numbers by name."""
    assert home.parent == tmp_path

    def command(*arguments: str) -> dict[str, float]:
        return train_in(tmp_path, *arguments)

    return command


def quality(numbers: dict[str, float]) -> dict[str, float]:
    return {name: numbers[name] for name in ("auc", "ap", "cp100", "train_rows", "test_rows")}


def test_it_learns_and_reports_what_it_reached(trained: Trained, rows: pa.Table) -> None:
    numbers = trained.numbers
    assert numbers["auc"] > 0.7  # a coin has 0.5
    assert numbers["ap"] > 4 * numbers["test_frauds"] / numbers["test_rows"]  # a coin has the rate
    assert 0 < numbers["cp100"] <= 1
    assert numbers["rows"] == rows.num_rows
    stages = ("fetch", "features", "train", "test", "store")
    assert all(numbers[f"{stage}_seconds"] >= 0 for stage in stages)
    assert f"{numbers['ap']:.3f}" in trained.printed
    assert str(trained.home / "models/fraud/1") in trained.printed


def test_the_report_shows_what_was_tested(numbers: dict[str, float], home: Path) -> None:
    text = (home / "reports/fraud-1.html").read_text()
    read = read_page(text)
    assert [title for title in read.titles if title] == [
        "In short",
        "Precision and recall",
        "Cards found, day by day",
        "What the thresholds do",
        "Calibration",
        "Distribution of the scores",
        "What moves the scores",
        "Features in training and in the test",
        "Where it comes from",
        "Time it took",
        "All numbers",
    ]
    for name in ("auc", "ap", "cp100"):
        assert f"{numbers[name]:.3f}" in read.text
    assert f"{numbers['test_frauds']:,} frauds among {numbers['test_rows']:,} payments" in read.text
    assert f"of 100 cards looked at a day, {100 * numbers['cp100']:.3g} were" in read.text
    assert "fraud, found: transaction " in read.text
    assert load_artifact(home / "models/fraud/1").lineage["data_fingerprint"] in read.text
    assert [path.name for path in (home / "reports").iterdir()] == ["fraud-1.html"]


def test_the_stored_model_is_what_was_tested(numbers: dict[str, float], home: Path) -> None:
    artifact = load_artifact(ModelStore(home / "models").latest("fraud").path)
    assert artifact.metrics == {name: numbers[name] for name in ("auc", "ap", "cp100")}
    assert artifact.lineage["train_days"] == "2018-05-05 to 2018-05-11"
    assert artifact.lineage["test_days"] == "2018-05-19 to 2018-05-25"
    assert len(artifact.lineage["data_fingerprint"]) == 64
    assert {"commit", "torch", "scikit-learn"} <= set(artifact.lineage)
    # Told apart without opening them.
    told = ModelStore(home / "models").latest("fraud").metrics
    assert told == artifact.metrics | artifact.lineage
    assert artifact.reference is not None
    shares = np.array(artifact.reference.features["amount"].shares)
    np.testing.assert_allclose(shares, [0.1] * 10 + [0], atol=0.01)
    assert len(artifact.reference.score.edges) > 1


def test_the_stored_model_decides(numbers: dict[str, float], home: Path) -> None:
    policy = load_artifact(ModelStore(home / "models").latest("fraud").path).policy
    assert isinstance(policy, CapacityPolicy)
    assert policy.review_above == numbers["review_above"]
    assert policy.decline_above == numbers["decline_above"]
    assert 0 < policy.review_above < policy.decline_above <= 1


def test_a_second_training_is_a_second_version_with_the_same_numbers_and_no_champion(
    trained: Trained,
    numbers: dict[str, float],
    train_on: Callable[..., dict[str, float]],
    write: Callable[[pa.Table], str],
    rows: pa.Table,
    home: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store = ModelStore(home / "models")
    assert store.aliases("fraud") == {"champion": 1}
    assert "promoted version 1 to champion: there was none\n" in trained.printed
    again = train_on("--source", write(rows))
    assert quality(again) == quality(numbers)
    assert [stored.version for stored in store.list("fraud")] == [1, 2]
    assert store.aliases("fraud") == {"champion": 1, "challenger": 2}
    kept = (
        f"kept champion 1: AP {numbers['ap']:.3f} against {numbers['ap']:.3f} of version 2 on the"
        f" same {numbers['test_rows']:,} test transactions; the difference's 95 % interval, +0.000"
        " to +0.000, does not lie above 0; version 2 is the challenger\n"
    )
    assert kept in capsys.readouterr().out
    assert kept.strip() in read_page((home / "reports/fraud-2.html").read_text()).text
    assert again["champion_ap"] == numbers["ap"]
    assert again["ap_difference_low"] == again["ap_difference_high"] == 0


def test_a_model_that_finds_more_takes_over_from_one_that_learned_little(
    train_on: Callable[..., dict[str, float]],
    write: Callable[[pa.Table], str],
    rows: pa.Table,
    home: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = write(rows)
    little = spec_file(home.parent / "little.toml", RowValue.IS_NIGHT, key="terminal_id")
    worse = train_on("--source", source, "--spec", little, "--max-epochs", "1")
    better = train_on("--source", source)
    assert better["champion_ap"] == worse["ap"]
    assert better["ap_difference_low"] > 0
    assert ModelStore(home / "models").aliases("fraud") == {"champion": 2, "previous": 1}
    assert "promoted version 2 to champion: AP" in capsys.readouterr().out


def test_a_model_that_reads_what_the_champion_does_not_is_no_challenger_either(
    numbers: dict[str, float],
    train_on: Callable[..., dict[str, float]],
    write: Callable[[pa.Table], str],
    rows: pa.Table,
    home: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No running server has the history of that column."""
    other = rows.append_column("shop_id", rows["terminal_id"])
    more = spec_file(home.parent / "more.toml", RowValue.AMOUNT, key="shop_id")
    train_on("--source", write(other), "--spec", more, "--max-epochs", "1")
    assert ModelStore(home / "models").aliases("fraud") == {"champion": 1}
    assert "version 2 is no challenger either: it reads shop_id" in capsys.readouterr().out


def spec_file(path: Path, value: RowValue, *, key: str) -> str:
    """A spec of two features that tell little."""
    features = (
        RowFeature(name=value.value, value=value),
        WindowFeature(name="count", key=key, aggregate=Aggregate.COUNT, window=dt.timedelta(1)),
    )
    path.write_text(spec_to_toml(FeatureSpec(features=features)))
    return str(path)


def test_a_damaged_champion_is_kept_and_the_message_says_why(
    numbers: dict[str, float],
    train_on: Callable[..., dict[str, float]],
    write: Callable[[pa.Table], str],
    rows: pa.Table,
    home: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    weights = ModelStore(home / "models").latest("fraud").path / "model.safetensors"
    weights.chmod(0o644)
    weights.write_bytes(b"damaged")
    train_on("--source", write(rows))
    assert ModelStore(home / "models").aliases("fraud") == {"champion": 1, "challenger": 2}
    said = capsys.readouterr().out
    assert "kept champion 1: not compared, because it cannot score the test: " in said
    assert "model.safetensors" in said


def test_promotion_is_never_where_the_user_says_so(
    train_on: Callable[..., dict[str, float]],
    write: Callable[[pa.Table], str],
    rows: pa.Table,
    home: Path,
) -> None:
    train_on("--source", write(rows), "--promote", "never")
    assert ModelStore(home / "models").aliases("fraud") == {"challenger": 1}


def test_a_source_may_be_kept_where_no_one_reads_it_on_the_command_line(
    numbers: dict[str, float],
    train_on: Callable[..., dict[str, float]],
    write: Callable[[pa.Table], str],
    rows: pa.Table,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path / 'payments.db'}"
    data_connector.load(rows, url, table="payments")
    monkeypatch.setenv("PAYMENTS", url)
    assert quality(train_on("--source", "env:PAYMENTS")) == quality(numbers)
    secret = tmp_path / "secret"
    secret.write_text(f"{url}\n")
    assert quality(train_on("--source", f"secret-file:{secret}")) == quality(numbers)


def test_rows_in_any_order_and_other_names_give_the_same_numbers(
    numbers: dict[str, float],
    train_on: Callable[..., dict[str, float]],
    write: Callable[[pa.Table], str],
    rows: pa.Table,
    tmp_path: Path,
) -> None:
    theirs = {name: f"THEIR {name.upper()}" for name in rows.column_names}
    backwards = rows.take(pa.array(range(rows.num_rows - 1, -1, -1)))
    source = write(backwards.rename_columns(list(theirs.values())))
    columns = tmp_path / "columns.toml"
    columns.write_text("".join(f'{ours} = "{name}"\n' for ours, name in theirs.items()))
    again = train_on("--source", source, "--columns", str(columns))
    assert quality(again) == quality(numbers)


def test_labels_in_a_table_of_their_own_give_the_same_numbers(
    numbers: dict[str, float],
    train_on: Callable[..., dict[str, float]],
    simulation: Simulation,
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path / 'history.db'}"
    data_connector.load(simulation.transactions, url, table="transactions")
    data_connector.load(simulation.labels, url, table="labels")
    assert quality(train_on("--source", url)) == quality(numbers)


def test_without_a_start_the_last_days_are_tested(
    train_on: Callable[..., dict[str, float]],
    write: Callable[[pa.Table], str],
    rows: pa.Table,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.argv", ["train", *QUICK, "--source", write(rows)])
    assert run(train.main, shown=SHOWN) == 0
    artifact = load_artifact(home / "models/fraud/1")
    assert artifact.lineage["test_days"] == "2018-05-19 to 2018-05-25"


def test_without_a_source_it_simulates_once(
    train_on: Callable[..., dict[str, float]],
    numbers: dict[str, float],
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inputs, "Scenario", lambda: SMALL)
    first = train_on()
    assert quality(first) == quality(numbers)
    assert "simulate_seconds" in first
    database = home / "transactions.db"
    made = database.stat()
    assert data_connector.list_tables(f"sqlite:///{database}") == [
        "labels",
        "transactions",
        "truth",
    ]
    assert "simulate_seconds" not in train_on()
    assert database.stat().st_mtime_ns == made.st_mtime_ns
    assert [path.name for path in home.iterdir() if path.suffix == ".tmp"] == []
