"""A hot key in slices of time: the features of its rows are those of its whole history."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_proc.bucket_rows import Labels, Layout
from batch_proc.bucketing import HotSlice, needed_by
from batch_proc.key_stages import KeyStage, past_of, reach_of
from batch_proc.time_slices import Slice, cut
from fraud_ml.feature_spec import (
    OF_LABELS,
    OF_NTH_LAST,
    WITHOUT_WINDOW,
    Aggregate,
    FeatureSpec,
    Unless,
    WindowFeature,
)
from fraud_ml.features import compute_features, feature_matrix
from fraud_ml.transactions import normalise_labels, normalise_transactions

MINUTE = dt.timedelta(minutes=1)
RESOLUTION = 10 * MINUTE
N = 120


def every_aggregate() -> FeatureSpec:
    """Each aggregate of one key, with the delays that it takes."""
    features = []
    for aggregate in Aggregate:
        for delay in (0, 60):
            try:
                features.append(
                    WindowFeature(
                        name=f"{aggregate}_{delay}",
                        key="terminal_id",
                        aggregate=aggregate,
                        window=None if aggregate in WITHOUT_WINDOW else 90 * MINUTE,
                        delay=delay * MINUTE,
                        of="customer_id" if aggregate is Aggregate.DISTINCT else None,
                        nth=3 if aggregate in OF_NTH_LAST else None,
                    )
                )
            except ValueError:  # with this delay there is none
                continue
    assert {feature.aggregate for feature in features} == set(Aggregate)
    features += [
        replace(feature, name=f"{feature.name}_unless_{unless.feature}", unless=unless)
        for feature in features
        for unless in (MANY, UNUSUAL)
        if feature.aggregate in OF_LABELS
    ]
    return FeatureSpec(features=tuple(features), resolution=RESOLUTION, usual_over=4)


# What decides which frauds count reaches back by itself: in a window, and in rows.
MANY = Unless(feature="count_0", above=2)
UNUSUAL = Unless(feature="amount_to_median_0", above=1.3)
SPEC = every_aggregate()
STAGE = KeyStage(("terminal_id",), SPEC.features)
LAYOUT = Layout(spec=SPEC, labels=Labels.ROW, label_delay=30 * MINUTE)


def history(seed: int, n_minutes: int) -> tuple[pa.Table, pa.Table]:
    """Payments at one terminal, with ties, gaps, and labels of some of them."""
    rng = np.random.default_rng(seed)
    minutes = np.sort(rng.integers(0, n_minutes, N) * rng.integers(1, 4))
    minutes[rng.integers(0, N) :] += int(rng.integers(0, 500))
    start = dt.datetime(2018, 4, 1, tzinfo=dt.UTC)
    table = pa.table(
        {
            "transaction_id": np.arange(N),
            "timestamp": [start + int(minute) * MINUTE for minute in minutes],
            "customer_id": rng.integers(0, 4, N),
            "terminal_id": np.zeros(N, dtype=np.int64),
            "amount": rng.choice([0.0, 1.5, 20.0, 1e6, 7.25], N),
            "is_fraud": pa.array(rng.random(N) < 0.3, mask=rng.random(N) < 0.2),
        }
    )
    transactions = normalise_transactions(table, SPEC)
    return transactions, normalise_labels(table, transactions, label_delay=30 * MINUTE)


def stored(transactions: pa.Table, labels: pa.Table) -> pa.Table:
    rows = LAYOUT.to_stored(transactions)
    for name in ("is_fraud", "labelled_at"):
        rows = rows.append_column(name, labels.column(name))
    return rows


def slices_of(times: np.ndarray, span: int, size: int) -> list[Slice]:
    starts = np.arange(times[0], times[-1] + 1, span)
    rows = np.histogram(times, [*starts, starts[-1] + span])[0]
    past = past_of(SPEC.features, SPEC)
    return cut(
        starts.tolist(),
        rows.tolist(),
        size=size,
        lookback=past.lookback // dt.timedelta(microseconds=1),
        resolution=RESOLUTION // dt.timedelta(microseconds=1),
        past_rows=past.rows,
    )


def own_rows(it: Slice, times: np.ndarray) -> np.ndarray:
    after = times >= (times[0] if it.start is None else it.start)
    return after & (times < (times[-1] + 1 if it.stop is None else it.stop))


def rows_needed(it: Slice, times: np.ndarray) -> np.ndarray:
    needed = np.zeros(len(times), dtype=bool)
    needed[needed_by(HotSlice(key=0, first=int(times[0]), slice=it, bucket=0), times)] = True
    return needed


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n_minutes=st.sampled_from([40, 400, 4_000]),
    span=st.sampled_from([1, 7, 25]),
    size=st.integers(1, 40),
)
def test_slices_have_the_features_of_the_whole_history(
    seed: int, n_minutes: int, span: int, size: int
) -> None:
    transactions, labels = history(seed, n_minutes)
    rows = stored(transactions, labels)
    times = transactions.column("timestamp").cast(pa.int64()).to_numpy()
    whole = feature_matrix(compute_features(transactions, labels, SPEC))
    for it in slices_of(times, span * 60_000_000, size):
        needed, own = rows_needed(it, times), own_rows(it, times)
        there = LAYOUT.with_features(rows.filter(pa.array(needed)), STAGE)
        found = LAYOUT.matrix(there)[own[needed]]
        np.testing.assert_array_equal(found, whole[own])


WINDOWS = FeatureSpec(
    features=tuple(
        f for f in SPEC.features
        if f.window is not None and not past_of([f], SPEC).rows and f.unless != UNUSUAL
    ),
    resolution=RESOLUTION,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), since=st.integers(0, N - 1))
def test_rows_before_the_reach_of_windows_change_nothing(seed: int, since: int) -> None:
    transactions, labels = history(seed, 400)
    times = transactions.column("timestamp").cast(pa.int64()).to_numpy()
    reach = reach_of(WINDOWS)
    assert reach is not None
    instant = RESOLUTION // dt.timedelta(microseconds=1)
    first = times[since] // instant * instant - reach // dt.timedelta(microseconds=1)
    kept, scored = times >= first, times >= times[since]
    whole = feature_matrix(compute_features(transactions, labels, WINDOWS))
    some = (it.filter(pa.array(kept)) for it in (transactions, labels))
    found = feature_matrix(compute_features(*some, WINDOWS))
    np.testing.assert_array_equal(found[scored[kept]], whole[scored])


def test_features_of_all_the_past_have_no_reach() -> None:
    assert reach_of(SPEC) is None
    for feature in SPEC.features:
        if feature.unless is not None:
            continue
        alone = FeatureSpec(features=(feature,), resolution=RESOLUTION, usual_over=4)
        assert (reach_of(alone) is None) == (feature not in WINDOWS.features)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), size=st.integers(1, 60))
def test_each_row_is_in_one_slice_that_has_what_it_needs(seed: int, size: int) -> None:
    transactions, _ = history(seed, 4_000)
    times = transactions.column("timestamp").cast(pa.int64()).to_numpy()
    slices = slices_of(times, 60_000_000, size)
    if slices:
        own = np.array([own_rows(it, times) for it in slices])
        assert (own.sum(axis=0) == 1).all()
        assert all((own_rows(it, times) <= rows_needed(it, times)).all() for it in slices)


def test_slices_are_small_where_windows_are_short() -> None:
    day = 86_400_000_000
    slices = cut(
        list(range(0, 1_000 * day, day)), [1_000] * 1_000,
        size=50_000, lookback=37 * day, resolution=600_000_000, past_rows=32,
    )  # fmt: skip
    assert len(slices) == 20
    context = [it.start - it.context_from for it in slices if it.start and it.context_from]
    assert max(context) <= 39 * day


@pytest.mark.parametrize("lookback", [400, 2_000])
def test_a_key_whose_windows_see_all_of_it_is_not_cut(lookback: int) -> None:
    assert (
        cut([0, 100, 200, 300], [10] * 4, size=5, lookback=lookback, resolution=1, past_rows=0)
        == []
    )


def test_a_slice_has_as_many_rows_as_its_past_at_least() -> None:
    slices = cut(list(range(1_000)), [10] * 1_000, size=50, lookback=200, resolution=1, past_rows=0)
    starts = [it.start for it in slices if it.start is not None]
    assert min(np.diff(starts)) >= 200
