"""Which folds decide settings and which test them: the Fraud Detection Handbook's protocol."""

from __future__ import annotations

import datetime as dt

import pyarrow.compute as pc

from batch_proc.data_options import DataOptions
from batch_proc.fold import Days
from batch_proc.history import History

TEST_START = dt.date(2018, 7, 25)  # the handbook's first test fold
N_FOLDS = 4
_WEEK = dt.timedelta(days=7)
_TO_VALIDATION = dt.timedelta(days=35)  # from a validation fold to its test fold


def test_days(options: DataOptions, history: History) -> list[Days]:
    """The days of the test folds: a week apart, from ``--train-start`` on.

    Without it, the handbook's where the transactions cover them, else the latest.
    """
    lengths = {"train": options.train_days, "delay": options.delay_days, "test": options.test_days}
    latest = Days.latest(history.last_day, **lengths).train_start - (N_FOLDS - 1) * _WEEK
    first = pc.min(history.transactions.column("timestamp")).as_py().date()
    start = options.train_start
    if start is None:
        start = TEST_START if first < TEST_START <= latest else latest
    return weekly(start, N_FOLDS, **lengths)


def weekly(
    start: dt.date, n_folds: int, *, train: int = 7, delay: int = 7, test: int = 7
) -> list[Days]:
    """The days of folds a week apart, the first of which trains from ``start`` on.

    Args:
        start: a day.
        n_folds: at least 1.
        train: days.
        delay: days.
        test: days.
    """
    starts = (start + n * _WEEK for n in range(n_folds))
    return [Days(train_start=it, train=train, delay=delay, test=test) for it in starts]


def validation_days(tests: list[Days]) -> list[Days]:
    """The days of the validation folds, each five weeks before its test fold."""
    return [
        Days(
            train_start=days.train_start - _TO_VALIDATION,
            train=days.train,
            delay=days.delay,
            test=days.test,
        )
        for days in tests
    ]
