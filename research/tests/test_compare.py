"""The comparison gives every model the same rows and the same chances, and reports what it says."""

import dataclasses
import datetime as dt
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from folds import FOLD, with_sequence
from rich.console import Console

from batch_proc.data_options import DataOptions
from batch_proc.errors import SHOWN
from batch_proc.fold import Days, Fold, Rows
from batch_proc.history import History
from batch_proc.inputs import read_history
from batch_proc.progress import Stages
from data_connector.command import run
from experiments import compare, protocol, tabm_training
from experiments.compare_options import parse_compare_options
from experiments.contenders import CONTENDERS, OURS, Contender, Score, Settings
from experiments.picture import draw, precision_at_recalls
from experiments.scoring_time import BATCH, ScoringTime, time_scoring
from experiments.sequence_training import LAST_PAYMENTS, SequenceConfig, train_sequence
from experiments.settings import read_settings
from experiments.table import Line, as_results, as_table, half_interval
from experiments.tracking import Tracker
from fraud_ml.default_specs import DEFAULT_SPEC
from fraud_ml.errors import DataError
from fraud_ml.metrics import roc_auc
from fraud_ml.scenario import Population, Scenario
from fraud_ml.simulator import simulate

QUICK: Mapping[str, Settings] = {
    "ours": {"max_epochs": 3},
    "logistic_regression": {"scale": "quantiles", "C": 1.0},
    "random_forest": {},
    "xgboost": {},
    "lightgbm": {},
    "catboost": {"n_estimators": 100},
    "tabm": {"k": 4, "d_block": 32, "max_epochs": 12},
    "sequence": {"max_epochs": 4, "min_batches": 16, "width": 32},
}


@pytest.fixture(autouse=True)
def no_time_is_spent_on_measuring_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.scoring_time._SECONDS", 0)


@pytest.mark.parametrize("contender", CONTENDERS, ids=lambda it: it.name)
def test_every_model_learns_what_is_to_be_learnt(contender: Contender) -> None:
    fold = Fold(
        train=with_sequence(FOLD.train, contender.last_payments),
        test=with_sequence(FOLD.test, contender.last_payments),
    )
    line, scores = compare.compete(contender, QUICK[contender.name], [fold], 2, "all")
    assert [score.shape for score in scores[0]] == [(2_000,), (2_000,)]
    assert line.reached.shape == (1, 2, 3)
    assert line.mean("auc") > 0.95
    assert line.mean("ap") > 0.8
    assert line.seconds > 0
    assert line.scoring is not None
    assert 0 < line.scoring.row < line.scoring.one
    assert line.n_features == 3


@pytest.mark.parametrize("contender", CONTENDERS, ids=lambda it: it.name)
def test_every_model_takes_what_is_missing(contender: Contender) -> None:
    features = FOLD.train.features.copy()
    features[::7, 0] = np.nan
    features[:, 2] = np.nan  # always missing here, and never below
    rows = dataclasses.replace(FOLD.train, features=features)
    rows = with_sequence(rows, contender.last_payments)
    if contender.name == "random_forest":
        features[:, 2] = 0  # scikit-learn's forest asks for one value at least
    score = contender.fit(rows, QUICK[contender.name], 0)
    asked = np.array([[4, 0, np.nan], [np.nan, np.nan, 0], [-1, 0, 1]], dtype=np.float32)
    nothing_before = np.full((3, 2 * contender.last_payments), np.nan, dtype=np.float32)
    found = score(np.hstack([asked, nothing_before]))
    assert np.isfinite(found).all()
    assert found[0] > found[2]


def test_tabm_ends_when_patience_does_with_the_weights_that_were_best(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reached = [0.1, 0.5, 0.4, 0.3, 0.2, 0.9]
    after: list[np.ndarray] = []

    def quality(net: torch.nn.Module, x: torch.Tensor, is_fraud: np.ndarray) -> float:
        assert len(x) == len(is_fraud)
        with torch.inference_mode():
            after.append(torch.sigmoid(net.eval()(x)).mean(dim=(1, 2)).numpy())
        return reached[len(after) - 1]

    monkeypatch.setattr(tabm_training, "_quality", quality)
    config = tabm_training.TabmConfig(k=2, n_blocks=1, d_block=8, patience=2)
    score = tabm_training.train_tabm(FOLD.train, config, seed=0)
    assert len(after) == 5  # the second was best, and one more than patience allows came after
    best = np.sort(after[1])
    scored = score(FOLD.train.features)
    assert np.isclose(scored[:, None], best, atol=1e-6).any(axis=0).all()
    assert not np.isclose(scored[:, None], after[4], atol=1e-6).any(axis=0).all()
    assert 300 < len(best) < 500  # about a fifth of 2,000


def test_the_sequence_model_learns_what_only_the_order_of_payments_tells() -> None:
    """A fraud is where amounts have risen: no sum or mean of the same amounts tells it."""

    def ordered(rows: Rows, seed: int) -> Rows:
        amounts = np.random.default_rng(seed).lognormal(3, 1, size=(len(rows), LAST_PAYMENTS))
        latest_first = np.sort(amounts, axis=1)
        latest_first[rows.is_fraud] = latest_first[rows.is_fraud, ::-1]
        ages = np.tile(np.arange(1, LAST_PAYMENTS + 1) * 3_600.0, (len(rows), 1))
        sequence = np.stack([latest_first, ages], axis=-1).reshape(len(rows), -1)
        features = np.zeros_like(rows.features[:, :1])
        features[::2] = 1  # tells nothing
        columns = np.hstack([features, sequence]).astype(np.float32)
        return dataclasses.replace(rows, features=columns)

    config = SequenceConfig(max_epochs=6, min_batches=32, width=32)
    score = train_sequence(ordered(FOLD.train, 1), config, seed=0)
    test = ordered(FOLD.test, 2)
    assert roc_auc(test.is_fraud, score(test.features)) > 0.99
    flat = test.features.copy()
    flat[:, 1:] = np.nan
    assert roc_auc(test.is_fraud, score(flat)) < 0.6


def test_without_a_sequence_there_is_no_sequence_model() -> None:
    with pytest.raises(ValueError, match="the last 32 columns are the sequence's.* got 3 in all"):
        train_sequence(FOLD.train, SequenceConfig(), seed=0)


def test_the_same_seed_gives_the_same_sequence_model() -> None:
    rows = with_sequence(FOLD.train, LAST_PAYMENTS)
    config = SequenceConfig(max_epochs=1, min_batches=4, width=16)
    first, again, other = (train_sequence(rows, config, seed)(rows.features) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("name", "settings", "names"),
    [("sequence", {}, "the sequence model"), ("tabm", {}, "TabM")],
)
def test_a_net_says_where_frauds_are_too_few_to_stop_by(
    name: str, settings: Settings, names: str
) -> None:
    is_fraud = np.zeros(len(FOLD.train), dtype=bool)
    is_fraud[0] = True
    contender = next(it for it in CONTENDERS if it.name == name)
    rows = dataclasses.replace(FOLD.train, is_fraud=is_fraud)
    with pytest.raises(DataError, match=rf"{names} stops .* too few \(1 frauds in all\)"):
        contender.fit(with_sequence(rows, contender.last_payments), settings, 0)


def history(first: str, last: str) -> History:
    times = pa.array([dt.datetime.fromisoformat(day) for day in (first, last)], pa.timestamp("us"))
    return History(pa.table({"timestamp": times}), pa.table({}))


OPTIONS = DataOptions(
    source=None, table=None, column_names={}, spec=DEFAULT_SPEC,
    train_start=None, train_days=7, delay_days=7, test_days=7,
)  # fmt: skip


def starts(days: list[Days]) -> list[str]:
    return [f"{it.train_start:%m-%d}" for it in days]


def test_the_handbooks_folds_are_the_default_where_the_data_cover_them() -> None:
    tests = protocol.test_days(OPTIONS, history("2018-04-01", "2018-09-30"))
    assert starts(tests) == ["07-25", "08-01", "08-08", "08-15"]
    assert starts(protocol.validation_days(tests)) == ["06-20", "06-27", "07-04", "07-11"]


def test_other_data_are_tested_on_their_last_days() -> None:
    tests = protocol.test_days(OPTIONS, history("2020-01-01", "2020-12-31"))
    assert tests[-1].end == dt.date(2021, 1, 1)
    assert starts(tests) == ["11-20", "11-27", "12-04", "12-11"]


def test_the_user_may_say_where_to_start() -> None:
    options = dataclasses.replace(OPTIONS, train_start=dt.date(2018, 6, 1))
    tests = protocol.test_days(options, history("2018-04-01", "2018-09-30"))
    assert starts(tests) == ["06-01", "06-08", "06-15", "06-22"]


def line(model: str, ap: float, features: str = "all") -> Line:
    """Of two folds with two seeds each; the second fold is better by 0.1."""
    ap_of = np.array([[ap - 0.01, ap + 0.01], [ap + 0.09, ap + 0.11]])
    reached = np.stack([ap_of, np.full((2, 2), 0.9), np.full((2, 2), 0.3)], axis=-1)
    return Line(
        model=model, features=features, n_features=3, reached=reached, seconds=1.0,
        scoring=ScoringTime(one=1_234, row=0.5),
    )  # fmt: skip


LINES = [line("ours", 0.7), line("one", 0.5), line("two", 0.6), line("ours", 0.4, "few")]


def test_the_numbers_are_against_the_best_on_the_same_features() -> None:
    results = {it.name: it for it in as_results(LINES, line("oracle", 0.75))}
    assert results["ap"].value == pytest.approx(0.75)
    assert results["ap"].peer == "two"
    assert results["ap"].ratio == pytest.approx(0.75 / 0.65)
    assert results["ap_over_oracle"].value == pytest.approx(0.75 / 0.8)
    assert results["ours_few_ap"].value == pytest.approx(0.45)
    assert results["two_ap"].value == pytest.approx(0.65)
    assert results["two_ap_half_interval"].value == pytest.approx(12.706 * 0.05, rel=1e-3)
    assert results["two_ap_minus_ours"].value == pytest.approx(-0.1)
    assert results["two_ap_minus_ours_half_interval"].value == pytest.approx(0, abs=1e-9)
    assert results["ours_train"].value == 1
    assert results["ours_few_score_one"].value == 1_234
    assert results["two_score_row_of_4096"].value == 0.5
    assert "ap_over_oracle" not in {it.name for it in as_results(LINES, None)}


def test_the_interval_is_students_over_train_starts_whatever_the_seeds() -> None:
    assert half_interval(np.array([1.0, 2.0, 3.0, 4.0])) == pytest.approx(2.0542, abs=1e-4)
    assert half_interval(np.array([1.0])) is None
    assert line("ours", 0.7).seed_deviation("ap") == pytest.approx(0.01)


def test_the_table_has_every_line() -> None:
    console = Console(width=140, record=True)
    console.print(as_table(LINES, "title"))
    shown = console.export_text()
    assert "0.750 ±0.635" in shown
    assert "-0.200 ±0.000" in shown
    assert "1,234" in shown
    assert "few (3)" in shown


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_the_picture_is_the_same_for_the_same_scores(tmp_path: Path, suffix: str) -> None:
    contents = []
    score = FOLD.test.features[:, 0]
    scores = {"ours": [[score, score], [score, -score]], "oracle": [[-score], [score]]}
    oracle = dataclasses.replace(line("oracle", 0.9), scoring=None)
    for number in (1, 2):
        path = tmp_path / f"{number}.{suffix}"
        draw(path, [FOLD, FOLD], [line("ours", 0.7), oracle], scores, "title")
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]
    assert len(contents[0]) > 5_000


def test_a_curve_goes_in_steps_from_threshold_to_threshold() -> None:
    is_fraud = np.array([True, False, True, False])
    curve = precision_at_recalls(is_fraud, np.array([0.9, 0.8, 0.7, 0.1]))
    assert curve[0] == 1
    assert curve[100] == 1  # half of the frauds: the first row alone
    np.testing.assert_allclose(curve[101:], 2 / 3)  # all of them: no threshold lies between


def test_scoring_is_timed_one_at_a_time_and_in_a_batch() -> None:
    shapes = []

    def score(features: np.ndarray) -> np.ndarray:
        shapes.append(features.shape)
        return features[:, 0]

    taken = time_scoring(score, FOLD.test.features)
    assert set(shapes) == {(1, 3), (BATCH, 3)}
    assert taken.one > taken.row > 0


def test_the_user_says_who_takes_part() -> None:
    assert list(parse_compare_options([]).contenders) == list(CONTENDERS)
    chosen = parse_compare_options(["--contenders", "tabm,lightgbm"]).contenders
    assert [it.name for it in chosen] == ["ours", "lightgbm", "tabm"]
    quick = parse_compare_options(["--quick"]).contenders
    assert [it.name for it in CONTENDERS if it not in quick] == ["tabm", "sequence"]


def test_the_user_says_how_often_each_trains() -> None:
    asked = ([], ["--quick"], ["--seeds", "2"], ["--quick", "--seeds", "2"])
    assert [parse_compare_options(it).seeds for it in asked] == [3, 1, 2, 2]


def test_who_reads_a_sequence_has_it_after_the_features_and_nobody_else_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = Scenario(
        n_days=120, seed=1, population=Population(n_customers=200, n_terminals=400, radius=12)
    )
    monkeypatch.setattr("batch_proc.inputs.Scenario", lambda: small)
    seen: dict[str, list[np.ndarray]] = {}

    def fit(name: str) -> Callable[[Rows, Settings, int], Score]:
        def fitted(rows: Rows, settings: Settings, seed: int) -> Score:
            del settings, seed
            seen.setdefault(name, []).append(rows.features)
            return lambda features: features[:, 0]

        return fitted

    readers = [
        Contender("ours", fit("ours"), lambda _: {}, start={}),
        Contender("reader", fit("reader"), lambda _: {}, start={}, last_payments=3),
        Contender("other", fit("other"), lambda _: {}, start={}, last_payments=1),
    ]
    options = dataclasses.replace(
        parse_compare_options(["--train-start", "2018-06-20", "--trials", "1", "--seeds", "1"]),
        contenders=readers,
    )
    stages = Stages()
    found = compare.compare(options, read_history(options.data, tmp_path, stages), stages)
    assert [it.n_features for it in found.lines] == [len(DEFAULT_SPEC.names)] * 3 + [23] * 3
    folds = 4
    for name, more in (("ours", 0), ("reader", 6), ("other", 2)):
        widths = [features.shape[1] for features in seen[name]]
        n_all = len(DEFAULT_SPEC.names)
        assert widths == [n_all + more] * 2 * folds + [23 + more] * folds  # a search, and two tests
    ours, reader, other = (seen[name][-1] for name in ("ours", "reader", "other"))
    np.testing.assert_array_equal(reader[:, :23], ours)
    np.testing.assert_array_equal(reader[:, 23:25], other[:, 23:])
    assert np.nanmax(reader[:, 23::2]) < 10_000  # amounts,
    latest, older = reader[:, 24], reader[:, 26]  # and ages
    both = ~np.isnan(older)
    assert both.any() and (latest[both] <= older[both]).all()


@pytest.mark.parametrize(
    ("names", "message"), [("xgboost,svm", "there is no svm"), ("ours", "nobody beside ours")]
)
def test_who_is_not_there_cannot_take_part(
    names: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        parse_compare_options(["--contenders", names])
    assert stopped.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_settings_are_there_for_every_contender_and_ours_are_the_defaults() -> None:
    settings = read_settings()
    assert list(settings) == [contender.name for contender in CONTENDERS]
    assert settings[OURS.name] == {}  # what was found became the library's defaults


def test_of_what_another_simulator_made_there_is_no_oracle(monkeypatch: pytest.MonkeyPatch) -> None:
    small = Scenario(n_days=3, population=Population(n_customers=50, n_terminals=99, radius=30))
    monkeypatch.setattr(compare, "Scenario", lambda: small)
    other = simulate(dataclasses.replace(small, seed=1))
    assert compare.consult_oracle(History(other.transactions, other.labels), []) is None


def test_the_command_compares_all_and_writes_what_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = Scenario(
        n_days=120, seed=1, population=Population(n_customers=400, n_terminals=800, radius=12)
    )
    monkeypatch.setenv("FRAUD_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("batch_proc.inputs.Scenario", lambda: small)
    monkeypatch.setattr(compare, "Scenario", lambda: small)
    monkeypatch.setattr(compare, "read_settings", lambda: QUICK)
    numbers = tmp_path / "numbers.json"
    arguments = ["--quick", "--train-start", "2018-06-20", "--json", str(numbers)]
    monkeypatch.setattr("sys.argv", ["compare", *arguments])
    assert run(compare.main, shown=SHOWN) == 0
    found = {row["name"]: row for row in json.loads(numbers.read_text())}
    assert {"ap", "auc", "cp100", "ap_over_oracle", "cp100_over_oracle"} <= set(found)
    assert set(found["ap"]) == {"name", "value", "unit", "peer", "ratio"}
    assert 0.2 < found["ap"]["value"] < 1
    # Of other rows than the tested ones, the oracle's precision would be the rate of fraud.
    assert 0.3 < found["ap_over_oracle"]["value"] < 1.2
    shown = capsys.readouterr().out
    quick = [contender.name for contender in CONTENDERS if contender.quick is not None]
    for model in (*quick, "oracle"):
        assert model in shown
    assert (tmp_path / "home/reports/compare.svg").read_bytes().startswith(b"<?xml")
    kept = {it.parameters["model"]: it for it in Tracker(tmp_path / "home").runs("compare")}
    assert list(kept) == quick[::-1]
    assert kept["catboost"].metrics["score_one_us"] > 0
    assert kept["ours"].metrics["ap"] == pytest.approx(found["ap"]["value"])
    assert kept["ours"].parameters["max_epochs"] == "3"
    assert kept["random_forest"].parameters["n_estimators"] == "50"
