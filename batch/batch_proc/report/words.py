"""Numbers as a person reads them."""

from __future__ import annotations

import math


def percent(share: float) -> str:
    """With as many digits as say something: 0.66%, 7.1%, 34%; never 100% for less than all."""
    if not math.isfinite(share):
        return "unknown"
    value = 100 * share
    if value == 0 or 10 <= abs(value) < 99.5 or value >= 100:
        return f"{value:.0f}%"
    if value >= 99.5:
        return f"{math.floor(value * 100) / 100:.4g}%"
    return f"{value:.1f}%" if abs(value) >= 0.995 else f"{value:.2g}%"


def money(amount: float) -> str:
    """An amount of any currency, without its cents where they do not matter."""
    return f"{amount:,.2f}" if abs(amount) < 1_000 else f"{amount:,.0f}"


def rounded(number: float) -> str:
    """With three digits, and all before the point: 0.25, 62.8, 2,692."""
    return f"{number:.3g}" if abs(number) < 100 else f"{number:,.0f}"


def counted(number: int, one: str, many: str | None = None) -> str:
    """``1 fraud``, ``2 frauds``."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
