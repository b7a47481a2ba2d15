"""Transactions in a list are read as each is by itself, whichever way they are decoded."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraud_detect.errors import RequestError
from fraud_detect.transactions import MAX_TRANSACTIONS, TransactionFormat
from fraud_ml.default_specs import DEFAULT_SPEC

NOW = 1_770_000_000
FORMAT = TransactionFormat(DEFAULT_SPEC, now=lambda: NOW)

VALID: dict[str, st.SearchStrategy[Any]] = {
    "transaction_id": st.text(min_size=1, max_size=8) | st.integers(-(2**63), 2**63 - 1),
    "timestamp": st.integers(0, NOW * 1_000_000)
    | st.sampled_from(["2026-01-31T12:00:00Z", "2026-01-31T13:00:00.25+01:00"]),
    "customer_id": st.text(max_size=8) | st.integers(0, 9) | st.booleans() | st.none(),
    "terminal_id": st.text(max_size=8) | st.integers(0, 9),
    "amount": st.floats(0, 1e6) | st.integers(0, 9),
}
WRONG: dict[str, Any] = {
    "transaction_id": st.sampled_from(["", 1.5, None, "x" * 300]),
    "timestamp": st.sampled_from([-1, (NOW + 2 * 86_400) * 1_000_000, "2026-01-31T12:00:00", 0.5]),
    "customer_id": st.sampled_from([0.5, [], "x" * 300]),
    "terminal_id": st.sampled_from([{}, 2**64]),
    "amount": st.sampled_from([-1, "1", None, 1e300]),
}


@st.composite
def one(draw: st.DrawFn, *, wrong: bool) -> Any:
    """A transaction; a wrong one lacks a field, or has one that cannot be."""
    fields = {name: draw(values) for name, values in VALID.items()}
    if draw(st.booleans()):
        fields["unknown"] = draw(st.none() | st.just([1, {"a": 2}]))
    if wrong:
        name = draw(st.sampled_from(list(VALID)))
        if draw(st.booleans()):
            del fields[name]
        else:
            fields[name] = draw(WRONG[name])
    return fields


def body(content: Any) -> bytes:
    return json.dumps(content).encode()


@given(
    transactions=st.lists(one(wrong=False), min_size=1, max_size=5)
    | st.lists(one(wrong=False) | one(wrong=True), min_size=1, max_size=5)
    | st.lists(one(wrong=False) | st.sampled_from([None, 7, "x", []]), min_size=1, max_size=3),
    reasons=st.booleans(),
)
def test_a_list_is_read_as_each_of_its_transactions_is(
    *, transactions: list[Any], reasons: bool
) -> None:
    found = FORMAT.read(body({"transactions": transactions, "reasons": reasons}))
    rows = list(zip(*found.columns.values(), strict=True))
    assert list(found.columns) == list(FORMAT.columns)
    assert found.reasons == reasons
    assert not found.is_single
    assert len(found.errors) == len(transactions)
    for transaction, error in zip(transactions, found.errors, strict=True):
        if not isinstance(transaction, dict):
            assert error is not None
            continue
        alone = FORMAT.read(body(transaction))
        assert alone.is_single
        assert alone.errors == (error,)
        assert list(zip(*alone.columns.values(), strict=True)) == ([] if error else [rows.pop(0)])
    assert not rows


@pytest.mark.parametrize(
    "content", [b"{", b"[]", b'{"transactions": {}}', b'{"reasons": 1}', b"\xff"]
)
def test_what_is_no_request_is_refused(content: bytes) -> None:
    with pytest.raises(RequestError, match="no JSON object that we know"):
        FORMAT.read(content)


@pytest.mark.parametrize("content", [None, {"transaction_id": 1}])
def test_more_than_a_request_may_have_are_refused_valid_or_not(content: Any) -> None:
    with pytest.raises(RequestError, match=r"1 to 10,000 transactions, this has 10,001"):
        FORMAT.read(body({"transactions": [content] * (MAX_TRANSACTIONS + 1)}))
