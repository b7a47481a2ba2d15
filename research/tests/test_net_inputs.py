"""The inputs that the lab's networks make of features."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.net_inputs import Scale, fit_preparation

SCALES: tuple[Scale, ...] = ("standard", "quantiles")
RISING = np.arange(1_000, dtype=np.float32)[:, None]


@pytest.mark.parametrize("scale", SCALES)
def test_what_lies_beyond_all_that_was_seen_counts_as_the_outermost_of_it(scale: Scale) -> None:
    prepare = fit_preparation(RISING, scale, seed=0)
    least, most = prepare.transform(RISING)[[0, -1], 0]
    below, above = prepare.transform(np.array([[-1e9], [1e9]], dtype=np.float32))[:, 0]
    assert (below, above) == pytest.approx((least, most))


@pytest.mark.parametrize("scale", SCALES)
def test_inputs_are_on_one_scale_in_the_order_of_the_values(scale: Scale) -> None:
    inputs = fit_preparation(RISING, scale, seed=0).transform(RISING)[:, 0]
    assert (np.diff(inputs) > 0).all()
    assert inputs.mean() == pytest.approx(0, abs=0.01)
    assert inputs.std() == pytest.approx(1, abs=0.1)


def test_equally_far_apart_stays_so_unless_by_quantiles() -> None:
    steps = {
        scale: np.diff(fit_preparation(RISING, scale, seed=0).transform(RISING)[:, 0])
        for scale in SCALES
    }
    assert steps["standard"].std() < 1e-6
    assert steps["quantiles"][1] > 3 * steps["quantiles"][500]


@pytest.mark.parametrize("scale", SCALES)
def test_a_missing_value_is_the_median_and_tells_so(scale: Scale) -> None:
    features = np.hstack([RISING, np.ones_like(RISING)])
    features[::4, 0] = np.nan
    prepare = fit_preparation(features, scale, seed=0)
    inputs = prepare.transform(features)
    assert inputs.shape == (1_000, 2)  # the constant is left out, the flag of missing is in
    median = np.array([[np.nanmedian(features[:, 0]), 1]], dtype=np.float32)
    usual = prepare.transform(median)[0, 0]
    assert inputs[::4, 0] == pytest.approx(usual)
    assert (inputs[::4, 1] > inputs[1, 1]).all()
