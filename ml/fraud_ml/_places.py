"""Where simulated customers and terminals lie: which terminals a customer goes to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fraud_ml._simulated import Ints

MAP_SIZE = 100.0  # the side of the square on which customers and terminals lie


@dataclass(frozen=True, slots=True)
class Reach:
    """Which terminals each customer uses, one customer after the other."""

    first: Ints  # of each customer, where its terminals begin in `terminals`
    count: Ints
    terminals: npt.NDArray[np.int32]

    @classmethod
    def draw(
        cls, rng: np.random.Generator, *, n_customers: int, n_terminals: int, radius: float
    ) -> Reach:
        """Customers and terminals uniform on the map; in reach is what is nearer than radius."""
        customers = rng.uniform(0, MAP_SIZE, (n_customers, 2))
        terminals = rng.uniform(0, MAP_SIZE, (n_terminals, 2))
        # Strips of customers near each other in x meet only a narrow strip of terminals.
        by_x = np.argsort(terminals[:, 0])
        x = terminals[by_x, 0]
        pairs = []
        for strip in np.array_split(np.argsort(customers[:, 0]), n_customers // 100 + 1):
            west, east = customers[strip[[0, -1]], 0] + np.array([-1, 1]) * radius
            near = by_x[np.searchsorted(x, west) : np.searchsorted(x, east, side="right")]
            offset = customers[strip, None] - terminals[near]  # (customers, terminals, 2)
            c, t = np.nonzero((offset**2).sum(axis=2) < radius**2)
            pairs.append(np.stack((strip[c], near[t])).astype(np.int32))  # half the memory
        customer, terminal = np.concatenate(pairs, axis=1)
        count = np.bincount(customer, minlength=n_customers)
        order = np.lexsort((terminal, customer))
        return cls(np.cumsum(count) - count, count, terminal[order])

    def draw_terminals(self, rng: np.random.Generator, customer: Ints) -> Ints:
        """For each payment of ``customer``, shape ``(N,)``, one of its terminals, all alike."""
        drawn = self.terminals[self.first[customer] + rng.integers(self.count[customer])]
        numbers: Ints = drawn.astype(np.int64)
        return numbers
