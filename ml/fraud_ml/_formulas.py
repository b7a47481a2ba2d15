"""What both engines do with the numbers of a window: one formula each, so one result."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fraud_ml._windows import Floats, Ints

Numbers = npt.NDArray[np.float64] | npt.NDArray[np.int64]


def ratio(numerator: Numbers, denominator: Numbers) -> Floats:
    """``numerator / denominator``, and 0 where the denominator is 0; any shape."""
    is_there = denominator > 0
    # Faster than a division where there is something to divide by.
    result: Floats = numerator / np.where(is_there, denominator, 1) * is_there
    return result


def deviation(count: Ints, total: Floats, squares: Floats) -> Floats:
    """Standard deviation (of the population) of ``count`` values from their sums: ``(N,)``.

    It is exact to about 1e-8 of their root mean square or 1e-12, whichever is more, and 0 where
    no value is there.
    """
    mean = ratio(total, count)
    return np.sqrt(np.maximum(ratio(squares, count) - mean * mean, 0.0))


def middle(values: Floats, count: Ints) -> Floats:
    """Medians of the lowest ``count`` of each row of ``values``, 0 where that is none: ``(N,)``.

    Args:
        values: shape ``(N, W)``, each row in any order, with infinity in what is left over.
        count: shape ``(N,)``, at most ``W``.
    """
    in_order = np.sort(values, axis=1)
    rows = np.arange(len(values))
    median = (in_order[rows, np.maximum(count - 1, 0) // 2] + in_order[rows, count // 2]) / 2
    return np.where(count > 0, median, 0.0)


def robust_z(amount: Floats, past: Floats, count: Ints, usual: Floats) -> Floats:
    """How many deviations ``amount`` lies above ``usual``, its key's past median: ``(N,)``.

    The deviation is 1.4826 times the median distance from the median, at least a tenth of
    ``usual``; 0 where both are 0.
    """
    distance = middle(np.abs(past - usual[:, None]), count)
    scale = np.maximum(1.4826 * distance, 0.1 * usual)
    result: Floats = np.divide(amount - usual, scale, out=np.zeros(len(amount)), where=scale > 0)
    return result
