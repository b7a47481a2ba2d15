import pytest
import torch
from nets import rows, small_net

from fraud_ml.attribution import Attributor
from fraud_ml.model import ModelConfig

X = torch.from_numpy(rows(300, seed=2))


@pytest.mark.parametrize("n_layers", [1, 2, 3])
@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_contributions_add_up_to_what_the_log_odds_rose(n_layers, scale):
    config = ModelConfig(n_groups=2, n_members=3, embedding=3, width=8, n_layers=n_layers)
    net = small_net(config=config)
    with torch.no_grad():
        net.last.weight.mul_(scale)  # members that are sure, and at odds with each other
    found = Attributor(net).attribute(X)
    assert found.contributions.shape == X.shape
    torch.testing.assert_close(found.logits, net(X))
    raised = found.logits - found.baseline
    assert raised.abs().max() > scale / 10
    torch.testing.assert_close(found.contributions.sum(1), raised, atol=1e-4, rtol=1e-4)


def test_the_usual_payment_is_the_baseline_and_has_no_reasons():
    attributor = Attributor(small_net())
    found = attributor.attribute(attributor.usual[None])
    assert found.logits.item() == pytest.approx(found.baseline, abs=1e-5)
    assert found.contributions.abs().max() < 1e-5


def test_a_feature_that_is_as_usual_contributes_nothing():
    attributor = Attributor(small_net())
    for feature in range(5):
        x = X.clone()
        x[:, feature] = attributor.usual[feature]
        assert attributor.attribute(x).contributions[:, feature].abs().max() < 1e-5


def test_one_feature_that_alone_is_unusual_has_all_of_it():
    attributor = Attributor(small_net())
    for feature in range(5):
        x = attributor.usual.repeat(len(X), 1)
        x[:, feature] = X[:, feature]
        found = attributor.attribute(x)
        raised = found.logits - found.baseline
        torch.testing.assert_close(found.contributions[:, feature], raised, atol=1e-5, rtol=1e-4)
        assert raised.abs().max() > 0.01


def test_a_feature_that_the_net_does_not_look_at_contributes_nothing():
    net = small_net()
    with torch.no_grad():
        net.number.weight[1] = 0  # the third feature's
    contributions = Attributor(net).attribute(X).contributions
    assert contributions[:, 2].abs().max() == 0
    assert (contributions[:, [0, 1, 3, 4]].abs().amax(0) > 0.01).all()


def test_a_transaction_has_the_same_reasons_in_any_batch():
    attributor = Attributor(small_net())
    together = attributor.attribute(X[:20]).contributions
    alone = torch.cat([attributor.attribute(row[None]).contributions for row in X[:20]])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_no_transactions_have_no_reasons():
    assert Attributor(small_net()).attribute(X[:0]).contributions.shape == (0, 5)
