"""Whatever is sent, whoever sent it gets a 4xx with a reason, and nobody else notices."""

from __future__ import annotations

import json
import resource
import struct

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from malformed import ROWS, bombard, malformed, memory, stream
from payments import scorer_at, small_artifact, small_simulation
from server import running_server

from fraud_detect.answers import ARROW, JSON
from fraud_detect.arrow_messages import is_compressed
from fraud_detect.scorer import Call, Scorer

PAYMENTS = small_simulation().transactions
ONE = settings(
    database=None,
    derandomize=True,
    max_examples=500,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture
def scorer(tmp_path) -> Scorer:
    return scorer_at(f"sqlite:///{tmp_path / 'features.db'}", small_artifact())


def refused(scorer: Scorer, body: bytes, content_type: str = ARROW) -> str:
    """Why ``body`` is refused."""
    (answer,) = scorer.answer([Call(body, content_type)])
    assert answer.status in (400, 413), answer
    reason: str = json.loads(answer.body)["error"]
    return reason


def test_thousands_in_process_get_a_reason_and_leave_a_state_that_can_be_saved(scorer) -> None:
    statuses = set()
    for body, content_type in malformed(4_000):
        (answer,) = scorer.answer([Call(body, content_type)])
        statuses.add(answer.status)
        assert answer.status == 200 or json.loads(answer.body)["error"]
    assert statuses == {200, 400, 413}
    assert scorer.state.replica.to_bytes()


@ONE
@given(body=st.binary(max_size=300), content_type=st.sampled_from([JSON, ARROW]))
def test_any_bytes_get_a_reason(scorer, body, content_type) -> None:
    assert refused(scorer, body, content_type)


_JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@ONE
@given(changes=st.dictionaries(st.sampled_from(list(ROWS[0])), _JSON_VALUES, min_size=1))
def test_any_values_are_scored_or_refused_with_a_reason(scorer, changes) -> None:
    (answer,) = scorer.answer([Call(json.dumps(ROWS[0] | changes).encode())])
    assert answer.status == 200 or (answer.status == 400 and json.loads(answer.body)["error"])


_TENSORS = [
    {
        "name": name,
        "shape": [2],
        "datatype": "FP64" if name == "amount" else "INT64",
        "data": [row[name] for row in ROWS[:2]],
    }
    for name in ROWS[0]
]


@ONE
@given(
    at=st.sampled_from(range(len(_TENSORS))),
    changes=st.dictionaries(st.sampled_from(list(_TENSORS[0])), _JSON_VALUES, min_size=1),
    more=st.dictionaries(st.sampled_from(["id", "outputs", "parameters"]), _JSON_VALUES),
)
def test_any_tensors_are_scored_or_refused_with_a_reason(scorer, at, changes, more) -> None:
    tensors = [*_TENSORS[:at], _TENSORS[at] | changes, *_TENSORS[at + 1 :]]
    (answer,) = scorer.answer([Call(json.dumps({"inputs": tensors, **more}).encode())])
    assert answer.status == 200 or (answer.status == 400 and json.loads(answer.body)["error"])


def test_a_time_that_no_state_can_count_does_not_cost_others_their_history(scorer) -> None:
    rows = [row | {"customer_id": 1} for row in ROWS[:3]]
    rows[1]["timestamp"] = -(2**61) - 1
    seen = []
    scorer.watchers.append(seen.append)
    answers = scorer.answer([Call(json.dumps(row).encode()) for row in rows])
    assert [answer.status for answer in answers] == [200, 400, 200]
    assert not np.isnan(seen[0].features).any()


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_compressed_buffers_are_refused(scorer, compression) -> None:
    assert "compressed" in refused(scorer, stream(PAYMENTS.slice(0, 300), compression))


def test_a_compressed_dictionary_is_seen_too() -> None:
    table = pa.table({"a": pa.array(["x" * 1_000, "y"]).dictionary_encode()})
    assert is_compressed(pa.py_buffer(stream(table, "zstd")))
    assert not is_compressed(pa.py_buffer(stream(table)))


def one_text_for_all(kind: str, n_rows: int) -> pa.Array:
    """A text of a megabyte that every row refers to."""
    text = "y" * 1_000_000
    if kind == "dictionary":
        return pa.DictionaryArray.from_arrays(pa.array([0] * n_rows, pa.int32()), pa.array([text]))
    view = struct.pack("<i4sii", len(text), b"yyyy", 0, 0)
    buffers = [None, pa.py_buffer(view * n_rows), pa.py_buffer(text.encode())]
    return pa.Array.from_buffers(pa.string_view(), n_rows, buffers)


@pytest.mark.parametrize("kind", ["dictionary", "view"])
def test_a_long_text_that_many_rows_refer_to_is_not_copied_for_each(scorer, kind) -> None:
    some = pa.concat_tables([PAYMENTS] * 10).slice(0, 5_000)
    body = stream(some.set_column(2, "customer_id", one_text_for_all(kind, len(some))))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "'customer_id': text over 256" in refused(scorer, body)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


def test_rows_without_content_are_counted_before_anything_is_made_of_them(scorer) -> None:
    nothing = pa.table(dict.fromkeys(PAYMENTS.column_names, pa.nulls(2**30)))
    assert "1,073,741,824" in refused(scorer, stream(nothing))


@pytest.mark.parametrize("ids", [[True] * 3, [1.5] * 3])
def test_what_is_no_id_in_json_is_none_in_arrow(scorer, ids) -> None:
    body = stream(PAYMENTS.slice(0, 3).set_column(0, "transaction_id", pa.array(ids)))
    assert "transaction_id" in refused(scorer, body)


def test_numbers_as_text_are_refused_in_arrow_as_in_json(scorer) -> None:
    at = PAYMENTS.column_names.index("amount")
    body = stream(PAYMENTS.slice(0, 2).set_column(at, "amount", pa.array(["1", "2"])))
    assert "'amount' must be numbers" in refused(scorer, body)


@pytest.mark.parametrize(
    ("column", "values"),
    [("transaction_id", ["", "b"]), ("timestamp", [-1, 1_522_540_800_000_000])],
)
def test_a_row_of_arrow_that_json_would_refuse_gets_its_error(scorer, column, values) -> None:
    at = PAYMENTS.column_names.index(column)
    body = stream(PAYMENTS.slice(0, 2).set_column(at, column, pa.array(values)))
    (answer,) = scorer.answer([Call(body, ARROW)])
    first, second = pa.ipc.open_stream(answer.body).read_all()["error"].to_pylist()
    assert column in first
    assert second is None


def test_thousands_through_a_server_kill_no_process_and_cost_no_memory(tmp_path) -> None:
    with running_server(tmp_path) as server:
        bombard(server.ports.inference, malformed(500, seed=1))  # until all is loaded
        before = memory()
        statuses = bombard(server.ports.inference, malformed(2_000))
        after = memory()
    assert statuses.keys() == {200, 400, 413}
    assert after.keys() == before.keys()
    assert all(after[pid] - before[pid] < 100 << 20 for pid in before)
