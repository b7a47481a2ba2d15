"""A simulator of online shop orders with three kinds of fraud: data of another shape than payments.

An order has no terminal, but a merchant category, a country, a device, an e-mail domain, a basket
and an account with an age; some of them are missing, and new values turn up as time goes by. All
numbers in here are made up to try out columns of the user's own. No figure reached on these orders
says anything about a real shop.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fraud_ml._shop_goods import (
    CATEGORY_NAMES,
    CATEGORY_SHARE,
    COUNTRIES,
    COUNTRY_SHARE,
    GIFT_CARDS,
    GIFT_VALUES,
    MAIL_SHARE,
    N_MAIL_DOMAINS,
    STOLEN_GOODS,
    amounts_of,
    category_of,
    drawn,
    sold,
)
from fraud_ml._simulated import (
    SECONDS_A_DAY,
    Floats,
    Ints,
    first_rows,
    joined_in_time,
    label_table,
    times_since,
)
from fraud_ml.default_specs import DEFAULT_LABEL_DELAY
from fraud_ml.transactions import transaction_schema

_HOUR = 3_600

TAKEOVER, RING, GIFT_CARD_ABUSE = 1, 2, 3

SHOP_NAMES = {
    "transaction_id": "order_id",
    "timestamp": "ordered_at",
    "customer_id": "account",
    "amount": "total",
}
"""Our column name to the shop's, where they differ."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShopConfig:
    """How much to simulate."""

    n_accounts: int = 8_000  # about 1,100 orders a day, with those of guests
    n_days: int = 120  # 30-day windows, and folds of 7 + 7 + 7 days after them
    start: dt.date = dt.date(2024, 1, 1)
    takeovers_a_day: float = 2.0  # accounts taken over, about three orders each
    rings_a_day: float = 0.25  # rings of stolen cards, about twenty orders each
    abuses_a_day: float = 4.0  # accounts opened to buy gift cards, about one order and a half each
    label_delay: dt.timedelta = DEFAULT_LABEL_DELAY
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("n_accounts", 10), ("n_days", 1), ("seed", 0)):
            value = getattr(self, name)
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        for name in ("takeovers_a_day", "rings_a_day", "abuses_a_day"):
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise ValueError(f"{name} must be finite and at least 0, got {value}")
        if self.label_delay < dt.timedelta(0):
            raise ValueError(f"label_delay must not be negative, got {self.label_delay}")


@dataclass(frozen=True, slots=True)
class ShopSimulation:
    """What :func:`simulate_shop` returns: three tables, row by row about the same orders."""

    transactions: pa.Table
    """Sorted and typed as from :func:`~fraud_ml.transactions.normalise_transactions`: ids 0, 1,
    ... in time, ``customer_id`` the account (a guest's is new each time), and the shop's own
    ``merchant_category``, ``country``, ``device_id``, ``email_domain``, ``account_age_days`` and
    ``basket_size``. Null are some devices and countries, and the account age of guests."""
    labels: pa.Table
    """``transaction_id``, ``is_fraud``, ``labelled_at``: ``label_delay`` after the order."""
    truth: pa.Table
    """``transaction_id``, ``scenario``: 0 none, 1 account taken over, 2 ring of stolen cards,
    3 gift cards bought by an account just opened. No feature."""

    @property
    def orders(self) -> pa.Table:
        """Orders and labels in one table, under :data:`SHOP_NAMES`, as the shop exports them."""
        names = [SHOP_NAMES.get(name, name) for name in self.transactions.column_names]
        orders = self.transactions.rename_columns(names)
        for name in ("is_fraud", "labelled_at"):
            orders = orders.append_column(name, self.labels[name])
        return orders


@dataclass(frozen=True, kw_only=True, slots=True)
class _Orders:
    """Columns of orders: shape ``(N,)`` each; whole numbers stand for names."""

    second: Ints  # since the start
    account: Ints
    created: Floats  # second at which the account was opened; NaN: a guest
    device: Ints  # -1: not known
    amount: Floats
    category: Ints
    country: Ints  # -1: not known
    email: Ints
    basket: Ints
    scenario: Ints


@dataclass(frozen=True, kw_only=True, slots=True)
class _Accounts:
    """Of each honest account: shape ``(A,)``."""

    created: Floats
    orders_a_day: Floats
    usual_amount: Floats
    country: Ints
    email: Ints
    favourite: Ints
    owner: Ints  # whose devices it uses: its own, or those of the account before it
    device_life: Floats  # seconds until a device is replaced


def simulate_shop(config: ShopConfig) -> ShopSimulation:
    """Orders, labels and truth; the same ``config`` gives the same tables.

    In 1, a thief orders from one device for a few old accounts, from a country that is rarely
    theirs, for more than they usually spend. In 2, one device opens many accounts within days, or
    orders as guest, each time with another card. In 3, an account orders gift cards just after it
    was opened, each from a device of its own; honest new accounts do that too, but less.

    Raises:
        ValueError: the configuration gives no order.
    """
    rng = np.random.default_rng(config.seed)
    numbers = _Numbers(config.n_accounts)
    accounts = _accounts(rng, config)
    orders = joined_in_time(
        [
            _honest(rng, config, accounts),
            _guests(rng, config, numbers),
            _takeovers(rng, config, accounts, numbers),
            _rings(rng, config, numbers),
            _gift_card_abuses(rng, config, numbers),
        ]
    )
    during = int(np.searchsorted(orders.second, config.n_days * SECONDS_A_DAY))
    if during == 0:
        raise ValueError(f"no order came out; more accounts or days than {config}")
    return _tables(rng, config, first_rows(orders, during))


class _Numbers:
    """Numbers of accounts and devices that nothing else has."""

    def __init__(self, n_accounts: int) -> None:
        self._account = n_accounts
        self._device = 10**12  # above all of honest accounts

    def accounts(self, n: int) -> Ints:
        self._account += n
        return np.arange(self._account - n, self._account)

    def devices(self, n: int) -> Ints:
        self._device += n
        return np.arange(self._device - n, self._device)


def _accounts(rng: np.random.Generator, config: ShopConfig) -> _Accounts:
    n, days = config.n_accounts, config.n_days
    is_new = rng.random(n) < 0.4  # opened while we look
    created = np.where(is_new, rng.uniform(0, days, n), -rng.exponential(400, n)) * SECONDS_A_DAY
    each = np.arange(n)
    return _Accounts(
        created=created,
        orders_a_day=rng.gamma(1.0, 0.15, n),
        usual_amount=rng.lognormal(3.6, 0.5, n),
        country=drawn(rng, COUNTRY_SHARE, n),
        email=drawn(rng, MAIL_SHARE, n),
        favourite=drawn(rng, CATEGORY_SHARE, n),
        owner=np.where(rng.random(n) < 0.1, np.maximum(each - 1, 0), each),
        device_life=rng.uniform(60, 600, n) * SECONDS_A_DAY,
    )


def _honest(rng: np.random.Generator, config: ShopConfig, accounts: _Accounts) -> _Orders:
    first = np.maximum(accounts.created, 0)
    first_day = first / SECONDS_A_DAY
    days = config.n_days - first_day
    account = np.repeat(np.arange(len(days)), rng.poisson(accounts.orders_a_day * days))
    day = (first_day[account] + rng.random(len(account)) * days[account]).astype(np.int64)
    time_of_day = np.clip(rng.normal(15.5, 4.5, len(account)), 0, 23.9) * _HOUR
    earliest = first[account] + rng.exponential(SECONDS_A_DAY)
    second = np.maximum(day * SECONDS_A_DAY + time_of_day, earliest)
    category = category_of(rng, config.n_days, accounts.favourite[account], second)

    new = np.flatnonzero(accounts.created > 0)  # opened for the sake of a first order
    account = np.concatenate([account, new])
    second = np.concatenate([second, accounts.created[new] + rng.exponential(6 * _HOUR, len(new))])
    gift = np.where(rng.random(len(new)) < 0.12, GIFT_CARDS, accounts.favourite[new])
    gift = sold(config.n_days, gift, second[len(second) - len(new) :])
    category = np.concatenate([category, gift])

    basket = 1 + rng.poisson(1.2, len(account))
    amount = accounts.usual_amount[account] * np.sqrt(basket / 2)
    abroad = rng.random(len(account)) < 0.02
    device = _own_device(rng, accounts, account, second)
    return _Orders(
        second=second.astype(np.int64),
        account=account,
        created=accounts.created[account],
        device=_sometimes_missing(rng, device, 0.06),
        amount=amounts_of(rng, amount, category),
        category=category,
        country=np.where(
            abroad, drawn(rng, COUNTRY_SHARE, len(account)), accounts.country[account]
        ),
        email=accounts.email[account],
        basket=basket,
        scenario=np.zeros(len(account), dtype=np.int64),
    )


def _guests(rng: np.random.Generator, config: ShopConfig, numbers: _Numbers) -> _Orders:
    n = rng.poisson(0.015 * config.n_accounts * config.n_days)
    time_of_day = np.clip(rng.normal(15.5, 4.5, n), 0, 23.9) * _HOUR
    second = rng.integers(0, config.n_days, n) * SECONDS_A_DAY + time_of_day.astype(np.int64)
    category = category_of(rng, config.n_days, drawn(rng, CATEGORY_SHARE, n), second)
    return _Orders(
        second=second,
        account=numbers.accounts(n),
        created=np.full(n, np.nan),
        device=_sometimes_missing(rng, numbers.devices(n), 0.25),
        amount=amounts_of(rng, rng.lognormal(3.6, 0.5, n), category),
        category=category,
        country=drawn(rng, COUNTRY_SHARE, n),
        email=drawn(rng, MAIL_SHARE, n),
        basket=1 + rng.poisson(1.2, n),
        scenario=np.zeros(n, dtype=np.int64),
    )


def _takeovers(
    rng: np.random.Generator, config: ShopConfig, accounts: _Accounts, numbers: _Numbers
) -> _Orders:
    n = rng.poisson(config.takeovers_a_day * config.n_days)
    thieves = max(n // 3, 1)
    thief = rng.integers(0, thieves, n)
    begin = (rng.uniform(0, config.n_days, thieves)[thief] + rng.uniform(0, 10, n)) * SECONDS_A_DAY
    victim = rng.integers(0, config.n_accounts, n)
    worth_it = accounts.created[victim] < begin - 30 * SECONDS_A_DAY
    thief, begin, victim = thief[worth_it], begin[worth_it], victim[worth_it]

    which = np.repeat(np.arange(len(victim)), 1 + rng.poisson(2, len(victim)))
    thief, account = thief[which], victim[which]
    second = begin[which] + rng.uniform(0, 2 * SECONDS_A_DAY, len(which))
    goods = rng.choice(STOLEN_GOODS, len(which))
    category = np.where(rng.random(len(which)) < 0.7, goods, drawn(rng, CATEGORY_SHARE, len(which)))
    category = sold(config.n_days, category, second)
    amount = accounts.usual_amount[account] * rng.uniform(1.5, 4, len(which))
    device = numbers.devices(thieves)[thief]
    return _Orders(
        second=second.astype(np.int64),
        account=account,
        created=accounts.created[account],
        device=_sometimes_missing(rng, device, 0.1),
        amount=amounts_of(rng, amount, category),
        category=category,
        country=rng.integers(0, len(COUNTRIES), thieves)[thief],  # all alike
        email=accounts.email[account],
        basket=1 + rng.poisson(0.6, len(which)),
        scenario=np.full(len(which), TAKEOVER),
    )


def _rings(rng: np.random.Generator, config: ShopConfig, numbers: _Numbers) -> _Orders:
    n_rings = rng.poisson(config.rings_a_day * config.n_days)
    ring = np.repeat(np.arange(n_rings), rng.integers(6, 21, n_rings))  # of each account
    n = len(ring)
    created = (rng.uniform(0, config.n_days, n_rings)[ring] + rng.uniform(0, 5, n)) * SECONDS_A_DAY
    throwaway = rng.random(n_rings) < 0.6
    email = np.where(throwaway[ring], N_MAIL_DOMAINS + ring, drawn(rng, MAIL_SHARE, n))
    is_guest = rng.random(n) < 0.25

    which = np.repeat(np.arange(n), 1 + rng.poisson(0.5, n))  # of each order, its account
    second = created[which] + rng.exponential(3 * _HOUR, len(which))
    category = category_of(rng, config.n_days, rng.choice(STOLEN_GOODS, n)[which], second)
    return _Orders(
        second=second.astype(np.int64),
        account=numbers.accounts(n)[which],
        created=np.where(is_guest, np.nan, created)[which],
        device=_sometimes_missing(rng, numbers.devices(n_rings)[ring][which], 0.05),
        amount=amounts_of(rng, rng.lognormal(3.8, 0.5, len(which)), category),
        category=category,
        country=drawn(rng, COUNTRY_SHARE, n)[which],
        email=email[which],
        basket=1 + rng.poisson(1.0, len(which)),
        scenario=np.full(len(which), RING),
    )


def _gift_card_abuses(rng: np.random.Generator, config: ShopConfig, numbers: _Numbers) -> _Orders:
    n = rng.poisson(config.abuses_a_day * config.n_days)
    created = rng.uniform(0, config.n_days * SECONDS_A_DAY, n)
    which = np.repeat(np.arange(n), 1 + rng.poisson(0.5, n))
    second = created[which] + rng.exponential(2 * _HOUR, len(which))
    return _Orders(
        second=second.astype(np.int64),
        account=numbers.accounts(n)[which],
        created=created[which],
        device=_sometimes_missing(rng, numbers.devices(n)[which], 0.2),
        amount=rng.choice(GIFT_VALUES[1:], len(which)),
        category=np.full(len(which), GIFT_CARDS),
        country=drawn(rng, COUNTRY_SHARE, n)[which],
        email=drawn(rng, MAIL_SHARE, n)[which],
        basket=1 + rng.poisson(0.3, len(which)),
        scenario=np.full(len(which), GIFT_CARD_ABUSE),
    )


def _own_device(
    rng: np.random.Generator, accounts: _Accounts, account: Ints, second: Floats
) -> Ints:
    """One of an account's up to three devices, each replaced after its life: shape ``(N,)``."""
    owner = accounts.owner[account]
    slot = np.minimum(rng.geometric(0.75, len(account)) - 1, owner % 3)
    age = second + 500 * SECONDS_A_DAY + slot * 100 * SECONDS_A_DAY
    replaced: Ints = (age / accounts.device_life[owner]).astype(np.int64)
    return (owner * 3 + slot) * 1_000 + replaced


def _sometimes_missing(rng: np.random.Generator, values: Ints, share: float) -> Ints:
    return np.where(rng.random(len(values)) < share, -1, values)


def _tables(rng: np.random.Generator, config: ShopConfig, orders: _Orders) -> ShopSimulation:
    ids = np.arange(len(orders.second))
    time = times_since(config.start, orders.second)
    age = (orders.second - orders.created) / SECONDS_A_DAY
    text, int64 = pa.string(), pa.int64()
    domains = [f"mail{number}.example" for number in range(orders.email.max(initial=0) + 1)]
    columns = {
        "transaction_id": ids,
        "timestamp": time,
        "customer_id": _texts(rng, "a", orders.account),
        "merchant_category": _named(CATEGORY_NAMES, orders.category),
        "country": _named(COUNTRIES, _sometimes_missing(rng, orders.country, 0.01)),
        "device_id": _texts(rng, "d", orders.device),
        "email_domain": _named(domains, orders.email),
        "account_age_days": pa.array(np.round(age, 3), from_pandas=True),
        "basket_size": orders.basket.astype(np.float64),
        "amount": orders.amount,
    }
    types = {name: text for name in columns if name not in ("timestamp", "amount")}
    types |= {"transaction_id": int64, "account_age_days": pa.float64()}
    types["basket_size"] = pa.float64()
    return ShopSimulation(
        transactions=pa.table(columns, schema=transaction_schema(**types)),
        labels=label_table(ids, orders.scenario > 0, time, config.label_delay),
        truth=pa.table({"transaction_id": ids, "scenario": orders.scenario.astype(np.int8)}),
    )


def _texts(rng: np.random.Generator, prefix: str, values: Ints) -> pa.Array:
    """Names in an order that says nothing about when or why they were made; null for -1."""
    distinct, codes = np.unique(values, return_inverse=True)
    numbers = pa.array(rng.permutation(len(distinct)), mask=distinct < 0).cast(pa.string())
    return pc.binary_join_element_wise(prefix, numbers, "").take(pa.array(codes))


def _named(names: list[str] | tuple[str, ...], values: Ints) -> pa.Array:
    """``names`` by number; null for -1."""
    return pa.array(names).take(pa.array(values, mask=values < 0))
