"""Tensors of KServe v2 get the scores of the same transactions in JSON, or a reason."""

from __future__ import annotations

import json
from typing import Any

import pytest
from payments import SPEC, rows_of, scorer_at, scores_of, small_artifact, small_simulation
from server import ask, running_server

from fraud_detect.scorer import Answer, Call, Scorer
from fraud_detect.transactions import MAX_TRANSACTIONS
from fraud_ml.feature_spec import ColumnFeature, ColumnKind, FeatureSpec

ROWS = rows_of(small_simulation().transactions.slice(0, 30))
DATATYPES = {
    "transaction_id": "BYTES",
    "timestamp": "INT64",
    "customer_id": "INT64",
    "terminal_id": "INT64",
    "amount": "FP64",
}

Tensor = dict[str, Any]


def tensor(name: str, data: list[Any], datatype: str | None = None, **other: Any) -> Tensor:
    kind = datatype or DATATYPES[name]
    return {"name": name, "shape": [len(data)], "datatype": kind, "data": data} | other


def tensors(rows: list[dict[str, Any]], **instead: Tensor) -> list[Tensor]:
    ids = [str(row["transaction_id"]) for row in rows]
    columns = {name: [row[name] for row in rows] for name in DATATYPES} | {"transaction_id": ids}
    return [instead.get(name) or tensor(name, column) for name, column in columns.items()]


def request(inputs: list[Tensor], **more: Any) -> bytes:
    return json.dumps({"inputs": inputs, **more}).encode()


@pytest.fixture
def scorer(tmp_path) -> Scorer:
    return scorer_at(f"sqlite:///{tmp_path / 'features.db'}", small_artifact())


def answer(scorer: Scorer, body: bytes, *, explain: bool = False) -> Answer:
    (found,) = scorer.answer([Call(body, explain=explain)])
    return found


def outputs(found: Answer) -> dict[str, list[Any]]:
    assert found.status == 200, found.body
    listed = json.loads(found.body)["outputs"]
    assert all(each["shape"] == [len(each["data"])] for each in listed)
    return {each["name"]: each["data"] for each in listed}


def refused(scorer: Scorer, body: bytes, **how: Any) -> str:
    found = answer(scorer, body, **how)
    assert found.status in (400, 413)
    reason: str = json.loads(found.body)["error"]
    return reason


def test_tensors_get_the_scores_of_the_same_transactions(scorer, tmp_path) -> None:
    found = answer(scorer, request(tensors(ROWS), id="a request"))
    other = scorer_at(f"sqlite:///{tmp_path / 'other.db'}", small_artifact())
    expected = other.answer([Call(json.dumps(row).encode()) for row in ROWS])
    said = json.loads(found.body)
    assert (said["id"], said["model_name"], said["model_version"]) == ("a request", "fraud", "1")
    datatypes = {each["name"]: each["datatype"] for each in said["outputs"]}
    assert datatypes["score"] == "FP64"
    assert datatypes["decision"] == datatypes["transaction_id"] == datatypes["error"] == "BYTES"
    got = outputs(found)
    assert got["score"] == scores_of(expected).tolist()
    assert got["decision"] == [json.loads(each.body)["decision"] for each in expected]
    assert got["transaction_id"] == [str(row["transaction_id"]) for row in ROWS]
    assert got["degraded"] == [False] * len(ROWS)
    assert got["error"] == [None] * len(ROWS)


@pytest.mark.parametrize("nested", [False, True])
def test_a_tensor_may_have_a_column_as_shape(scorer, nested) -> None:
    amounts = [row["amount"] for row in ROWS[:3]]
    data = [[value] for value in amounts] if nested else amounts
    inputs = tensors(ROWS[:3], amount=tensor("amount", data, shape=[3, 1]))
    assert None not in outputs(answer(scorer, request(inputs)))["score"]


def test_times_may_be_text_and_ids_whole_numbers_which_come_back_as_such(scorer) -> None:
    inputs = tensors(
        ROWS[:2],
        timestamp=tensor("timestamp", ["2026-01-31T12:00:00Z"] * 2, "BYTES"),
        transaction_id=tensor("transaction_id", [7, 8], "INT64"),
    )
    found = answer(scorer, request(inputs))
    assert outputs(found)["transaction_id"] == [7, 8]
    assert json.loads(found.body)["outputs"][0]["datatype"] == "INT64"


def test_only_the_outputs_that_are_wanted_are_there(scorer) -> None:
    wanted = [{"name": "decision"}, {"name": "score"}]
    assert list(outputs(answer(scorer, request(tensors(ROWS), outputs=wanted)))) == [
        "decision",
        "score",
    ]
    assert "no output 'fraud'" in refused(scorer, request([], outputs=[{"name": "fraud"}]))


def test_an_invalid_transaction_has_its_error_and_the_others_are_scored(scorer) -> None:
    inputs = tensors(ROWS[:3], amount=tensor("amount", [1.0, -1.0, None]))
    found = outputs(answer(scorer, request(inputs)))
    assert [score is None for score in found["score"]] == [False, True, True]
    assert [error and "amount" in error for error in found["error"]] == [None, True, True]
    assert found["transaction_id"] == [str(row["transaction_id"]) for row in ROWS[:3]]


def test_where_it_is_the_only_one_the_request_is_refused(scorer) -> None:
    inputs = tensors(ROWS[:1], amount=tensor("amount", [-1.0]))
    assert "amount" in refused(scorer, request(inputs))


@pytest.mark.parametrize(
    ("name", "wrong", "reason"),
    [
        ("amount", tensor("amount", [1.0, 2.0], shape=[3]), "not [3]"),
        ("amount", tensor("amount", [1.0, 2.0], shape=[1, 2]), "not [1, 2]"),
        ("amount", tensor("amount", [[1.0], [2.0, 3.0]], shape=[2, 1]), "not one value"),
        ("amount", tensor("amount", ["1", "2"]), "values of type str"),
        ("amount", tensor("amount", [[1.0], [2.0]]), "values of type list"),
        ("amount", tensor("amount", [1.0, 2.0], "FP128"), "no datatype 'FP128'"),
        ("amount", tensor("amount", [1.0, 2.0, 3.0]), "different lengths: [2, 3]"),
        ("amount", tensor("sum", [1.0, 2.0], "FP64"), "lacks the tensors 'amount'"),
        ("amount", tensor("customer_id", [1, 2]), "lacks the tensors 'amount'"),
        ("customer_id", tensor("customer_id", [True, False]), "values of type bool"),
    ],
)
def test_a_tensor_that_is_not_what_it_says_is_refused(scorer, name, wrong, reason) -> None:
    assert reason in refused(scorer, request(tensors(ROWS[:2], **{name: wrong})))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (request([]), "lacks the tensors"),
        (b'{"inputs": 1}', "no inference request"),
        (request([*tensors(ROWS[:2]), tensor("amount", [1.0, 2.0])]), "two of `inputs`"),
        (request([*tensors(ROWS[:2])[:-1], {"name": "amount", "shape": [2]}]), "datatype"),
        (request(tensors([])), "1 to 10,000"),
    ],
)
def test_what_is_no_request_of_tensors_is_refused(scorer, body, reason) -> None:
    assert reason in refused(scorer, body)


def test_more_than_a_request_may_have_are_too_large(scorer) -> None:
    found = answer(scorer, request(tensors(ROWS[:1] * (MAX_TRANSACTIONS + 1))))
    assert found.status == 413


def test_explanations_are_not_in_tensors_and_nothing_is_counted(scorer) -> None:
    assert "no explanations" in refused(scorer, request(tensors(ROWS)), explain=True)
    assert scorer.state.replica.position == 0


def test_a_transaction_may_have_a_column_of_that_name(tmp_path) -> None:
    column = ColumnFeature(name="inputs", column="inputs", kind=ColumnKind.NUMERIC)
    artifact = small_artifact(FeatureSpec(features=(*SPEC.features, column)))
    scorer = scorer_at(f"sqlite:///{tmp_path / 'features.db'}", artifact)
    found = answer(scorer, json.dumps(ROWS[0] | {"inputs": 3.0}).encode())
    assert found.status == 200
    assert "score" in json.loads(found.body)


def test_a_running_server_answers_tensors_where_kserve_sends_them(tmp_path) -> None:
    with running_server(tmp_path) as server:
        port = server.ports.inference
        reply = ask(port, "/v2/models/fraud/infer", request(tensors(ROWS), id="1"))
        wrong = ask(port, "/v2/models/fraud/infer", request(tensors(ROWS)[1:]))
        explained = ask(port, "/v2/models/fraud/explain", request(tensors(ROWS)))
        others = [
            ask(port, f"/v2{path}").status
            for path in (
                "",
                "/health/live",
                "/health/ready",
                "/models/fraud",
                "/models/fraud/ready",
            )
        ]
        version = ask(port, "/v2/models/fraud/versions/1/infer", request(tensors(ROWS)))
    assert reply.status == 200
    assert reply.json["id"] == "1"
    assert [each["name"] for each in reply.json["outputs"]][:2] == ["transaction_id", "score"]
    assert all(0 <= score <= 1 for score in reply.json["outputs"][1]["data"])
    assert (wrong.status, list(wrong.json)) == (400, ["error"])
    assert explained.status == 400
    assert (others, version.status) == ([404] * 5, 404)
