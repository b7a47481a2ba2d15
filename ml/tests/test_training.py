import datetime as dt

import numpy as np
import pytest
import torch

from fraud_ml._input_fit import fit_inputs
from fraud_ml._training_loop import Rows, TrainingLoop
from fraud_ml.calibration import expected_calibration_error
from fraud_ml.default_specs import HANDBOOK_SPEC
from fraud_ml.errors import DataError
from fraud_ml.features import compute_features, feature_matrix
from fraud_ml.metrics import average_precision, roc_auc
from fraud_ml.model import FraudNet, ModelConfig
from fraud_ml.scenario import Population, Scenario
from fraud_ml.simulator import simulate
from fraud_ml.splits import prequential_split
from fraud_ml.training import TrainingConfig, _customer_folds, train_model

torch.set_num_threads(1)  # on nets this small, threads only wait for each other

TINY = ModelConfig(n_groups=2, n_members=2, embedding=2, width=8)
# So fast that little is enough to learn.
SHORT = TrainingConfig(max_epochs=3, min_batches=8, peak_learning_rate=0.05, weight_decay=0.001)
NAMES = ("amount", "noise")


def sample(n=400, seed=0):
    """Fraud is a large amount, ten times in eleven; of 40 customers."""
    rng = np.random.default_rng(seed)
    amount = rng.uniform(0, 100, n)
    is_fraud = (amount > 80) ^ (rng.random(n) < 0.02)
    features = np.stack((amount, rng.normal(size=n)), axis=1).astype(np.float32)
    return features, is_fraud, rng.integers(0, 40, n)


def train(*, seed=0, model_config=TINY, training_config=SHORT, data=None, **others):
    features, is_fraud, customers = data or sample()
    return train_model(
        features,
        is_fraud,
        customers=customers,
        feature_names=NAMES,
        model_config=model_config,
        training_config=training_config,
        seed=seed,
        **others,
    )


def weights(model):
    return torch.cat([tensor.flatten() for tensor in model.net.state_dict().values()])


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    first = train(seed=3)
    torch.rand(5)  # another place in the global random stream
    assert torch.equal(weights(first), weights(train(seed=3)))
    assert not torch.equal(weights(first), weights(train(seed=4)))


def test_training_leaves_the_global_random_state_alone():
    before = torch.random.get_rng_state()
    train()
    assert torch.equal(before, torch.random.get_rng_state())


def test_it_learns_what_there_is_to_learn():
    model = train(data=sample(4_000), training_config=TrainingConfig(min_batches=40))
    features, is_fraud, _ = sample(4_000, seed=1)
    score = model.net.score(torch.from_numpy(features)).numpy()
    assert roc_auc(is_fraud, score) > 0.95
    assert average_precision(is_fraud, score) > 0.85
    # Calibrated: scores mean what they say.
    assert score.mean() == pytest.approx(is_fraud.mean(), abs=0.03)


def test_every_epoch_is_reported_and_the_best_one_kept():
    seen = []
    model = train(on_epoch=seen.append)
    assert tuple(seen) == model.epochs
    assert [epoch.number for epoch in seen] == [1, 2, 3]
    best = max(seen, key=lambda epoch: epoch.validation_average_precision)
    assert model.best_epoch == best.number
    assert not model.net.training
    _, is_fraud, _ = sample()
    kept = average_precision(is_fraud, model.out_of_fold_scores)
    assert kept == pytest.approx(best.validation_average_precision, abs=1e-6)


def test_training_stops_when_what_it_left_out_gets_no_better():
    features, _, customers = sample()
    noise = features[:, ::-1].copy(), np.random.default_rng(0).random(400) < 0.2, customers
    config = TrainingConfig(max_epochs=50, patience=2, min_batches=8)
    model = train(data=noise, training_config=config)
    assert len(model.epochs) == model.best_epoch + 2 < 50


def test_a_group_learns_nothing_from_the_rows_of_its_fold():
    features, is_fraud, _ = sample()
    fold = torch.arange(400) % 3

    def trained(is_fraud):
        torch.manual_seed(0)
        net = FraudNet([False, False], ModelConfig(n_groups=3, embedding=2, width=8))
        fit_inputs(net, features, sample()[1])
        y = torch.from_numpy(is_fraud.astype(np.float32))
        config = TrainingConfig(max_epochs=1, min_batches=8)
        loop = TrainingLoop(net, Rows(x=torch.from_numpy(features), y=y, fold=fold), config)
        loop.run(None, None)
        return net.first.weight.detach()

    before = trained(is_fraud)
    for group in range(3):
        after = trained(is_fraud ^ (fold == group).numpy())
        unchanged = [torch.equal(before[number], after[number]) for number in range(3)]
        assert unchanged == [number == group for number in range(3)]


def test_labels_without_rhyme_or_reason_cannot_be_told_out_of_fold():
    # The edges of the embeddings are fitted to all labels: they must not give them away.
    features, is_fraud, customers = sample(6_000)
    shuffled = np.random.default_rng(0).permutation(is_fraud)
    model = train(data=(features, shuffled, customers))
    assert roc_auc(shuffled, model.out_of_fold_scores) < 0.53


def test_the_parts_are_of_whole_customers_and_of_equal_size():
    _, _, customers = sample()
    found = _customer_folds(customers, 3, seed=0)
    parts = [set(customers[found == part]) for part in range(3)]
    assert sorted(len(part) for part in parts) == [13, 13, 14]
    assert len(set.union(*parts)) == 40


def test_it_finds_the_simulators_frauds():
    simulation = simulate(Scenario(n_days=56, population=Population(n_customers=1_000)))
    transactions, labels = simulation.transactions, simulation.labels
    table = compute_features(transactions, labels, HANDBOOK_SPEC)
    fold = prequential_split(transactions, labels, train_start=dt.date(2018, 5, 6))
    features = feature_matrix(table)
    is_fraud = labels["is_fraud"].to_numpy()
    model = train_model(
        features[fold.train],
        is_fraud[fold.train],
        customers=transactions["customer_id"].to_numpy()[fold.train],
        feature_names=table.column_names,
    )
    score = model.net.score(torch.from_numpy(features[fold.test])).numpy()
    found = is_fraud[fold.test]
    assert average_precision(found, score) > 0.5
    assert roc_auc(found, score) > 0.8


def test_missing_values_and_categories_are_learned_from():
    rng = np.random.default_rng(0)
    country = rng.integers(0, 40, 4_000).astype(np.float32)
    age = rng.uniform(0, 100, 4_000).astype(np.float32)
    age[rng.random(4_000) < 0.2] = np.nan
    is_fraud = (country == 7) | np.isnan(age)
    model = train_model(
        np.stack((country, age), axis=1),
        is_fraud,
        customers=np.arange(4_000),
        feature_names=("country", "age"),
        categories=(True, False),
        model_config=ModelConfig(n_groups=2, n_members=2, width=16, dropout=0.1),
        training_config=TrainingConfig(max_epochs=15, min_batches=40),
    )
    rows = torch.tensor([[7.0, 50.0], [8.0, 50.0], [8.0, torch.nan], [4711.0, 50.0]])
    of_fraud, of_other, of_missing, unseen = model.net.score(rows).tolist()
    assert min(of_fraud, of_missing) > 0.9
    assert max(of_other, unseen) < 0.1


def test_scores_of_rows_left_out_are_calibrated():
    data = sample(n=4_000)
    model = train(data=data, training_config=TrainingConfig(max_epochs=6, min_batches=40))
    _, is_fraud, _ = data
    # Logistic regression with an intercept: the mean is exact, but for the weak prior.
    assert model.out_of_fold_scores.mean() == pytest.approx(is_fraud.mean(), abs=1e-3)
    assert expected_calibration_error(is_fraud, model.out_of_fold_scores) < 0.03


def replaced(**changes):
    features, is_fraud, customers = sample()
    return tuple({"f": features, "y": is_fraud, "c": customers, **changes}.values())


def with_infinity():
    features, *_ = sample()
    features[7, 1] = np.inf
    return features


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (replaced(f=sample()[0][:, :1]), ValueError, r"got shape \(400, 1\) and 2 names"),
        (replaced(y=np.ones(3, bool)), ValueError, "400 rows, 3 labels, 400 customers"),
        (replaced(f=np.zeros((400, 2))), ValueError, "must be float32 .* got float64"),
        (replaced(f=with_infinity()), DataError, "feature 'noise' is inf in training row 7"),
        (replaced(y=np.zeros(400, bool)), DataError, "got 0 frauds among 400"),
        (replaced(y=np.ones(400, bool)), DataError, "got 400 frauds among 400"),
        (replaced(c=np.zeros(400)), DataError, "got 1 customers and 2 groups"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(data, error, message):
    with pytest.raises(error, match=message):
        train(data=data)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_epochs": 0}, "max_epochs must be at least 1, got 0"),
        ({"patience": 0}, "patience must be at least 1, got 0"),
        ({"min_batches": 0}, "min_batches must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"peak_learning_rate": 0.0}, "peak_learning_rate must be positive, got 0.0"),
        ({"weight_decay": -1.0}, "weight_decay must not be negative, got -1.0"),
    ],
)
def test_a_config_that_means_nothing_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**changes)
