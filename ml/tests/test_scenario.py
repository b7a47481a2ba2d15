"""A scenario checks itself, and reads from TOML with errors that name key and what is allowed."""

import dataclasses
import datetime as dt
from pathlib import Path

import numpy as np
import pytest

from fraud_ml.scenario import (
    Adversary,
    Burst,
    CompromisedCustomers,
    CompromisedTerminals,
    Labelling,
    LargeAmounts,
    Population,
    Rings,
    Scenario,
    Season,
    expected_rows,
    scaled,
)
from fraud_ml.scenario_toml import scenario_from_toml, scenario_to_toml

EXAMPLE = Path(__file__).parent.parent / "examples" / "scenario.toml"
EVERYTHING = Scenario(
    seed=3,
    start=dt.date(2020, 2, 1),
    n_days=40,
    population=Population(n_customers=100, newcomers=0.25),
    labels=Labelling(delay_days=2.5, missed=0.1, false_alarms=0.2),
    seasons=(Season(), Season(period_days=365.25, amplitude=0.5, peak_day=-3.0)),
    bursts=(Burst(first_day=3, days=2, payments=2.0, frauds=0.0),),
    frauds=(
        LargeAmounts(name='above "all"', until_day=9),
        CompromisedTerminals(adversary=Adversary(patience=2)),
        CompromisedCustomers(adversary=Adversary(moves=False, amount_factor=0.5)),
        Rings(first_day=20),
    ),
)

TOML = """
n_days = 40
start = 2020-02-01

[population]
n_customers = 100
radius = 20            # a whole number is a number too

[[bursts]]
first_day = 3
payments = 2.0

[[frauds]]
kind = "customers"
[frauds.adversary]
patience = 2

[[frauds]]
kind = "rings"
first_day = 20
"""


def test_toml_says_what_differs_from_the_default():
    assert scenario_from_toml("") == Scenario()
    assert scenario_from_toml(TOML) == Scenario(
        n_days=40,
        start=dt.date(2020, 2, 1),
        population=Population(n_customers=100, radius=20.0),
        bursts=(Burst(first_day=3, payments=2.0),),
        frauds=(CompromisedCustomers(adversary=Adversary(patience=2)), Rings(first_day=20)),
    )


def test_the_example_uses_every_part():
    example = scenario_from_toml(EXAMPLE.read_text(encoding="utf-8"))
    assert len(example.frauds) == 4
    assert example.seasons
    assert example.bursts
    assert all(it.adversary for it in example.frauds[1:])


@pytest.mark.parametrize("scenario", [Scenario(), EVERYTHING, Scenario(frauds=())])
def test_what_is_written_reads_back_the_same(scenario):
    assert scenario_from_toml(scenario_to_toml(scenario)) == scenario


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        (
            "n_dayz = 3",
            r"^n_dayz: unknown key; a scenario may have bursts, frauds, labels, n_days,",
        ),
        ("[population]\nn = 3", r"^population\.n: unknown key; population may have mean_amount_l"),
        ("[[frauds]]\nkind = 'rings'\nring = 1", r"^frauds\[0\]\.ring: unknown key; frauds\[0\] m"),
        ("n_days = 3.5", r"^n_days: must be a whole number, got 3\.5"),
        ("n_days = true", r"^n_days: must be a whole number, got True"),
        ("start = '2018'", r"^start: must be a date, as 2018-04-01, got '2018'"),
        ("start = 2018-04-01T00:00:00", r"^start: must be a date, as 2018-04-01, got datetime"),
        ("population = 3", r"^population: must be a table, got 3"),
        (
            "[bursts]\ndays = 1",
            r"^bursts: must be a list of tables, \[\[bursts\]\], got {'days': 1}",
        ),
        ("seasons = [3]", r"^seasons\[0\]: must be a table, got 3"),
        ("frauds = [3]", r"^frauds\[0\]: must be a table, got 3"),
        (
            "[[frauds]]\nname = 'x'",
            r"^frauds\[0\]\.kind: must be one of large_amounts, terminals, c",
        ),
        ("[[frauds]]\nkind = ['rings']", r"^frauds\[0\]\.kind: must be one of .* got \['rings'\]"),
        ("n_days = 0", r"^n_days must be at least 1, got 0"),
        ("[population]\nradius = 0", r"^population: radius must be above 0, got 0\.0"),
        ("[population]\nradius = inf", r"^population: radius must be finite, got inf"),
        ("[labels]\nmissed = 1.5", r"^labels: missed must be at least 0 and at most 1, got 1\.5"),
        ("[[seasons]]\npeak_day = nan", r"^seasons\[0\]: peak_day must be finite, got nan"),
        (
            "[[frauds]]\nkind = 'terminals'\n[frauds.adversary]\namount_factor = 2",
            r"^frauds\[0\]\.adversary: amount_factor must be above 0 and at most 1, got 2\.0",
        ),
        (
            "[[frauds]]\nkind = 'rings'\nfirst_day = 5\nuntil_day = 5",
            r"^frauds\[0\]: until_day must be after first_day 5, got 5",
        ),
        (
            "[population]\nmean_amount_most = 1",
            r"^population: mean_amount_most must be at least mean_amount_least 5, got 1\.0",
        ),
        ("[[frauds]]\nkind = 'rings'\n[[frauds]]\nkind = 'rings'", "frauds must have different na"),
        ("[[frauds]]\nkind = 'rings'\nname = 'honest'", "frauds must have different names, none o"),
        (
            "[population]\nn_terminals = 1\n[[frauds]]\nkind = 'rings'",
            "terminals of ring must be at most n_terminals 1, got 2",
        ),
        ("n_days = ", "Invalid value"),
    ],
)
def test_what_means_nothing_is_refused_by_name(toml, message):
    with pytest.raises(ValueError, match=message):
        scenario_from_toml(toml)


def test_codes_of_frauds_stay_within_8_bits():
    with pytest.raises(ValueError, match="frauds must be at most 100, got 101"):
        Scenario(frauds=tuple(LargeAmounts(name=f"{n}") for n in range(101)))


def test_seasons_and_bursts_multiply():
    weekly = Season(period_days=7, amplitude=0.5, peak_day=2)
    scenario = Scenario(
        seasons=(weekly,), bursts=(Burst(first_day=2, days=2, payments=3, frauds=4), Burst())
    )
    np.testing.assert_allclose(
        scenario.payments_on([2, 5.5, 9, 3]), [4.5, 0.5, 1.5, 3 * (1 + 0.5 * np.cos(2 * np.pi / 7))]
    )
    assert [scenario.frauds_on(day) for day in (1, 2, 3, 4)] == [1, 4, 4, 1]


def test_a_scaled_scenario_is_as_dense():
    scenario = scaled(EVERYTHING, 10 * round(expected_rows(EVERYTHING)))
    assert scenario.population.n_customers == pytest.approx(1_000, rel=0.01)
    area = scenario.population.radius**2 * scenario.population.n_terminals
    assert area == pytest.approx(5**2 * 10_000, rel=0.01)
    assert [fraud.a_day for fraud in scenario.frauds[1:]] == pytest.approx([20, 30, 2], rel=0.01)
    assert expected_rows(scenario) == pytest.approx(10 * expected_rows(EVERYTHING), rel=0.01)
    assert dataclasses.replace(scenario, population=EVERYTHING.population, frauds=()) == (
        dataclasses.replace(EVERYTHING, frauds=())
    )
