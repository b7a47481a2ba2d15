"""What is scored online is what the model would say of the same history offline."""

import json

import numpy as np
import pyarrow as pa
import pytest
import torch
from payments import (
    SPEC,
    bodies_of,
    rows_of,
    scorer_at,
    scores_of,
    small_artifact,
    small_simulation,
)

from data_connector import open_journal
from fraud_detect import journal_entries
from fraud_detect.journal_entries import Labels
from fraud_detect.scorer import Scorer
from fraud_detect.transactions import MAX_TRANSACTIONS
from fraud_ml.features import compute_features, feature_matrix

ARTIFACT = small_artifact()
SIMULATION = small_simulation()
PAYMENTS = SIMULATION.transactions


@pytest.fixture
def url(tmp_path) -> str:
    return f"sqlite:///{tmp_path / 'features.db'}"


@pytest.fixture
def scorer(url) -> Scorer:
    return scorer_at(url, ARTIFACT)


def offline_scores(payments: pa.Table, labels: pa.Table) -> np.ndarray:
    features = feature_matrix(compute_features(payments, labels, SPEC, arrival_order=True))
    return ARTIFACT.net.score(torch.from_numpy(features)).numpy()


def say_labels(url: str, labels: pa.Table) -> None:
    entry = Labels(
        labels["transaction_id"].to_pylist(),
        labels["is_fraud"].to_pylist(),
        labels["labelled_at"].cast(pa.int64()).to_pylist(),
    )
    with open_journal(url) as journal:
        journal.append(journal_entries.encode(entry), after=journal.last())


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_scores_are_those_of_the_batch_engine_on_the_same_history(url, scorer, batch) -> None:
    bodies = bodies_of(PAYMENTS)
    answers = []
    for start in range(0, len(bodies), batch):
        answers += scorer.answer(bodies[start : start + batch])
        # At once: each counts from its own time on.
        say_labels(url, SIMULATION.labels.slice(start, batch))
    expected = offline_scores(PAYMENTS, SIMULATION.labels)
    np.testing.assert_allclose(scores_of(answers), expected, atol=1e-6)
    assert len(np.unique(expected)) > 100


def test_two_scorers_in_turn_score_as_one(url, scorer) -> None:
    other = scorer_at(url, ARTIFACT)
    bodies = bodies_of(PAYMENTS.slice(0, 200))
    answers = []
    for number, start in enumerate(range(0, 200, 8)):
        answers += (scorer, other)[number % 2].answer(bodies[start : start + 8])
    expected = scores_of(scorer_at(f"{url}.alone", ARTIFACT).answer(bodies))
    np.testing.assert_allclose(scores_of(answers), expected, atol=1e-6)


def test_a_transaction_sent_again_gets_the_same_answer_and_counts_once(url, scorer) -> None:
    bodies = bodies_of(PAYMENTS.slice(0, 100))
    first = scores_of(scorer.answer(bodies))
    again = scores_of(scorer_at(url, ARTIFACT).answer(bodies[40:60]))  # after a restart
    np.testing.assert_allclose(again, first[40:60], atol=1e-6)
    twice = [body for body in bodies for _ in range(2)]
    found = scores_of(scorer_at(f"{url}.twice", ARTIFACT).answer(twice))
    np.testing.assert_allclose(found, first.repeat(2), atol=1e-6)


def test_an_invalid_transaction_gets_its_own_error_and_the_others_are_scored(scorer) -> None:
    rows = rows_of(PAYMENTS.slice(0, 4))
    rows[1]["amount"] = -1
    del rows[2]["customer_id"]
    (answer,) = scorer.answer([json.dumps({"transactions": rows}).encode()])
    assert answer.status == 200
    listed = json.loads(answer.body)["transactions"]
    assert [row["transaction_id"] for row in listed] == [row["transaction_id"] for row in rows]
    assert "score" in listed[0]
    assert "amount" in listed[1]["error"]
    assert "customer_id" in listed[2]["error"]
    assert "score" in listed[3]


def test_one_bad_request_leaves_the_batch_alone(scorer) -> None:
    (good,) = bodies_of(PAYMENTS.slice(0, 1))
    answers = scorer.answer([b"{", good, b"[]", b'{"transactions": []}'])
    assert [answer.status for answer in answers] == [400, 200, 400, 400]


def test_more_transactions_than_a_request_may_have_are_refused(scorer) -> None:
    (answer,) = scorer.answer(
        [json.dumps({"transactions": [{}] * (MAX_TRANSACTIONS + 1)}).encode()]
    )
    assert answer.status == 413
    assert "10,001" in json.loads(answer.body)["error"]


@pytest.mark.parametrize(
    "changes",
    [
        {"timestamp": "2018-04-01T12:00:00"},  # no zone
        {"timestamp": "yesterday"},
        {"timestamp": 2**62},
        {"amount": "12"},
        {"amount": 1e300},
        {"amount": None},
        {"transaction_id": None},
        {"transaction_id": ""},
        {"transaction_id": 2**63},
        {"customer_id": 1.5},
        {"customer_id": {"a": 1}},
        {"customer_id": "x" * 257},
    ],
)
def test_a_value_that_cannot_be_is_named(scorer, changes) -> None:
    (row,) = rows_of(PAYMENTS.slice(0, 1))
    (answer,) = scorer.answer([json.dumps(row | changes).encode()])
    assert answer.status == 400
    assert next(iter(changes)) in json.loads(answer.body)["error"]


def test_a_time_with_a_zone_is_the_same_as_microseconds(url, scorer) -> None:
    rows = rows_of(PAYMENTS.slice(0, 50))
    texts = [
        row | {"timestamp": when.isoformat()}
        for row, when in zip(rows, PAYMENTS["timestamp"].slice(0, 50).to_pylist(), strict=True)
    ]
    expected = scorer.answer([json.dumps(row).encode() for row in rows])
    other = scorer_at(f"{url}.other", ARTIFACT)
    assert other.answer([json.dumps(row).encode() for row in texts]) == expected


def test_reasons_are_given_where_they_are_asked_for(scorer) -> None:
    rows = rows_of(PAYMENTS.slice(0, 30))
    plain, with_reasons = scorer.answer(
        [
            json.dumps({"transactions": rows}).encode(),
            json.dumps({"transactions": rows, "reasons": True}).encode(),
        ]
    )
    assert "reasons" not in json.loads(plain.body)["transactions"][0]
    reasons = [row["reasons"] for row in json.loads(with_reasons.body)["transactions"]]
    assert any(reasons)
    for why in (why for row in reasons for why in row):
        assert why["contribution"] > 0
        assert why["feature"] in SPEC.names
        assert why["text"]


def test_decisions_are_the_policys(scorer) -> None:
    answers = [json.loads(a.body) for a in scorer.answer(bodies_of(PAYMENTS.slice(0, 300)))]
    scores = np.array([answer["score"] for answer in answers])
    decided = ARTIFACT.policy.decide(scores, np.ones_like(scores))
    assert [answer["decision"] for answer in answers] == [
        ("approve", "review", "decline")[decision] for decision in decided
    ]
    assert len({answer["decision"] for answer in answers}) > 1
