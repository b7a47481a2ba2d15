"""What the simulated shop sells, at which prices, and where its customers are.

All numbers are made up, as :mod:`fraud_ml.shop_simulator` says.
"""

from __future__ import annotations

import numpy as np

from fraud_ml._simulated import SECONDS_A_DAY, Floats, Ints

# Category: share of honest orders, price against an account's usual, share of the days that have
# passed when the shop begins to sell it.
_CATEGORIES = {
    "groceries": (0.20, 0.7, 0.0),
    "fashion": (0.17, 1.0, 0.0),
    "books": (0.13, 0.4, 0.0),
    "electronics": (0.12, 3.0, 0.0),
    "beauty": (0.09, 0.6, 0.0),
    "toys": (0.07, 0.6, 0.0),
    "sports": (0.06, 1.2, 0.0),
    "pets": (0.05, 0.6, 0.0),
    "gift_cards": (0.04, 1.0, 0.0),
    "travel": (0.03, 6.0, 0.0),
    "antiques": (0.001, 8.0, 0.0),  # rare
    "vaping": (0.02, 0.5, 0.4),  # new
    "collectibles": (0.019, 2.0, 0.75),  # newer than what a model was trained on
}
CATEGORY_NAMES = tuple(_CATEGORIES)
CATEGORY_SHARE, _PRICE, _BEGIN = (
    np.array(column) for column in zip(*_CATEGORIES.values(), strict=True)
)
GIFT_CARDS = CATEGORY_NAMES.index("gift_cards")
STOLEN_GOODS = np.array(
    [CATEGORY_NAMES.index(name) for name in ("electronics", "gift_cards", "fashion")]
)
GIFT_VALUES = np.array([25.0, 50.0, 100.0, 200.0])

# fmt: off
COUNTRIES = ("DE", "FR", "GB", "ES", "IT", "NL", "PL", "BE", "AT", "CH", "SE", "CZ", "PT", "DK",
              "IE", "RO", "GR", "FI", "HU", "US", "CA", "AU", "BR", "ZA", "SG")
# fmt: on
COUNTRY_SHARE = 1 / np.arange(1, len(COUNTRIES) + 1) ** 1.3
N_MAIL_DOMAINS = 250
MAIL_SHARE = 1 / np.arange(1, N_MAIL_DOMAINS + 1) ** 1.5


def drawn(rng: np.random.Generator, share: Floats, n: int) -> Ints:
    """Numbers of what has these shares, which need not add up to 1: shape ``(n,)``."""
    return rng.choice(len(share), n, p=share / share.sum())


def category_of(rng: np.random.Generator, n_days: int, likely: Ints, second: Ints | Floats) -> Ints:
    """More often than not the ``likely`` category of each order: shape ``(N,)``."""
    other = drawn(rng, CATEGORY_SHARE, len(likely))
    return sold(n_days, np.where(rng.random(len(likely)) < 0.6, likely, other), second)


def sold(n_days: int, category: Ints, second: Ints | Floats) -> Ints:
    """``category``, or groceries where the shop does not sell it yet of its ``n_days`` days."""
    return np.where(second < _BEGIN[category] * n_days * SECONDS_A_DAY, 0, category)


def amounts_of(rng: np.random.Generator, usual: Floats, category: Ints) -> Floats:
    """In currency, of orders of accounts with this ``usual`` amount: shape ``(N,)``."""
    amount = usual * _PRICE[category] * rng.lognormal(0, 0.5, len(usual))
    gift = rng.choice(GIFT_VALUES, len(usual), p=[0.4, 0.35, 0.2, 0.05])
    return np.where(category == GIFT_CARDS, gift, np.round(amount, 2))
