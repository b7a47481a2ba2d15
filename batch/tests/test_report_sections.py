"""Each section says in words and in a picture what the numbers are, also of odd numbers."""

import datetime as dt

import numpy as np
import pytest
from html_page import Page, read_page

from batch_proc.report.charts import Series, daily
from batch_proc.report.explained import Example
from batch_proc.report.measured import (
    Outcome,
    Scored,
    calibration_points,
    count_scores,
    outcomes,
    quality,
    stopped_amounts,
)
from batch_proc.report.page import Section, page, section
from batch_proc.report.quality_sections import (
    calibration_section,
    card_precision_section,
    confusion_section,
    headline_section,
    precision_recall_section,
)
from batch_proc.report.run_sections import lineage_section, seconds_section
from batch_proc.report.score_sections import (
    DayOfDecisions,
    Drifted,
    amounts_section,
    decisions_section,
    drift_section,
    reasons_section,
    score_section,
)
from fraud_ml.distribution import fit_distribution
from fraud_ml.policy import CapacityPolicy

HOSTILE = '<script>alert("1")</script>'


def shown(*sections: Section) -> Page:
    """The page of the sections; the same sections give the same bytes."""
    text = page("title", "lead", sections)
    assert text == page("title", "lead", sections)
    return read_page(text)


def payments(n: int = 2_000, *, days: int = 4, frauds: float = 0.03) -> Scored:
    rng = np.random.default_rng(1)
    is_fraud = rng.random(n) < frauds
    return Scored(
        day=17_700 + np.arange(n) * days // n,
        customer=rng.integers(0, max(n // 5, 1), n),
        is_fraud=is_fraud,
        score=1 / (1 + np.exp(-(rng.normal(-4, 1.5, n) + 3 * is_fraud))),
        amount=np.round(rng.gamma(2, 30, n), 2),
    )


def of_quality(scored: Scored) -> list[Section]:
    found = quality(scored, k=10, n_resamples=5)
    policy = CapacityPolicy(review_above=0.1, decline_above=0.5)
    n_frauds = int(scored.is_fraud.sum())
    return [
        headline_section(found, k=10, n_days=4),
        precision_recall_section(
            found, n_payments=len(scored), n_frauds=n_frauds, marks=[(0.4, 0.6, "declined")]
        ),
        card_precision_section(scored, k=10),
        calibration_section(calibration_points(scored.is_fraud, scored.score)),
        confusion_section(
            outcomes(policy.decide(scored.score, scored.amount), scored),
            stopped=stopped_amounts(scored),
            looked_at=12.5,
        ),
        score_section({"honest payments": count_scores(scored.score).tolist()}, [(0.1, "seen")]),
    ]


def test_quality_is_told_in_words_beside_pictures() -> None:
    scored = payments()
    read = shown(*of_quality(scored))
    assert "Of 10 cards looked at a day," in read.text
    assert "mean of 4 days" in read.text
    assert f"{scored.is_fraud.sum()} frauds among 2,000 payments" in read.text
    assert "“declined” finds 40% of the frauds, and 60% of what it flags is fraud" in read.text
    titles = [title for title, _ in read.pictures]
    assert titles == [
        "Precision against recall",
        "Defrauded cards among 10 looked at, by day",
        "Share of frauds against score",
        "Decisions on frauds and on honest payments",
        "Amount stopped against payments looked at",
        "Distribution of the scores",
    ]
    by_day = dict(read.pictures)["Defrauded cards among 10 looked at, by day"]
    assert by_day.startswith("2018-06-18: ")


def replaced(scored: Scored, score: float) -> Scored:
    return Scored(
        day=scored.day,
        customer=scored.customer,
        is_fraud=scored.is_fraud,
        score=np.full(len(scored), score),
        amount=np.zeros(len(scored)),
    )


ODD = {
    "no fraud": payments(frauds=0.0),
    "one day": payments(days=1),
    "all frauds": payments(50, frauds=1.0),
    "one payment": payments(1, days=1, frauds=1.0),
    "all scores alike": replaced(payments(), 0.25),
    "all scores 0": replaced(payments(), 0.0),
    "all scores 1": replaced(payments(), 1.0),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_payments_still_give_a_page(name: str) -> None:
    read = shown(*of_quality(ODD[name]))
    assert len(read.titles) == 6
    if name == "no fraud":
        assert read.text.count("No fraud is known among these payments") == 4
    if name == "one day":
        assert "mean of 1 day:" in read.text
    if name == "all scores alike":
        assert "All 2,000 honest payments score 18% to 27%." in read.text


def test_no_payments_at_all_are_told() -> None:
    nothing = payments(0)
    read = shown(
        calibration_section([]),
        score_section({"payments": count_scores(nothing.score).tolist()}),
        decisions_section([]),
        amounts_section([]),
        reasons_section([]),
        drift_section([], now="payments"),
        lineage_section({}),
        seconds_section({}),
    )
    assert read.text.count("so nothing can be said here") == 6
    assert read.pictures == []


def test_days_of_decisions_are_told() -> None:
    days = [
        DayOfDecisions(
            day=dt.date(2018, 6, 29) + dt.timedelta(days=n),
            payments={"approve": 900, "review": 90 + n, "decline": 10},
            amounts={"approve": 9_000.0, "review": 1_800.5, "decline": 500.0},
        )
        for n in range(3)
    ]
    read = shown(decisions_section(days), amounts_section(days))
    assert "30 of 3,003 payments declined (1.0%): 10 a day." in read.text
    assert "1,500 of 33,902 declined (4.4%), 5,402 reviewed (16%)." in read.text
    assert dict(read.pictures)["Reviewed and declined, by day"] == (
        "review: 90 to 92, at last 92; decline: 10 to 10, at last 10."
    )
    free = [DayOfDecisions(day=days[0].day, payments={"approve": 1}, amounts={})]
    assert "No amount, so nothing can be said here." in shown(amounts_section(free)).text


def drifted(name: str, shift: float, *, n: int = 5_000) -> Drifted:
    rng = np.random.default_rng(2)
    reference = fit_distribution(rng.normal(size=10_000))
    counts = reference.count(rng.normal(shift, 1, n))
    return Drifted(name=name, distribution=reference, counts=tuple(counts.tolist()))


def test_drift_is_told_the_farthest_first() -> None:
    read = shown(drift_section([drifted("calm", 0), drifted(HOSTILE, 1)], now="payments of May"))
    assert "Of 2: 1 at 0.25 or above, 0 between; the largest is 0.9" in read.text
    assert read.text.index(HOSTILE) < read.text.index("calm")
    assert len(read.pictures) == 3  # all, and a close-up of each
    assert "> 1.2" in read.pictures[1][1]


def test_drift_of_nothing_and_of_constants_is_told() -> None:
    constant = fit_distribution(np.zeros(10))
    missing = fit_distribution(np.full(10, np.nan))
    read = shown(
        drift_section([drifted("gone", 0, n=0)], now="payments", title="Nothing"),
        drift_section(
            [
                Drifted(name="constant", distribution=constant, counts=(5, 0, 0)),
                Drifted(name="missing", distribution=missing, counts=(0, 7)),
            ],
            now="payments",
        ),
    )
    assert "No payments, so nothing can be said here." in read.text
    assert "the largest is 0.000" in read.text


def test_reasons_and_lineage_cannot_break_the_page() -> None:
    example = Example(
        title="fraud, found",
        transaction=HOSTILE,
        score=0.9,
        amount=512.4,
        reasons=(f"{HOSTILE} is 6.1 × this customer's usual",),
    )
    quiet = Example(title="no", transaction="7", score=0.1, amount=1.0, reasons=())
    read = shown(
        reasons_section([(HOSTILE, 0.5), ("amount", 0.25)], [example, quiet]),
        lineage_section({"commit": HOSTILE, HOSTILE: "x"}),
        seconds_section({HOSTILE: 1.25, "train": 0.0}),
    )
    assert read.text.count(HOSTILE) >= 9
    assert "amount 512.40, score 90%" in read.text
    assert "nothing raised its score above a usual payment's" in read.text
    assert "1.2 seconds in all, 1.2 of them to" in read.text


def test_days_without_a_value_leave_a_gap() -> None:
    days = [dt.date(2018, 6, 1) + dt.timedelta(days=n) for n in range(40)]
    values = [None if n in (3, 4) else 0.5 for n in range(40)]
    picture = daily(days, [Series(name="v1", values=values)], "ap", title="AP", form=".2f")
    assert picture.count('class="line blue"') == 2
    assert picture.count("<circle") == 38
    empty = daily(days[:1], [Series(name="v1", values=[None])], "ap", title="AP")
    read = shown(section("t", [], picture, empty))
    assert [description for _, description in read.pictures] == [
        "v1: 0.50 to 0.50, at last 0.50.",
        "nothing was measured.",
    ]


def test_a_policy_that_lets_everything_pass_is_told() -> None:
    nothing = Outcome(decision="decline", frauds=0, fraud_amount=0.0, others=0, other_amount=0.0)
    passed = Outcome(decision="approve", frauds=3, fraud_amount=90.0, others=7, other_amount=9.0)
    read = shown(confusion_section([nothing, passed]))
    assert (
        "3 frauds of 90.00 in all: 0 of them, of 0.00, would be declined or reviewed (0%"
        in read.text
    )
    assert "Of 7 honest payments, 0 would be declined or reviewed too (0%)." in read.text
