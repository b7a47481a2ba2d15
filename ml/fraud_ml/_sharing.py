"""Weights that the members of a group share while they train, as in TabM (BatchEnsemble).

Each member scales the inputs and the outputs of one matrix a group by vectors of its own. Sharing
keeps members from overfitting each on its own. Once trained, each gets its product as a matrix of
its own, and scoring knows nothing of all this.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from fraud_ml.model import FraudNet


def share_weights(net: FraudNet) -> None:
    """Let the members of each group share their matrices, until :func:`settle_weights`."""
    groups, members = net.config.n_groups, net.config.n_members
    _share(net.first, (groups, -1, members, net.config.width), members_axis=2)
    # Members differ from the start, by the signs of what they see.
    if members > 1:
        signs = net.first.parametrizations["weight"][0].scale_in  # type: ignore[index,union-attr]
        signs.data = torch.randint(0, 2, signs.shape, device=signs.device) * 2.0 - 1
    for layer in net.hidden:
        _share(layer, (groups, members, -1, net.config.width), members_axis=1)


def settle_weights(net: FraudNet) -> None:
    """Give each member the matrix that it made of the shared one."""
    for layer in (net.first, *net.hidden):
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
    net.zero_grad()  # gradients are of the shared matrices, and of their shape


def _share(layer: nn.Module, shape: tuple[int, int, int, int], *, members_axis: int) -> None:
    weight = layer.get_parameter("weight")
    shared = _Shared(weight.shape, weight.reshape(shape), members_axis)
    parametrize.register_parametrization(layer, "weight", shared, unsafe=True)


class _Shared(nn.Module):
    """From one matrix a group, and two vectors a member, to the members' matrices."""

    def __init__(self, flat_shape: torch.Size, weight: Tensor, members_axis: int) -> None:
        super().__init__()
        self._flat_shape = flat_shape
        self._shape = weight.shape
        self._members_axis = members_axis
        inputs_axis = 3 - members_axis
        ones = torch.ones_like(weight)
        self.scale_in = nn.Parameter(ones.narrow(3, 0, 1).clone())
        self.scale_out = nn.Parameter(ones.narrow(inputs_axis, 0, 1).clone())

    def forward(self, shared: Tensor) -> Tensor:
        """The members' matrices, in their layer's own shape."""
        return (shared * self.scale_in * self.scale_out).reshape(self._flat_shape)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """The matrices that are shared at the start: those of each group's first member."""
        return weight.reshape(self._shape).narrow(self._members_axis, 0, 1).clone()
