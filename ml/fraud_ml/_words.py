"""Features with their values in words."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping

import numpy as np

from fraud_ml.feature_spec import (
    Aggregate,
    ColumnFeature,
    ColumnKind,
    Feature,
    RowFeature,
    RowValue,
    WindowFeature,
)


def in_words(
    feature: Feature,
    value: float,
    *,
    amount: float | None = None,
    transaction: Mapping[str, object] | None = None,
    deciding: Feature | None = None,
) -> str:
    """What ``feature`` says with ``value``, as a clause without a full stop.

    Args:
        feature: of a spec.
        value: its value; NaN where it is missing.
        amount: of the transaction, where it is known.
        transaction: its columns, for those that are categories.
        deciding: the feature that ``unless`` names.
    """
    if isinstance(feature, RowFeature):
        return _ROW_WORDS[feature.value](value)
    if isinstance(feature, ColumnFeature):
        return _of_column(feature, value, transaction or {})
    if np.isnan(value):
        return f"{_whose(feature)} history is missing"
    words = _WINDOW_WORDS[feature.aggregate](feature, value, _amount(amount))
    return words + _left_out(feature, deciding)


def _of_column(feature: ColumnFeature, value: float, transaction: Mapping[str, object]) -> str:
    name = _readable(feature.column)
    if np.isnan(value):
        return f"{name} is missing"
    if feature.column in transaction:
        return f"{name} is {transaction[feature.column]}"
    if feature.kind is ColumnKind.NUMERIC:
        return f"{name} is {_number(value)}"
    return f"{name} is one of those with more fraud"


def _key(feature: WindowFeature) -> str:
    return " and ".join(_readable(column) for column in feature.columns)


def _readable(column: str) -> str:
    return column.removesuffix("_id").replace("_", " ")


def _distinct(feature: WindowFeature) -> str:
    return f"different {_readable(feature.of or '')}"


def _nth_last(feature: WindowFeature) -> str:
    return "last payment" if feature.nth == 1 else f"last payment but {(feature.nth or 1) - 1}"


def _this(feature: WindowFeature) -> str:
    return f"this {_key(feature)}"


def _whose(feature: WindowFeature) -> str:
    return f"{_this(feature)}'s"


def _span(time: dt.timedelta | float) -> str:
    """A time in its largest fitting unit: ``3 days``."""
    seconds = time.total_seconds() if isinstance(time, dt.timedelta) else time
    for name, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= length:
            return _counted(seconds / length, name)
    return _counted(seconds, "second")


def _counted(number: float, noun: str) -> str:
    text = _number(number)
    return f"{text} {noun}" if text == "1" else f"{text} {noun}s"


def _number(value: float) -> str:
    text = f"{value:,.1f}"
    return text.removesuffix(".0")


def _amount(amount: float | None) -> str:
    return "the amount" if amount is None else f"amount {amount:,.2f}"


def _window(feature: WindowFeature) -> str:
    """Which transactions are meant: `` in 7 days``, `` in the 7 days until 7 days before``."""
    if feature.window is None:
        return ""
    if feature.delay:
        return f" in the {_span(feature.window)} until {_span(feature.delay)} before"
    return f" in {_span(feature.window)}"


def _left_out(feature: WindowFeature, deciding: Feature | None) -> str:
    if feature.unless is None:
        return ""
    above = _number(feature.unless.above)
    if isinstance(deciding, RowFeature) and deciding.value is RowValue.AMOUNT:
        return f", without frauds of more than {above}"
    if isinstance(deciding, WindowFeature) and deciding.aggregate is Aggregate.AMOUNT_TO_MEDIAN:
        return f", without frauds of more than {above} × the {_key(deciding)}'s usual"
    return f", without frauds whose {_readable(feature.unless.feature)} was above {above}"


def _times(feature: WindowFeature, value: float, amount: str, of: str) -> str:
    return f"{amount} is {_number(value)} × {_whose(feature)} {of}"


_ROW_WORDS: dict[RowValue, Callable[[float], str]] = {
    RowValue.AMOUNT: lambda value: f"amount {value:,.2f}",
    RowValue.IS_WEEKEND: lambda value: "on a weekend" if value else "on a weekday",
    RowValue.IS_NIGHT: lambda value: "at night" if value else "by day",
}

_WINDOW_WORDS: dict[Aggregate, Callable[[WindowFeature, float, str], str]] = {
    Aggregate.COUNT: lambda f, v, _: f"{_counted(v, 'payment')} of {_this(f)}{_window(f)}",
    Aggregate.SUM_AMOUNT: lambda f, v, _: f"{v:,.2f} paid by way of {_this(f)}{_window(f)}",
    Aggregate.MEAN_AMOUNT: lambda f, v, _: f"{_whose(f)} mean amount{_window(f)} is {v:,.2f}",
    Aggregate.MAX_AMOUNT: lambda f, v, _: f"{_whose(f)} largest amount{_window(f)} is {v:,.2f}",
    Aggregate.STD_AMOUNT: lambda f, v, _: f"{_whose(f)} amounts{_window(f)} spread by {v:,.2f}",
    Aggregate.AMOUNT_TO_MEAN: lambda f, v, a: _times(f, v, a, f"mean{_window(f)}"),
    Aggregate.AMOUNT_TO_MEDIAN: lambda f, v, a: _times(f, v, a, "usual"),
    Aggregate.AMOUNT_ROBUST_Z: lambda f, v, a: (
        f"{a} is {_counted(abs(v), 'deviation')} {'above' if v >= 0 else 'below'} {_whose(f)} usual"
    ),
    Aggregate.MAX_AMOUNT_TO_MEDIAN: lambda f, v, _: (
        f"{_whose(f)} largest amount{_window(f)} is {_number(v)} × the usual"
    ),
    Aggregate.UNUSUAL_COUNT: lambda f, v, _: (
        f"{_counted(v, 'unusual amount')} of {_this(f)}{_window(f)}"
    ),
    Aggregate.TIME_SINCE_LAST: lambda f, v, _: (
        f"{_whose(f)} last payment{f' older than {_span(f.delay)}' if f.delay else ''}"
        f" was {_span(v)} before"
    ),
    Aggregate.NTH_LAST_AMOUNT: lambda f, v, _: f"{_whose(f)} {_nth_last(f)} was of {v:,.2f}",
    Aggregate.NTH_LAST_AGE: lambda f, v, _: f"{_whose(f)} {_nth_last(f)} was {_span(v)} before",
    Aggregate.HISTORY_LENGTH: lambda f, v, _: f"{_this(f)} has been known for {_span(v)}",
    Aggregate.DISTINCT: lambda f, v, _: f"{_counted(v, _distinct(f))} of {_this(f)}{_window(f)}",
    Aggregate.FRAUD_COUNT: lambda f, v, _: (
        f"{_counted(v, 'known fraud')} of {_this(f)}{_window(f)}"
    ),
    Aggregate.FRAUD_RATE: lambda f, v, _: (
        f"{v:.0%} of {_whose(f)} payments{_window(f)} are known frauds"
    ),
    Aggregate.LAST_LABEL: lambda f, v, _: (
        f"{_whose(f)} last known label is {'fraud' if v >= 0.5 else 'no fraud'}"
    ),
    Aggregate.FRAUD_AGE: lambda f, v, _: f"{_whose(f)} last known fraud was {_span(v)} before",
    Aggregate.FRAUD_RUN_AGE: lambda f, v, _: (
        f"{_whose(f)} frauds have gone on for {_span(v)}"
        if v
        else f"{_whose(f)} last known payments are no frauds"
    ),
    Aggregate.FRAUD_RUN_LENGTH: lambda f, v, _: (
        f"{_counted(v, 'known fraud')} of {_this(f)} in a row"
    ),
    Aggregate.LAST_FRAUD_AMOUNT: lambda f, v, _: (
        f"{_whose(f)} last known fraud was of {v:,.2f}" if v else f"no known fraud of {_this(f)}"
    ),
}
