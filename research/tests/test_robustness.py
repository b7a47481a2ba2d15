"""What the robustness studies share: rows are known in time, and settings are the same for all."""

import math

import numpy as np
import pytest

from experiments.ablation import ablation, measure_without
from experiments.robustness import Data, fit, population, reviewed, seeds, share_of
from experiments.study import Study
from fraud_ml.metrics import average_precision
from fraud_ml.scenario import Labelling, Population, Scenario

PARAMETERS = {"n_customers": 200, "n_terminals": 400, "model": "lightgbm", "rounds": 30}


@pytest.fixture(scope="module")
def data() -> Data:
    labels = Labelling(delay_days=2.5, missed=0.2, false_alarms=0.2)
    return Data.of(Scenario(n_days=40, population=population(PARAMETERS), labels=labels))


def test_people_are_as_dense_as_the_handbooks() -> None:
    people, usual = population(PARAMETERS, newcomers=0.5), Population()
    assert people.n_terminals * people.radius**2 == pytest.approx(
        usual.n_terminals * usual.radius**2
    )
    assert (people.n_customers, people.newcomers) == (200, 0.5)


def test_evidence_of_features_that_are_gone_is_refused(tmp_path) -> None:  # type: ignore[no-untyped-def]
    it = Study(name="it", parameters={}, seed=0, small=True, folder=tmp_path)
    with pytest.raises(ValueError, match="the spec has no gone: there is nothing to compare"):
        measure_without(it, ablation(title="", x=""), ("amount", "gone"))


def test_seeds_follow_that_of_the_study(tmp_path) -> None:  # type: ignore[no-untyped-def]
    parameters = {"n_seeds": 3}
    it = Study(name="it", parameters=parameters, seed=7, small=True, folder=tmp_path)
    assert list(seeds(it)) == [7, 8, 9]


def test_nothing_is_trained_on_before_its_label_is_known(data: Data) -> None:
    rows = data.labelled(today=30, days=5)
    assert set(data.day[rows]) == {22, 23, 24, 25, 26}
    start = np.datetime64(data.scenario.start, "D")
    known = data.simulation.labels["labelled_at"].to_numpy()[rows]
    assert known.max() <= start + np.timedelta64(30, "D")


def test_labels_may_be_wrong_and_the_truth_is_not(data: Data) -> None:
    assert (data.said != data.is_fraud).any()
    assert (data.is_fraud == (data.kind > 0)).all()
    assert data.features.shape[0] == len(data.day) == len(data.customer)


@pytest.mark.parametrize(("model", "rounds"), [("lightgbm", 30), ("xgboost", 30), ("ours", 2)])
def test_a_model_learns_and_the_same_seed_gives_the_same_scores(
    data: Data, model: str, rounds: int
) -> None:
    settings = {"model": model, "rounds": rounds}
    train, test = data.labelled(today=33, days=14), data.on(33, 40)
    score = fit(data, train, settings, 0)(data.features[test])
    fraud = data.is_fraud[test]
    assert average_precision(fraud, score) > 2 * fraud.mean()
    np.testing.assert_array_equal(fit(data, train, settings, 0)(data.features[test]), score)


def test_the_highest_scores_of_each_day_are_reviewed() -> None:
    day = np.repeat([3, 1], [10, 20])
    score = np.concatenate([np.arange(10), np.arange(20) / 100])
    looked_at = reviewed(day, score, share=0.1)
    assert np.flatnonzero(looked_at).tolist() == [9, 28, 29]
    assert reviewed(day, score, share=1e-9).sum() == 2  # one a day at least


def test_a_share_of_nothing_is_not_known() -> None:
    found, none = np.array([True, False]), np.zeros(2, dtype=bool)
    assert math.isnan(share_of(found, none))
    assert math.isclose(share_of(found, ~none), 0.5)
