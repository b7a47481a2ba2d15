"""The network that scores transactions: a handful of small perceptrons that vote, in one module."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """The shape of a :class:`FraudNet`."""

    n_members: int = 8  # with 5, a seed's luck moved AUC more; each costs the same time again
    n_layers: int = 2  # a third gained .002 AP on the validation folds, for half again the time
    width: int = 64  # 96 gained nothing there

    def __post_init__(self) -> None:
        for name, least in (("n_members", 2), ("n_layers", 1), ("width", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")


class MembersLinear(nn.Module):
    """A linear layer for each of K members, none sharing a weight.

    **Shape**

    - Input: ``(K, B, D)``
    - Output: ``(K, B, E)``
    """

    def __init__(self, n_members: int, n_in: int, n_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_members, n_in, n_out))
        self.bias = nn.Parameter(torch.empty(n_members, 1, n_out))
        bound = n_in**-0.5  # as nn.Linear
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output, member by member."""
        return torch.baddbmm(self.bias, x, self.weight)


class FraudNet(nn.Module):
    """The log-odds of fraud from raw features; scaling is inside, so no caller can forget it.

    K members, each a perceptron with ReLU, score independently; the result is the log-odds of
    their mean probability. The mean of probabilities, unlike that of logits, is calibrated when
    the members are, and it hides the luck of a single seed.

    **Shape**

    - Input: ``(B, F)``, float32, in the features' own units
    - Output: ``(B,)``, log-odds
    """

    mean: Tensor
    std: Tensor

    def __init__(self, n_features: int, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("std", torch.ones(n_features))
        sizes = [n_features, *[config.width] * config.n_layers, 1]
        self.layers = nn.ModuleList(
            MembersLinear(config.n_members, n_in, n_out) for n_in, n_out in pairwise(sizes)
        )

    def fit_scaling(self, x: Tensor) -> None:
        """Set the scaling to the mean and deviation of ``x``, shape ``(N, F)``."""
        std, mean = torch.std_mean(x.double(), dim=0, correction=0)
        self.mean.copy_(mean)
        # A constant feature says nothing, and must not turn into noise when it moves a little.
        self.std.copy_(torch.where(std > 0, std, 1.0))

    def member_logits(self, x: Tensor) -> Tensor:
        """Each member's log-odds: shape ``(K, B)``."""
        x = (x - self.mean) / self.std
        x = x.expand(self.config.n_members, *x.shape)  # (B, F) -> (K, B, F)
        *hidden, last = self.layers
        for layer in hidden:
            x = torch.relu(layer(x))
        return last(x).squeeze(-1)  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        """The log-odds of fraud: shape ``(B,)``."""
        logits = self.member_logits(x)
        # log(mean p) - log(mean (1 - p)); the mean's divisor cancels.
        fraud = torch.logsumexp(nn.functional.logsigmoid(logits), dim=0)
        honest = torch.logsumexp(nn.functional.logsigmoid(-logits), dim=0)
        return fraud - honest

    @torch.inference_mode()
    def score(self, x: Tensor) -> Tensor:
        """The probability of fraud, 0 to 1: shape ``(B,)``."""
        return torch.sigmoid(self(x))
