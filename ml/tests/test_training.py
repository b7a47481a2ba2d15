import datetime as dt

import numpy as np
import pytest
import torch

from fraud_ml.errors import DataError
from fraud_ml.feature_spec import HANDBOOK_SPEC
from fraud_ml.features import compute_features, feature_matrix
from fraud_ml.metrics import average_precision, roc_auc
from fraud_ml.model import ModelConfig
from fraud_ml.simulator import SimulatorConfig, simulate
from fraud_ml.splits import prequential_split
from fraud_ml.training import TrainingConfig, train_model

torch.set_num_threads(1)  # on nets this small, threads only wait for each other

TINY = ModelConfig(n_members=2, width=8)
SHORT = TrainingConfig(max_epochs=3, min_batches=8)
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
    model = train(training_config=TrainingConfig(max_epochs=15, min_batches=8))
    features, is_fraud, _ = sample(seed=1)
    score = model.net.score(torch.from_numpy(features)).numpy()
    assert roc_auc(is_fraud, score) > 0.95
    # Calibrated: plain cross-entropy, so scores mean what they say.
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
    assert kept == best.validation_average_precision


def test_training_stops_when_what_it_left_out_gets_no_better():
    features, _, customers = sample()
    noise = features[:, ::-1].copy(), np.random.default_rng(0).random(400) < 0.2, customers
    config = TrainingConfig(max_epochs=50, patience=2, min_batches=8)
    model = train(data=noise, training_config=config)
    assert len(model.epochs) == model.best_epoch + 2 < 50


def test_each_customer_is_kept_from_exactly_one_member():
    features, is_fraud, customers = sample()
    once = TrainingConfig(max_epochs=1, min_batches=8)
    config = ModelConfig(n_members=3, width=8)
    before = train(model_config=config, training_config=once).net
    for customer in (0, 17):
        other = is_fraud ^ (customers == customer)
        after = train(
            data=(features, other, customers), model_config=config, training_config=once
        ).net
        unchanged = [
            all(torch.equal(p[member], q[member]) for p, q in pairs_of(before, after))
            for member in range(3)
        ]
        assert sorted(unchanged) == [False, False, True]


def pairs_of(net, other):
    return zip(net.parameters(), other.parameters(), strict=True)


def test_it_finds_the_simulators_frauds():
    simulation = simulate(SimulatorConfig(n_customers=1_000, n_days=56))
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


def replaced(**changes):
    features, is_fraud, customers = sample()
    return tuple({"f": features, "y": is_fraud, "c": customers, **changes}.values())


def with_nan():
    features, *_ = sample()
    features[7, 1] = np.nan
    return features


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (replaced(f=sample()[0][:, :1]), ValueError, r"got shape \(400, 1\) and 2 names"),
        (replaced(y=np.ones(3, bool)), ValueError, "400 rows, 3 labels, 400 customers"),
        (replaced(f=np.zeros((400, 2))), ValueError, "must be float32 .* got float64"),
        (replaced(f=with_nan()), DataError, "feature 'noise' is nan in training row 7"),
        (replaced(y=np.zeros(400, bool)), DataError, "got 0 frauds among 400"),
        (replaced(y=np.ones(400, bool)), DataError, "got 400 frauds among 400"),
        (replaced(c=np.zeros(400)), DataError, "got 1 customers and 2 members"),
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
