"""How much each feature raised or lowered a score: an attribution that adds up.

DeepLIFT's rescale rule (Shrikumar, Greenside, Kundaje, ICML 2017) against a usual payment, whose
every feature has its median (or its most frequent category): one pass forward through the net, and
one back in which each rectifier passes on the change of its output over the change of its input.
The mean over members takes the part of the change that each member caused (Aumann and Shapley,
1974).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from fraud_ml.model import FraudNet, mean_logit

# Gauss-Legendre on [0, 1], 4 points: members differ little, and what it misses is made up for.
_POINTS = (0.06943184, 0.33000948, 0.66999052, 0.93056816)
_WEIGHTS = (0.17392742, 0.32607258, 0.32607258, 0.17392742)
_FLAT = 1e-6  # a change of input below this counts as none


@dataclass(frozen=True, slots=True)
class Attribution:
    """Contributions of the features to the log-odds of B transactions."""

    contributions: Tensor
    """Shape ``(B, F)``, in the features' order; sums to ``logits - baseline``."""
    logits: Tensor
    """The net's log-odds: shape ``(B,)``."""
    baseline: float
    """The log-odds of the usual payment."""


class Attributor:
    """Attributes the scores of one net; what concerns the usual payment is computed once."""

    def __init__(self, net: FraudNet) -> None:
        self._net = net
        with torch.inference_mode():
            usual = torch.empty(1, len(net.categories))
            usual[:, net.number_columns] = net.number.usual
            usual[:, net.category_columns] = net.category.codes[:, 0]
            self.usual = usual[0]
            """The usual payment's features: shape ``(F,)``."""
            self._usual = _Forward.of(net, usual)
            columns = torch.cat((net.number_columns, net.category_columns))
            self._position = columns.argsort()  # of each feature, among the embedded

    @torch.inference_mode()
    def attribute(self, x: Tensor) -> Attribution:
        """The contributions of the features ``x`` of B transactions: shape ``(B, F)``."""
        net, usual = self._net, self._usual
        forward = _Forward.of(net, x)
        member = forward.logits - usual.logits  # (K, B)
        raised = mean_logit(forward.logits) - mean_logit(usual.logits)  # (B,)
        share = _shares(usual.logits, member, raised)
        # Back through the layers: what a unit's change added to the log-odds, per unit of change.
        gradient = share[..., None] * net.last.weight.transpose(1, 2)  # (K, B, W)
        slopes = [_slopes(*both) for both in zip(forward.before, usual.before, strict=True)]
        for layer, slope in zip(list(net.hidden)[::-1], slopes[:0:-1], strict=True):
            weight = layer.get_parameter("weight")
            gradient = torch.bmm(gradient * slope, weight.transpose(1, 2))
        gradient = gradient * slopes[0]
        shape = (net.config.n_groups, net.config.n_members, *gradient.shape[1:])
        side_by_side = gradient.view(shape).transpose(1, 2).flatten(2)  # (G, B, M * W)
        gradient = torch.bmm(side_by_side, net.first.weight.transpose(1, 2))  # (G, B, F * E)
        change = gradient * (forward.embedded - usual.embedded)
        shape_of_features = (len(net.categories), net.config.embedding)
        by_feature = change.view(*change.shape[:2], *shape_of_features).sum((0, 3))
        return Attribution(
            contributions=net.slope * by_feature[:, self._position],
            logits=net.slope * mean_logit(forward.logits) + net.offset,
            baseline=float(net.slope * mean_logit(usual.logits) + net.offset),
        )


@dataclass(frozen=True, slots=True)
class _Forward:
    """What a pass through a net leaves for the way back."""

    embedded: Tensor  # (G, B, F * E)
    before: list[Tensor]  # what each rectifier was given, layer by layer: (K, B, W)
    logits: Tensor  # (K, B)

    @classmethod
    def of(cls, net: FraudNet, x: Tensor) -> _Forward:
        embedded = net.embed(x)
        before = [net.first(embedded)]
        for layer in net.hidden:
            before.append(layer(torch.relu(before[-1])))
        return cls(embedded, before, net.last(torch.relu(before[-1])).squeeze(-1))


def _slopes(before: Tensor, usual: Tensor) -> Tensor:
    """Of each rectifier, the change of its output over that of its input: shape ``(K, B, W)``."""
    change = before - usual
    flat = change.abs() < _FLAT
    slope = (torch.relu(before) - torch.relu(usual)) / change.masked_fill(flat, 1.0)
    return torch.where(flat, (before > 0).to(slope.dtype), slope)


def _shares(usual: Tensor, change: Tensor, raised: Tensor) -> Tensor:
    """What the mean's log-odds took of each member's change, per unit of it: shape ``(K, B)``.

    The gradient of the mean along the way from ``usual``, averaged; then the smallest correction
    by which the members' parts add up to ``raised`` exactly.
    """
    points, weights = change.new_tensor(_POINTS), change.new_tensor(_WEIGHTS)
    logits = usual + points[:, None, None] * change  # (P, K, B)
    probability = torch.sigmoid(logits)
    of_frauds = torch.softmax(logsigmoid(logits), dim=1) * (1 - probability)
    of_others = torch.softmax(logsigmoid(-logits), dim=1) * probability
    share = torch.tensordot(weights, of_frauds + of_others, dims=1)
    missed = raised - (share * change).sum(0)
    squares = (change * change).sum(0)
    corrected: Tensor = share + missed / squares.clamp(min=1e-12) * change
    return corrected
