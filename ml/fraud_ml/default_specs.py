"""The specs that come with the library: the handbook's features, and the better default ones."""

from __future__ import annotations

import datetime as dt

from fraud_ml.feature_spec import (
    Aggregate,
    Feature,
    FeatureSpec,
    Key,
    RowFeature,
    RowValue,
    Unless,
    WindowFeature,
)

DEFAULT_LABEL_DELAY = dt.timedelta(days=7)  # the Fraud Detection Handbook's, section 3.2


def handbook_spec(*, label_delay: dt.timedelta = DEFAULT_LABEL_DELAY) -> FeatureSpec:
    """The 15 features of the Fraud Detection Handbook, section 3.4 (Le Borgne et al., 2022).

    Terminal windows end ``label_delay`` before the transaction, so that the labels in them are
    known by then.
    """
    return FeatureSpec(features=_handbook_features(label_delay))


TRAFFIC_FEATURES = tuple(
    WindowFeature(
        name=f"terminal_{name}_{days}d_now",
        key=Key.TERMINAL,
        aggregate=aggregate,
        window=dt.timedelta(days=days),
        of=of,
    )
    for days in (1, 7)
    for name, aggregate, of in (
        ("count", Aggregate.COUNT, None),
        ("customers", Aggregate.DISTINCT, Key.CUSTOMER.value),
    )
)
"""What goes on at a terminal now, with no wait for labels: the payments and the different customers
of the last day and of the last seven. They find rings, whose customers all pay at the same few
terminals, and gained nothing elsewhere; so :func:`default_spec` has them where it is asked to."""

SIMULATOR_DESIGNED = frozenset(
    {
        "customer_max_amount_to_median_14d",
        "terminal_last_label",
        "terminal_fraud_age",
        "terminal_fraud_run_age",
        "terminal_label_gap",
        "terminal_count_14d",
        "terminal_fraud_rate_14d",
        "terminal_fraud_run_length",
        "terminal_last_fraud_amount",
        "terminal_usual_last_label",
        "terminal_usual_fraud_age",
        "terminal_usual_fraud_run_age",
        "terminal_usual_fraud_rate_14d",
        "terminal_usual_fraud_run_length",
        *(feature.name for feature in TRAFFIC_FEATURES),
    }
)
"""Features of :func:`default_spec` that were thought of by who knew how a simulator works: that a
stolen card pays 5 times the usual for 14 days, that a terminal's frauds go on for 28 days without a
break and are of any amount, that a ring meets at its terminals. The others anybody would try."""


def default_spec(
    *,
    label_delay: dt.timedelta = DEFAULT_LABEL_DELAY,
    resolution: dt.timedelta = dt.timedelta(minutes=10),
    simulator_designed: bool = True,
    traffic: bool = False,
) -> FeatureSpec:
    """The handbook's features, at a resolution that bounds memory, and 22 stronger ones.

    Those of a terminal's usual frauds leave out what was above twice the customer's usual amount:
    where a stolen card was used says little about the terminal.

    A window that looks at labels ends at the first multiple of ``resolution`` by which those of
    its last transactions are known, although transactions round down and labels up.

    Args:
        label_delay: time from a transaction to its label.
        resolution: of time.
        simulator_designed: with False, without the features in :data:`SIMULATOR_DESIGNED`.
        traffic: with True, the :data:`TRAFFIC_FEATURES` come after the others.

    Raises:
        ValueError: traffic is asked for without what is designed for a simulator, as it is.
    """
    if traffic and not simulator_designed:
        raise ValueError("traffic features are simulator-designed: ask for both or for neither")
    delay = (-(-label_delay // resolution) + 1) * resolution
    customer: list[tuple[str, Aggregate, int | None]] = [
        ("amount_to_median", Aggregate.AMOUNT_TO_MEDIAN, None),
        ("amount_robust_z", Aggregate.AMOUNT_ROBUST_Z, None),
        ("amount_to_mean_30d", Aggregate.AMOUNT_TO_MEAN, 30),
        ("amount_to_mean_90d", Aggregate.AMOUNT_TO_MEAN, 90),
        ("max_amount_30d", Aggregate.MAX_AMOUNT, 30),
        ("max_amount_to_median_7d", Aggregate.MAX_AMOUNT_TO_MEDIAN, 7),
        ("max_amount_to_median_14d", Aggregate.MAX_AMOUNT_TO_MEDIAN, 14),
        ("time_since_last", Aggregate.TIME_SINCE_LAST, 30),
        ("history_length", Aggregate.HISTORY_LENGTH, None),
    ]
    terminal: list[tuple[str, Aggregate, int | None]] = [
        ("last_label", Aggregate.LAST_LABEL, 30),
        ("fraud_age", Aggregate.FRAUD_AGE, 30),
        ("fraud_run_age", Aggregate.FRAUD_RUN_AGE, 30),
        ("label_gap", Aggregate.TIME_SINCE_LAST, 30),
        ("count_14d", Aggregate.COUNT, 14),
        ("fraud_rate_14d", Aggregate.FRAUD_RATE, 14),
        ("fraud_run_length", Aggregate.FRAUD_RUN_LENGTH, 30),
        ("last_fraud_amount", Aggregate.LAST_FRAUD_AMOUNT, 30),
    ]
    usual_frauds: list[tuple[str, Aggregate, int | None]] = [
        ("usual_last_label", Aggregate.LAST_LABEL, 30),
        ("usual_fraud_age", Aggregate.FRAUD_AGE, 30),
        ("usual_fraud_run_age", Aggregate.FRAUD_RUN_AGE, 30),
        ("usual_fraud_rate_14d", Aggregate.FRAUD_RATE, 14),
        ("usual_fraud_run_length", Aggregate.FRAUD_RUN_LENGTH, 30),
    ]
    unusual = Unless(feature="customer_amount_to_median", above=2.0)
    more = tuple(
        WindowFeature(
            name=f"{key.removesuffix('_id')}_{name}",
            key=key,
            aggregate=aggregate,
            window=None if days is None else dt.timedelta(days=days),
            delay=wait,
            unless=unless,
        )
        for key, features, wait, unless in (
            (Key.CUSTOMER, customer, dt.timedelta(0), None),
            (Key.TERMINAL, terminal, delay, None),
            (Key.TERMINAL, usual_frauds, delay, unusual),
        )
        for name, aggregate, days in features
    )
    if not simulator_designed:
        more = tuple(feature for feature in more if feature.name not in SIMULATOR_DESIGNED)
    more += TRAFFIC_FEATURES if traffic else ()
    return FeatureSpec(features=_handbook_features(delay) + more, resolution=resolution)


def _handbook_features(label_delay: dt.timedelta) -> tuple[Feature, ...]:
    features: list[Feature] = [
        RowFeature(name="amount", value=RowValue.AMOUNT),
        RowFeature(name="is_weekend", value=RowValue.IS_WEEKEND),
        RowFeature(name="is_night", value=RowValue.IS_NIGHT),
    ]
    for key, aggregate, delay in (
        (Key.CUSTOMER, Aggregate.MEAN_AMOUNT, dt.timedelta(0)),
        (Key.TERMINAL, Aggregate.FRAUD_RATE, label_delay),
    ):
        who = key.value.removesuffix("_id")
        for days in (1, 7, 30):
            features += [
                WindowFeature(
                    name=f"{who}_{reduced.value}_{days}d",
                    key=key,
                    aggregate=reduced,
                    window=dt.timedelta(days=days),
                    delay=delay,
                )
                for reduced in (Aggregate.COUNT, aggregate)
            ]
    return tuple(features)


HANDBOOK_SPEC = handbook_spec()
DEFAULT_SPEC = default_spec()
