"""What a worker is sent is read as TorchServe reads it, however it is cut."""

from __future__ import annotations

import socket
import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

with warnings.catch_warnings(action="ignore", category=ResourceWarning):
    import ts.protocol.otf_message_handler as codec  # leaves a file open

    from fraud_detect.torchserve_codec import read_in_large_pieces

THEIRS = (codec._retrieve_buffer, codec._retrieve_inference_msg)
SECONDS = 20

texts = st.text(max_size=10).map(str.encode)
bodies = st.one_of(st.binary(max_size=50), st.integers(0, 70_000).map(bytes))
requests = st.tuples(
    st.uuids().map(lambda number: str(number).encode()),
    st.lists(st.tuples(texts, texts), max_size=3),
    st.lists(st.tuples(texts, st.sampled_from([b"", b"application/json"]), bodies), max_size=2),
)


def field(content: bytes) -> bytes:
    return struct.pack("!i", len(content)) + content


def message(batch: list[tuple[bytes, Any, Any]]) -> bytes:
    """As the frontend sends a batch."""
    end = struct.pack("!i", -1)
    parts = [codec.PREDICT_MSG]
    for name, *lists in batch:
        parts.append(field(name))
        for each in lists:
            parts += [*(field(content) for row in each for content in row), end]
    return b"".join([*parts, end])


@contextmanager
def ours(begun: Callable[[], None], answered: Callable[[], None]) -> Iterator[None]:
    read_in_large_pieces(begun=begun, answered=answered)
    try:
        yield
    finally:
        codec._retrieve_buffer, codec._retrieve_inference_msg = THEIRS


def received(pieces: list[bytes], *, times: int) -> list[Any]:
    """What the worker makes of what comes in these pieces."""
    here, there = socket.socketpair()

    def send() -> None:
        for piece in pieces:
            there.sendall(piece)

    with here, there:
        here.settimeout(SECONDS)
        sender = threading.Thread(target=send)
        sender.start()
        try:
            return [codec.retrieve_msg(here) for _ in range(times)]
        finally:
            sender.join(SECONDS)


@given(
    batches=st.lists(st.lists(requests, max_size=3), min_size=1, max_size=3),
    cuts=st.lists(st.floats(0, 1), max_size=5),
)
def test_however_it_is_cut_it_is_what_torchserve_reads(batches, cuts) -> None:
    sent = b"".join(map(message, batches))
    places = sorted({0, len(sent), *(int(cut * len(sent)) for cut in cuts)})
    pieces = [sent[start:stop] for start, stop in pairwise(places)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TS_DECODE_INPUT_REQUEST", "false")
        expected = received(pieces, times=len(batches))
    with ours(lambda: None, lambda: None):
        assert received(pieces, times=len(batches)) == expected


def test_it_is_seen_when_work_begins_and_when_all_is_answered() -> None:
    batch = message([(b"id", [], [(b"body", b"", b"{}")])])
    seen: list[str] = []
    here, there = socket.socketpair()
    with here, there, ours(lambda: seen.append("begun"), lambda: seen.append("answered")):
        here.settimeout(SECONDS)
        there.sendall(batch + batch)
        codec.retrieve_msg(here)
        assert seen == ["answered", "begun"]  # the first: to what came before
        codec.retrieve_msg(here)
        assert seen == ["answered", "begun"]  # it was there already
        there.sendall(batch)
        codec.retrieve_msg(here)
        assert seen == ["answered", "begun"] * 2


def test_a_worker_ends_with_its_frontend() -> None:
    here, there = socket.socketpair()
    with here, ours(lambda: None, lambda: None):
        with there:
            there.sendall(message([(b"id", [], [])])[:-2])
        with pytest.raises(SystemExit) as ended:
            codec.retrieve_msg(here)
    assert ended.value.code == 0


def test_another_connection_has_nothing_of_the_one_before() -> None:
    with ours(lambda: None, lambda: None):
        assert received([message([(b"one", [], [])]) + b"rest"], times=1)[0][1]
        ((_, batch),) = received([message([(b"two", [], [])])], times=1)
    assert [request["requestId"] for request in batch] == [b"two"]


def test_of_another_torchserve_nothing_is_replaced(monkeypatch) -> None:
    monkeypatch.setattr("fraud_detect.torchserve_codec.__version__", "0.13.0")
    read_in_large_pieces(begun=lambda: None, answered=lambda: None)
    assert (codec._retrieve_buffer, codec._retrieve_inference_msg) == THEIRS
