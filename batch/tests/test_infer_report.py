"""The page of a scoring run is made of counts and sums alone."""

import datetime as dt

import numpy as np
from html_page import read_page

from batch_proc.infer_report import Inference, infer_page
from batch_proc.measures import Measure
from batch_proc.report.explained import Example
from batch_proc.report.measured import count_scores
from batch_proc.report.score_sections import DayOfDecisions
from fraud_ml.distribution import fit_reference
from fraud_ml.policy import CapacityPolicy, CostPolicy


def run(**changes: object) -> Inference:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2_000, 2)).astype(np.float32)
    score = rng.beta(0.2, 5, 2_000).astype(np.float32)
    reference = fit_reference(features, score, ["amount", "<night>"])
    given = {
        "days": [
            DayOfDecisions(
                day=dt.date(2018, 8, 8),
                payments={"approve": 1_900, "review": 80, "decline": 20},
                amounts={"approve": 90_000.0, "review": 9_000.0, "decline": 1_000.0},
            )
        ],
        "score_counts": count_scores(score).tolist(),
        "policy": CapacityPolicy(review_above=0.1, decline_above=0.6),
        "reference": reference,
        "drift_counts": {
            "score": reference.score.count(score).tolist(),
            "<night>": reference.features["<night>"].count(features[:, 1] + 2).tolist(),
        },
        "contributions": [("amount", 0.5), ("<night>", 0.25)],
        "examples": [
            Example(title="declined", transaction="7", score=0.7, amount=9.0, reasons=("<r>",))
        ],
        "lineage": {"model": "fraud 1", "scores": "<out>"},
    }
    return Inference(**(given | changes))  # type: ignore[arg-type]


def test_the_page_tells_what_was_decided_and_on_what() -> None:
    measures = [Measure("rows", 2_000, "transactions", "scored")]
    text = infer_page("fraud version 1", run(), measures, {"fetch": 1.0, "score": 2.5})
    assert text == infer_page("fraud version 1", run(), measures, {"fetch": 1.0, "score": 2.5})
    read = read_page(text)
    assert read.titles == [
        "Decisions, day by day",
        "Amounts",
        "Distribution of the scores",
        "Drift of the score",
        "Drift of the features",
        "What moves the scores",
        "Where it comes from",
        "Time it took",
        "All numbers",
    ]
    assert "2,000 payments of 1 day scored, 2018-08-08 to 2018-08-08." in read.text
    assert "Above a score of 60%: declined." in read.text
    assert "<night>" in read.text and "<out>" in read.text and "<r>" in read.text
    assert "the largest is 0.000, score" in read.text


def test_a_model_without_reference_or_thresholds_has_a_page_too() -> None:
    policy = CostPolicy(review_price=3.0, wrong_decline_cost=10.0)
    bare = run(reference=None, policy=policy, contributions=[], examples=[], drift_counts={})
    read = read_page(infer_page("fraud version 1", bare, [], {}))
    assert "Drift of the score" not in read.titles
    assert "Above a score" not in read.text


def test_nothing_scored_is_told() -> None:
    nothing = run(
        days=[], score_counts=[0] * 46, contributions=[], examples=[],
        drift_counts={"score": [0] * 11},
    )  # fmt: skip
    read = read_page(infer_page("fraud version 1", nothing, [], {}))
    assert "0 payments scored." in read.text
    assert read.text.count("so nothing can be said here") == 5
