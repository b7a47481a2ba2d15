import numpy as np
import pytest
import torch
from nets import CATEGORIES, SMALL, rows, small_net

from fraud_ml._input_fit import fit_inputs
from fraud_ml.model import FraudNet, ModelConfig, mean_logit

X = torch.from_numpy(rows(40, seed=1))


def test_a_score_is_the_calibrated_mean_of_the_members_probabilities():
    net = small_net()
    members = torch.sigmoid(net.member_logits(X))
    assert members.shape == (6, 40)
    logit = 1.2 * torch.logit(members.mean(0)) - 0.3
    torch.testing.assert_close(net(X), logit, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(net.score(X), torch.sigmoid(net(X)))


def test_members_are_separate_perceptrons_on_the_embedding_of_their_group():
    net = small_net()
    embedded = net.embed(X)  # (2, 40, 15)
    member, group, within = 4, 1, 1
    width = SMALL.width
    columns = slice(within * width, (within + 1) * width)
    before = (
        embedded[group] @ net.first.weight[group, :, columns] + net.first.bias[group, 0, columns]
    )
    hidden = torch.relu(before) @ net.hidden[0].weight[member] + net.hidden[0].bias[member]
    expected = torch.relu(hidden) @ net.last.weight[member] + net.last.bias[member]
    torch.testing.assert_close(net.member_logits(X)[member], expected.squeeze(-1))


def test_groups_share_nothing():
    net, other = small_net(), small_net()
    with torch.no_grad():
        e = SMALL.embedding
        for embedding in (other.number, other.category):
            embedding.weight[..., e:].normal_()  # of the second group
        other.first.weight[1].normal_()
        for layer in (*other.hidden, other.last):
            layer.weight[3:].normal_()
    torch.testing.assert_close(net.member_logits(X)[:3], other.member_logits(X)[:3])
    assert not torch.allclose(net.member_logits(X)[3:], other.member_logits(X)[3:])


def test_a_batch_scores_as_its_rows_one_by_one():
    net = small_net()
    one_by_one = torch.cat([net.score(row[None]) for row in X])
    torch.testing.assert_close(net.score(X), one_by_one)


def test_many_rows_score_as_a_few_at_a_time():
    net = small_net()
    x = torch.from_numpy(rows(1_300))
    in_parts = torch.cat([net.score(part) for part in x.split(100)])
    torch.testing.assert_close(net.score(x), in_parts)


def test_no_rows_have_no_scores():
    assert small_net().score(X[:0]).shape == (0,)


def test_an_embedding_is_linear_between_edges_and_flat_outside():
    net = small_net()
    number = net.number
    n_pieces = int((number.per_width[0] > 0).sum())
    last = number.low[0, n_pieces - 1] + 1 / number.per_width[0, n_pieces - 1]
    edges = torch.cat((number.low[0, :n_pieces], last[None]))
    between = (edges[3] + edges[4]) / 2

    def filled(value):
        row = torch.full((1, 3), float(value))
        return ((row[..., None] - number.low) * number.per_width).clamp(0, 1)[0, 0]

    assert filled(edges[0] - 100).sum() == 0
    assert filled(edges[-1] + 100).sum() == pytest.approx(n_pieces, abs=1e-4)
    torch.testing.assert_close(
        filled(between), (filled(edges[3]) + filled(edges[4])) / 2, atol=1e-4, rtol=1e-4
    )


def test_an_embedding_may_jump_at_an_edge_and_nowhere_else():
    number = small_net().number
    with torch.no_grad():
        number.bias.fill_(1.0)
    edge = number.low[0, 3].item()
    size = float(np.spacing(np.float32(edge)))

    def jump(value):
        x = torch.zeros(2, 3)
        x[:, 0] = torch.tensor([value, value + 4 * abs(size)])
        embedded = number(x)[0]
        return (embedded[1] - embedded[0]).abs().max().item()

    assert jump(edge) > 0.01
    assert jump(edge + 100 * abs(size)) < 1e-3


def test_units_do_not_matter():
    units = np.float32([1e3, 1, 1e-3, 7, 1])
    offset = np.float32([50, 0, -1, 0, 0])
    x = rows(2_000)
    is_fraud = np.nan_to_num(x[:, 0]) > 60
    scores = []
    for features in (x, x * units + offset):
        torch.manual_seed(0)
        net = FraudNet(CATEGORIES, SMALL).eval()
        fit_inputs(net, features, is_fraud)
        scores.append(net.score(torch.from_numpy(features)))
    torch.testing.assert_close(scores[0], scores[1], atol=1e-3, rtol=1e-2)


def test_missing_counts_as_usual_until_training_says_otherwise():
    net = small_net()
    missing, usual = X[:1].clone(), X[:1].clone()
    missing[0, 2], usual[0, 2] = torch.nan, net.number.usual[1]
    assert not torch.allclose(net(missing), net(usual))
    with torch.no_grad():
        net.number.weight[:, -1] = 0
    torch.testing.assert_close(net(missing), net(usual))


def test_rare_and_unseen_categories_are_one_and_missing_is_another():
    net = small_net()
    known = net.category.codes[0]

    def score(code):
        row = X[:1].clone()
        row[0, 1] = code
        return net(row).item()

    rare = next(code for code in range(10) if code not in known)
    assert score(rare) == score(987_654)
    others = [score(float(code)) for code in known if code >= 0] + [score(torch.nan)]
    assert len({*others, score(rare)}) == len(others) + 1


def test_edges_lie_where_frauds_are():
    rng = np.random.default_rng(0)
    amount = rng.exponential(50, 20_000).astype(np.float32)
    is_fraud = amount > 400  # 7 of 20,000; no quantile in 16 would see them
    is_fraud |= rng.random(20_000) < 0.001
    net = FraudNet([False], SMALL)
    fit_inputs(net, amount[:, None], is_fraud)
    assert ((net.number.low > 150) & (net.number.low < 420)).any()


def test_a_feature_that_never_varied_does_no_harm():
    x = rows(500)
    x[:, 2] = 7.0
    net = FraudNet(CATEGORIES, SMALL).eval()
    fit_inputs(net, x, x[:, 0] > 60)
    assert net.score(torch.from_numpy(x)).isfinite().all()
    far = torch.from_numpy(x[:1].copy())
    far[0, 2] = 1e9
    assert net(far).isfinite().all()


def test_a_feature_that_is_always_missing_does_no_harm():
    x = rows(500)
    x[:, 2] = np.nan
    net = FraudNet(CATEGORIES, SMALL).eval()
    fit_inputs(net, x, x[:, 0] > 60)
    assert net.score(torch.from_numpy(x)).isfinite().all()


def test_a_net_starts_from_the_rate_of_fraud():
    x = rows(1_000)
    is_fraud = np.arange(1_000) < 20
    net = FraudNet(CATEGORIES, SMALL).eval()
    fit_inputs(net, x, is_fraud)
    assert torch.sigmoid(net.last.bias).mean().item() == pytest.approx(0.02)


def test_logits_stay_finite_where_probabilities_do_not_differ_from_0_or_1():
    logits = torch.tensor([[-1e4, 200.0], [-2e4, 1e4]])
    torch.testing.assert_close(mean_logit(logits).isfinite(), torch.tensor([True, True]))
    assert mean_logit(logits)[0] == pytest.approx(-1e4, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "least"), [("n_groups", 2), ("n_members", 1), ("n_layers", 1), ("width", 1)]
)
def test_a_config_that_means_nothing_is_refused(name, least):
    with pytest.raises(ValueError, match=f"{name} must be at least {least}, got {least - 1}"):
        ModelConfig(**{name: least - 1})


def test_dropping_everything_out_is_refused():
    with pytest.raises(ValueError, match=r"dropout must be at least 0 and below 1, got 1\.0"):
        ModelConfig(dropout=1.0)
