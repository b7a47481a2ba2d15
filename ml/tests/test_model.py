import pytest
import torch

from fraud_ml.model import FraudNet, ModelConfig


@pytest.fixture
def net():
    torch.manual_seed(0)
    return FraudNet(3, ModelConfig(n_members=4, width=8)).eval()


def test_a_score_is_the_mean_of_the_members_probabilities(net):
    x = torch.randn(20, 3)
    members = torch.sigmoid(net.member_logits(x))
    assert members.shape == (4, 20)
    torch.testing.assert_close(net.score(x), members.mean(0))
    torch.testing.assert_close(torch.sigmoid(net(x)), net.score(x))


def test_members_are_separate_perceptrons(net):
    x = torch.randn(20, 3)
    first, second = net.layers[:2]
    hidden = torch.relu(x @ first.weight[2] + first.bias[2])
    hidden = torch.relu(hidden @ second.weight[2] + second.bias[2])
    expected = (hidden @ net.layers[2].weight[2] + net.layers[2].bias[2]).squeeze(-1)
    torch.testing.assert_close(net.member_logits(x)[2], expected)


def test_a_batch_scores_as_its_rows_one_by_one(net):
    x = torch.randn(20, 3)
    torch.testing.assert_close(net.score(x), torch.cat([net.score(row[None]) for row in x]))


def test_logits_stay_finite_where_probabilities_do_not_differ_from_0_or_1(net):
    logits = net(torch.full((1, 3), 1e6))
    assert logits.isfinite().all()
    assert logits.abs() > 1000


def test_scaling_is_inside(net):
    torch.manual_seed(1)
    x = torch.randn(500, 3)
    units, offset = torch.tensor([1e3, 1.0, 1e-3]), torch.tensor([50.0, 0.0, -1.0])
    net.fit_scaling(x)
    before = net.score(x)
    net.fit_scaling(x * units + offset)
    torch.testing.assert_close(net.score(x * units + offset), before, atol=1e-4, rtol=1e-3)


def test_a_feature_that_never_varied_is_not_blown_up(net):
    x = torch.randn(50, 3)
    x[:, 1] = 7.0
    net.fit_scaling(x)
    assert net.std[1] == 1.0
    assert net.mean[1] == 7.0


@pytest.mark.parametrize(("name", "least"), [("n_members", 2), ("n_layers", 1), ("width", 1)])
def test_a_config_that_means_nothing_is_refused(name, least):
    with pytest.raises(ValueError, match=f"{name} must be at least {least}, got {least - 1}"):
        ModelConfig(**{name: least - 1})
