"""The processes that train one net together, and all that they ever say to each other.

Each has all rows and the same net, and takes its part of every batch; gradients are averaged. What
decides anything (the order of rows, a validation, a checkpoint) is the same for all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from fraud_ml.errors import DataError
from fraud_ml.model import FraudNet

T = TypeVar("T")


class Peers:
    """This process, and those that it trains with; none but itself without a ``group``."""

    def __init__(self, group: dist.ProcessGroup | None = None) -> None:
        self._group = group
        self.rank = 0 if group is None else dist.get_rank(group)
        self.size = 1 if group is None else dist.get_world_size(group)

    def part(self, rows: Tensor) -> Tensor:
        """This process's share of ``rows``: as many as the others', or one less."""
        return torch.tensor_split(rows, self.size)[self.rank]

    def member_logits(self, net: FraudNet) -> Callable[[Tensor], Tensor]:
        """:meth:`FraudNet.member_logits`, whose gradients are averaged over the processes."""
        if self._group is None:
            return net.member_logits
        # Without categories their weights have no gradients. And what looks for such never
        # regroups gradients after the first batch: a training that was broken off and goes on adds
        # them up in the same order, to the same last bit.
        return DistributedDataParallel(
            _MemberLogits(net), process_group=self._group, find_unused_parameters=True
        )

    def draw_apart(self, seed: int) -> None:
        """Let each process draw random numbers of its own; the first goes on with its own."""
        if self.rank:
            of_rank = np.random.SeedSequence((seed, self.rank)).generate_state(1, np.uint64)
            torch.manual_seed(int(of_rank[0]))

    def of_first(self, tensor: Tensor) -> Tensor:
        """The first process's ``tensor``, in every process; changes the others' in place."""
        if self._group is not None:
            dist.broadcast(tensor, group_src=0, group=self._group)
        return tensor

    def total(self, tensor: Tensor) -> Tensor:
        """The sum of the processes' tensors; changes ``tensor`` in place."""
        if self._group is not None:
            dist.all_reduce(tensor, group=self._group)
        return tensor

    def gather(self, part: Tensor) -> list[Tensor]:
        """Every process's tensor, by rank; all of one shape, on the device that trains."""
        if self._group is None:
            return [part]
        parts = [torch.empty_like(part) for _ in range(self.size)]
        dist.all_gather(parts, part, group=self._group)
        return parts

    def ask_first(self, act: Callable[[], T]) -> T:
        """What ``act`` returns in the first process, where alone it is called, or raises there.

        Raises:
            DataError, OSError: in every process, where ``act`` raised it in the first.
        """
        if self._group is None:
            return act()
        answer: list[object] = [None]
        if self.rank == 0:
            try:
                answer = [act()]
            except (DataError, OSError) as error:
                answer = [error]
        dist.broadcast_object_list(answer, group_src=0, group=self._group)
        if isinstance(answer[0], DataError | OSError):
            raise answer[0]
        return answer[0]  # type: ignore[return-value]


class _MemberLogits(nn.Module):
    """A net that is trained, as a module: only what modules return has gradients averaged."""

    def __init__(self, net: FraudNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        """Each member's log-odds."""
        return self.net.member_logits(x)
