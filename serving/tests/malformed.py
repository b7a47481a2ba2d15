"""Requests that are wrong in many ways: for tests, and 100,000 of them through a real server.

./bazelw run //serving/tests:malformed -- --count 100000
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import psutil
import pyarrow as pa
from payments import rows_of, small_simulation
from server import running_server

from fraud_detect.answers import ARROW, JSON

PAYMENTS = small_simulation(n_days=2).transactions.slice(0, 60)
ROWS = rows_of(PAYMENTS)

_VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1.5, 2**31, 2**63 - 1, 2**63, -(2**63), 10**400, 1e308, -0.0),
    *("", "x" * 257, "x" * 100_000, "\0", "\ud800", "é" * 256, "NaN", "2026-02-30T00:00:00Z"),
    *("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", [], {}, [[]], {"a": 1}),
]
_SPELLINGS = [
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"1e999",
    b"9" * 5_000,
    b"0x1",
    b"01",
    b"1.",
    b"'a'",
]


def stream(table: pa.Table, compression: str | None = None) -> bytes:
    """``table`` as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _wrong_value(random: Random) -> bytes:
    row = dict(random.choice(ROWS))
    name = random.choice([*row, "unknown"])
    row[name] = random.choice(_VALUES)
    if random.random() < 0.3:
        row.pop(random.choice(list(row)))
    return json.dumps(row).encode()


def _wrong_spelling(random: Random) -> bytes:
    row = random.choice(ROWS)
    name = random.choice(list(row))
    text = json.dumps(row | {name: "HERE"}).encode()
    return text.replace(b'"HERE"', random.choice(_SPELLINGS))


def _list(random: Random) -> bytes:
    n = random.choice([0, 1, 2, 2, 3, 3, 10_001])
    some = ["0", "{}", "[]", "null", '"a"', json.dumps(ROWS[0])]
    parts = ",".join(random.choice(some) for _ in range(n))
    reasons = random.choice(["1", "true"])
    return f'{{"transactions": [{parts}], "reasons": {reasons}}}'.encode()


def _deep(random: Random) -> bytes:
    depth = random.choice([10, 1_000, 20_000])
    start, end = random.choice([(b"[", b"]"), (b'{"a":', b"}")])
    inner = start * depth + random.choice([b"1", b"", end * depth])
    return random.choice([b"%b", b'{"transactions":[%b]}', b'{"customer_id":%b}']) % inner


def _cut_or_flipped(random: Random, content: bytes) -> bytes:
    if random.random() < 0.3:
        return content[: random.randrange(len(content))]
    changed = bytearray(content)
    for _ in range(random.choice([1, 1, 2, 8])):
        changed[random.randrange(len(changed))] = random.choice([0, 1, 0x7F, 0x80, 0xFF, 0x22])
    return bytes(changed)


def _bytes(random: Random) -> bytes:
    text = json.dumps(random.choice(ROWS))
    return random.choice(
        [
            random.randbytes(random.randrange(200)),
            text.encode("utf-16"),
            text.encode("utf-32"),
            b"\xef\xbb\xbf" + text.encode(),
            gzip.compress(text.encode()),
            text.encode() * 2,
            text.encode() + b"\0",
            _cut_or_flipped(random, text.encode()),
        ]
    )


_STREAMS = [
    stream(PAYMENTS),
    stream(PAYMENTS.set_column(2, "customer_id", PAYMENTS[2].dictionary_encode())),
    stream(PAYMENTS, "zstd"),
    stream(PAYMENTS.drop_columns("amount")),
    stream(PAYMENTS.slice(0, 0)),
]


def _arrow(random: Random) -> bytes:
    return _cut_or_flipped(random, random.choice(_STREAMS))


_KINDS: list[tuple[Callable[[Random], bytes], str]] = [
    *((make, JSON) for make in (_wrong_value, _wrong_value, _wrong_spelling, _list, _deep, _bytes)),
    *((make, ARROW) for make in (_arrow, _arrow, _wrong_value)),
]


def malformed(count: int, *, seed: int = 0) -> Iterator[tuple[bytes, str]]:
    """Bodies and their content types; some are right after all."""
    random = Random(seed)
    for _ in range(count):
        make, content_type = random.choice(_KINDS)
        yield make(random), content_type


def memory() -> dict[int, int]:
    """Bytes that each process of the server has, by its id."""
    return {
        process.pid: process.memory_info().rss
        for process in psutil.Process().children(recursive=True)
    }


def bombard(port: int, requests: Iterator[tuple[bytes, str]]) -> Counter[int]:
    """Sends all through one connection; how many got which status.

    Raises:
        AssertionError: one got 5xx, or no reason.
    """
    statuses: Counter[int] = Counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for body, content_type in requests:
        connection.request("POST", "/predictions/fraud", body, {"Content-Type": content_type})
        reply = connection.getresponse()
        answer = reply.read()
        statuses[reply.status] += 1
        assert reply.status < 500, (reply.status, answer[:200], content_type, body[:200])
        assert reply.status == 200 or json.loads(answer)["error"], (answer[:200], body[:200])
    connection.close()
    return statuses


def main() -> None:
    """Sends them, and says what became of the server."""
    parser = argparse.ArgumentParser(prog="malformed", description=__doc__)
    parser.add_argument("--count", type=int, default=100_000, help="default: 100000")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running_server(Path(folder)) as server:
        port = server.ports.inference
        bombard(port, malformed(2_000, seed=given.seed + 1))  # until all is loaded
        before, begun = memory(), time.monotonic()
        statuses = bombard(port, malformed(given.count, seed=given.seed))
        after, seconds = memory(), time.monotonic() - begun
    assert after.keys() == before.keys(), "a process died"
    grown = {pid: (before[pid] >> 20, after[pid] >> 20) for pid in before}
    sys.stdout.write(f"{given.count:,} in {seconds:.0f} s: {dict(statuses)}; MiB {grown}\n")


if __name__ == "__main__":
    main()
