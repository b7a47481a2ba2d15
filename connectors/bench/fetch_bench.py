"""How fast a table comes out of a database as Arrow, and in how much memory: ours and others'."""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import fetch_peers
import numpy as np
import pyarrow as pa
from fetch_peers import OURS, PEERS, TABLE, UTC

import data_connector as dc
from tools.bench.harness import Result, say
from tools.servers.postgresql import postgresql_running

FIRST_MICROSECOND = 1_522_540_800_000_000  # 2018-04-01, in UTC


def bench_fetch(*, quick: bool) -> list[Result]:
    """Our rows a second and megabytes, and how many times better those are than the best peer's.

    Each fetch runs in a process of its own, whose imports and first fetch do not count. Memory is
    what it takes to go over all rows once, batch by batch where the contender can.
    """
    n_rows = 500_000 if quick else 5_000_000
    rows = transactions(n_rows)
    with tempfile.TemporaryDirectory() as folder:
        sqlite = f"sqlite:///{Path(folder) / 'transactions.db'}"
        with postgresql_running("password", port=_free_port()) as server:
            results = []
            for url in (server.url.render_as_string(hide_password=False), sqlite):
                dc.load(rows, url, table=TABLE)
                results += _measured(url, n_rows, rounds=2 if quick else 5)
            return results


def transactions(n_rows: int) -> pa.Table:
    """Payments of two years as they come, the same ones every time."""
    rng = np.random.default_rng(0)
    offsets = np.sort(rng.integers(0, 730 * 86_400 * 1_000_000, n_rows))
    return pa.table(
        {
            "transaction_id": np.arange(n_rows),
            "timestamp": pa.array(FIRST_MICROSECOND + offsets).cast(UTC),
            "customer_id": rng.integers(0, 10_000, n_rows),
            "terminal_id": rng.integers(0, 10_000, n_rows),
            "amount": np.round(rng.gamma(2, 30, n_rows), 2),
        }
    )


def _measured(url: str, n_rows: int, *, rounds: int) -> list[Result]:
    database = url.partition(":")[0]
    names = PEERS[database]
    say(f"fetching {n_rows:,} rows from {database}")
    taken: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            taken[name].append(_child(name, url))
    seconds = {name: statistics.median(each) for name, each in taken.items()}
    megabytes = {name: _child(name, url, "--stream") for name in names}
    for name in names:
        say(f"  {name}: {n_rows / seconds[name]:,.0f} rows/s, {megabytes[name]:,.0f} MB")
    return [
        _result(f"fetch_{database}", n_rows / seconds[OURS], "rows/s", seconds),
        _result(f"fetch_{database}_memory", megabytes[OURS], "MB", megabytes),
    ]


def _result(name: str, value: float, unit: str, costs: dict[str, float]) -> Result:
    peer = min((other for other in costs if other != OURS), key=costs.__getitem__)
    return Result(name=name, value=value, unit=unit, peer=peer, ratio=costs[peer] / costs[OURS])


def _child(name: str, url: str, *options: str) -> float:
    run = subprocess.run(
        [sys.executable, fetch_peers.__file__, name, url, *options],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        raise RuntimeError(f"{name} failed:\n{run.stderr}")
    return float(run.stdout)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
