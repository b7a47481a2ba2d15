"""Nets to test with: of a little size, with every part in use."""

import numpy as np
import torch

from fraud_ml._input_fit import fit_inputs
from fraud_ml.model import FraudNet, ModelConfig

SMALL = ModelConfig(n_groups=2, n_members=3, embedding=3, n_layers=2, width=8, max_categories=6)
CATEGORIES = (False, True, False, False, True)


def rows(n: int, seed: int = 0) -> np.ndarray:
    """Three numbers and two categories of ten values, a tenth missing: shape (n, 5)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 5)).astype(np.float32) * np.float32([50, 1, 1, 0.01, 1])
    for column in (1, 4):
        x[:, column] = rng.choice(10, n, p=rng.dirichlet(np.full(10, 5.0)))
    x[rng.random((n, 5)) < 0.1] = np.nan
    return x


def small_net(seed: int = 0, config: ModelConfig = SMALL) -> FraudNet:
    """A net fitted to :func:`rows`, with random weights and a calibration."""
    torch.manual_seed(seed)
    net = FraudNet(CATEGORIES, config).eval()
    x = rows(2_000, seed)
    is_fraud = np.nan_to_num(x[:, 0]) + np.nan_to_num(x[:, 1]) > 60
    fit_inputs(net, x, is_fraud)
    with torch.no_grad():
        net.number.weight[:, -1].normal_()
        net.first.weight.mul_(4)  # scores that differ, as after training
        net.last.weight.mul_(10)
        net.slope.fill_(1.2)
        net.offset.fill_(-0.3)
    return net
