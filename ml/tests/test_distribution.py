import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraud_ml.distribution import (
    LEAST_SHARE,
    Distribution,
    Reference,
    fit_distribution,
    fit_reference,
    psi,
)

VALUES = st.lists(
    st.floats(-5, 5, width=32) | st.sampled_from([0.0, 1.0, math.nan]), min_size=1, max_size=60
)


def plain_counts(edges, values):
    counts = [0] * (len(edges) + 2)
    for value in values:
        at = len(edges) + 1 if math.isnan(value) else sum(edge < value for edge in edges)
        counts[at] += 1
    return counts


def plain_psi(shares, counts):
    total = 0.0
    for share, count in zip(shares, counts, strict=True):
        now, before = max(count / sum(counts), LEAST_SHARE), max(share, LEAST_SHARE)
        total += (now - before) * math.log(now / before)
    return total


@given(training=VALUES, later=VALUES)
def test_counts_and_the_index_are_those_of_a_plain_computation(training, later):
    distribution = fit_distribution(np.float32(training))
    expected = plain_counts(distribution.edges, training)
    np.testing.assert_allclose(distribution.shares, np.array(expected) / len(training))
    counts = distribution.count(np.float32(later))
    assert counts.tolist() == plain_counts(distribution.edges, later)
    assert psi(distribution, counts) == pytest.approx(plain_psi(distribution.shares, counts))


@given(VALUES)
def test_what_is_as_in_training_has_an_index_of_0(training):
    distribution = fit_distribution(np.float32(training))
    assert psi(distribution, distribution.count(np.float32(training * 3))) == pytest.approx(0)


def test_bins_have_equal_shares_where_numbers_differ():
    distribution = fit_distribution(np.arange(1000.0))
    np.testing.assert_allclose(distribution.shares, [0.1] * 10 + [0])


def test_a_flag_has_its_values_for_bins():
    distribution = fit_distribution(np.float32([0] * 70 + [1] * 20 + [math.nan] * 10))
    assert distribution.edges == (0, 1)
    np.testing.assert_allclose(distribution.shares, [0.7, 0.2, 0, 0.1])


def test_a_shift_counts_and_so_do_missing_values():
    rng = np.random.default_rng(0)
    distribution = fit_distribution(rng.normal(size=20_000))
    later = rng.normal(size=20_000)
    assert psi(distribution, distribution.count(later)) < 0.01
    assert psi(distribution, distribution.count(later + 1)) > 0.5
    missing = np.where(rng.random(20_000) < 0.3, np.nan, later)
    assert psi(distribution, distribution.count(missing)) > 0.5


def test_a_number_that_was_always_missing_has_a_bin_for_others():
    distribution = fit_distribution(np.full(5, np.nan))
    assert distribution == Distribution(edges=(), shares=(0, 1))
    assert distribution.count(np.array([np.nan, 3.0])).tolist() == [1, 1]


def test_a_reference_comes_back_from_json_as_it_was():
    features = np.random.default_rng(0).random((100, 2), dtype=np.float32)
    reference = fit_reference(features, features[:, 0] / 2, ["amount", "rate"])
    assert Reference.from_json(json.loads(json.dumps(reference.to_json()))) == reference
    assert reference.features["rate"] == fit_distribution(features[:, 1])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: psi(Distribution(edges=(0,), shares=(0.5, 0.5, 0)), [1, 2]), "3 bins, got"),
        (lambda: psi(Distribution(edges=(), shares=(1, 0)), [0, 0]), "nothing was counted"),
        (lambda: Distribution(edges=(0,), shares=(1, 0)), "1 edges with 2 shares"),
        (lambda: Distribution(edges=(1, 1), shares=(1, 0, 0, 0)), "must ascend"),
        (lambda: fit_distribution(np.zeros(0)), "no values"),
    ],
)
def test_what_cannot_be_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()
