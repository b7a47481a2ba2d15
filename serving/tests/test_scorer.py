"""What is scored online is what the model would say of the same history offline."""

import json
import sqlite3
from contextlib import closing

import numpy as np
import pyarrow as pa
import pytest
import torch
from payments import (
    SPEC,
    calls_of,
    rows_of,
    scorer_at,
    scores_of,
    small_artifact,
    small_simulation,
)

from data_connector import open_journal
from fraud_detect.answers import ARROW
from fraud_detect.scorer import Call, Scorer
from fraud_detect.transactions import MAX_TRANSACTIONS
from fraud_ml import journal_entries
from fraud_ml.features import compute_features, feature_matrix
from fraud_ml.journal_entries import Labels

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
    calls = calls_of(PAYMENTS)
    answers = []
    for start in range(0, len(calls), batch):
        answers += scorer.answer(calls[start : start + batch])
        # At once: each counts from its own time on.
        say_labels(url, SIMULATION.labels.slice(start, batch))
    expected = offline_scores(PAYMENTS, SIMULATION.labels)
    np.testing.assert_allclose(scores_of(answers), expected, atol=1e-6)
    assert len(np.unique(expected)) > 100


def test_two_scorers_in_turn_score_as_one(url, scorer) -> None:
    other = scorer_at(url, ARTIFACT)
    calls = calls_of(PAYMENTS.slice(0, 200))
    answers = []
    for number, start in enumerate(range(0, 200, 8)):
        answers += (scorer, other)[number % 2].answer(calls[start : start + 8])
    expected = scores_of(scorer_at(f"{url}.alone", ARTIFACT).answer(calls))
    np.testing.assert_allclose(scores_of(answers), expected, atol=1e-6)


def test_a_transaction_sent_again_gets_the_same_answer_and_counts_once(url, scorer) -> None:
    calls = calls_of(PAYMENTS.slice(0, 100))
    first = scores_of(scorer.answer(calls))
    again = scores_of(scorer_at(url, ARTIFACT).answer(calls[40:60]))  # after a restart
    np.testing.assert_allclose(again, first[40:60], atol=1e-6)
    twice = [call for call in calls for _ in range(2)]
    found = scores_of(scorer_at(f"{url}.twice", ARTIFACT).answer(twice))
    np.testing.assert_allclose(found, first.repeat(2), atol=1e-6)


def test_an_invalid_transaction_gets_its_own_error_and_the_others_are_scored(scorer) -> None:
    rows = rows_of(PAYMENTS.slice(0, 4))
    rows[1]["amount"] = -1
    del rows[2]["customer_id"]
    (answer,) = scorer.answer([Call(json.dumps({"transactions": rows}).encode())])
    assert answer.status == 200
    listed = json.loads(answer.body)["transactions"]
    assert [row["transaction_id"] for row in listed] == [row["transaction_id"] for row in rows]
    assert "score" in listed[0]
    assert "amount" in listed[1]["error"]
    assert "customer_id" in listed[2]["error"]
    assert "score" in listed[3]


def test_one_bad_request_leaves_the_batch_alone(scorer) -> None:
    (good,) = calls_of(PAYMENTS.slice(0, 1))
    answers = scorer.answer([Call(b"{"), good, Call(b"[]"), Call(b'{"transactions": []}')])
    assert [answer.status for answer in answers] == [400, 200, 400, 400]


def test_more_transactions_than_a_request_may_have_are_refused(scorer) -> None:
    too_many = {"transactions": [{}] * (MAX_TRANSACTIONS + 1)}
    (answer,) = scorer.answer([Call(json.dumps(too_many).encode())])
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
    (answer,) = scorer.answer([Call(json.dumps(row | changes).encode())])
    assert answer.status == 400
    assert next(iter(changes)) in json.loads(answer.body)["error"]


def test_a_time_with_a_zone_is_the_same_as_microseconds(url, scorer) -> None:
    rows = rows_of(PAYMENTS.slice(0, 50))
    texts = [
        row | {"timestamp": when.isoformat()}
        for row, when in zip(rows, PAYMENTS["timestamp"].slice(0, 50).to_pylist(), strict=True)
    ]
    expected = scorer.answer([Call(json.dumps(row).encode()) for row in rows])
    other = scorer_at(f"{url}.other", ARTIFACT)
    assert other.answer([Call(json.dumps(row).encode()) for row in texts]) == expected


def test_reasons_are_given_where_they_are_asked_for(scorer) -> None:
    rows = rows_of(PAYMENTS.slice(0, 30))
    plain, with_reasons = scorer.answer(
        [
            Call(json.dumps({"transactions": rows}).encode()),
            Call(json.dumps({"transactions": rows, "reasons": True}).encode()),
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
    answers = [json.loads(a.body) for a in scorer.answer(calls_of(PAYMENTS.slice(0, 300)))]
    scores = np.array([answer["score"] for answer in answers])
    decided = ARTIFACT.policy.decide(scores, np.ones_like(scores))
    assert [answer["decision"] for answer in answers] == [
        ("approve", "review", "decline")[decision] for decision in decided
    ]
    assert len({answer["decision"] for answer in answers}) > 1


def arrow(table: pa.Table) -> Call:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=70)
    return Call(sink.getvalue().to_pybytes(), ARROW)


def read_arrow(answer) -> list[dict]:
    assert (answer.status, answer.content_type) == (200, ARROW)
    return pa.ipc.open_stream(answer.body).read_all().to_pylist()


def test_arrow_and_json_score_the_same(url, scorer) -> None:
    some = PAYMENTS.slice(0, 200)
    (answer,) = scorer.answer([arrow(some)])
    rows = read_arrow(answer)
    assert [row["transaction_id"] for row in rows] == some["transaction_id"].to_pylist()
    expected = scores_of(scorer_at(f"{url}.json", ARTIFACT).answer(calls_of(some)))
    np.testing.assert_allclose([row["score"] for row in rows], expected, atol=1e-6)


def test_an_answer_in_arrow_says_which_model_and_whether_without_history(tmp_path, url) -> None:
    scorer = scorer_at(f"{url}?timeout=0.1", ARTIFACT)
    (answer,) = scorer.answer([arrow(PAYMENTS.slice(0, 3))])
    assert [row["degraded"] for row in read_arrow(answer)] == [False] * 3
    schema = pa.ipc.open_stream(answer.body).schema
    assert schema.metadata == {b"model": b"fraud", b"version": b"1"}
    with closing(sqlite3.connect(tmp_path / "features.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # nobody else can append
        (answer,) = scorer.answer([arrow(PAYMENTS.slice(3, 3))])
    assert [row["degraded"] for row in read_arrow(answer)] == [True] * 3


def test_an_invalid_row_of_arrow_gets_its_own_error(scorer) -> None:
    some = PAYMENTS.slice(0, 5)
    amounts = some["amount"].to_pylist()
    amounts[1], amounts[3] = float("nan"), -2.0
    at = some.column_names.index("amount")
    (answer,) = scorer.answer([arrow(some.set_column(at, "amount", pa.array(amounts)))])
    rows = read_arrow(answer)
    assert [row["score"] is None for row in rows] == [False, True, False, True, False]
    assert all("amount" in rows[row]["error"] for row in (1, 3))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (PAYMENTS.slice(0, 3).drop_columns("amount"), "lacks columns: amount"),
        (PAYMENTS.slice(0, 0), "has 0"),
        (
            PAYMENTS.slice(0, 3).set_column(
                1, "timestamp", PAYMENTS["timestamp"].slice(0, 3).cast(pa.timestamp("us"))
            ),
            "time zone",
        ),
        (
            PAYMENTS.slice(0, 3).set_column(0, "transaction_id", pa.array([0.5, 1.5, 2.5])),
            "transaction_id",
        ),
    ],
)
def test_an_arrow_stream_that_cannot_be_read_says_why(scorer, table, message) -> None:
    (answer,) = scorer.answer([arrow(table)])
    assert answer.status == 400
    assert message in json.loads(answer.body)["error"]


def test_an_arrow_stream_cut_anywhere_is_refused_or_scored_in_part(scorer) -> None:
    whole = arrow(PAYMENTS.slice(0, 100)).body
    answers = scorer.answer([Call(whole[:end], ARROW) for end in range(0, len(whole), 97)])
    assert {answer.status for answer in answers} <= {200, 400}
    assert answers[0].status == 400


def test_an_explanation_adds_up_to_the_score(scorer) -> None:
    calls = [Call(call.body, explain=True) for call in calls_of(PAYMENTS.slice(0, 40))]
    for answer in map(json.loads, (answer.body for answer in scorer.answer(calls))):
        why = answer["explanation"]
        raised = sum(part["contribution"] for part in why["features"].values())
        assert raised == pytest.approx(why["log_odds"] - why["baseline"], abs=1e-4)
        assert answer["score"] == pytest.approx(1 / (1 + np.exp(-why["log_odds"])), abs=1e-5)
        assert set(why["features"]) == set(SPEC.names)


def test_to_explain_what_was_scored_counts_it_no_second_time(scorer) -> None:
    (call,) = calls_of(PAYMENTS.slice(50, 1))
    (scored,) = scorer.answer([call])
    (explained,) = scorer.answer([Call(call.body, explain=True)])
    assert json.loads(explained.body)["score"] == json.loads(scored.body)["score"]


def test_watchers_see_what_was_scored(scorer) -> None:
    seen = []
    scorer.watchers.append(seen.append)
    calls = calls_of(PAYMENTS.slice(0, 9))
    answers = scorer.answer([*calls[:5], Call(b"{"), *calls[5:]])
    (batch,) = seen
    assert list(batch.columns["transaction_id"]) == PAYMENTS["transaction_id"][:9].to_pylist()
    assert batch.features.shape == (9, len(SPEC.names))
    scored = scores_of([answer for answer in answers if answer.status == 200])
    np.testing.assert_allclose(batch.scores, scored, atol=1e-6)
