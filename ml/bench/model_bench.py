"""How fast the model trains and scores: against LightGBM on the same rows and features."""

from __future__ import annotations

import datetime as dt
import os
import time
from collections.abc import Callable

import lightgbm
import numpy as np
import numpy.typing as npt
import torch

from fraud_ml.attribution import Attributor
from fraud_ml.default_specs import DEFAULT_SPEC
from fraud_ml.export import to_onnx
from fraud_ml.fast_net import FastNet
from fraud_ml.features import compute_features, feature_matrix
from fraud_ml.model import FraudNet
from fraud_ml.scenario import Population, Scenario
from fraud_ml.simulator import simulate
from fraud_ml.splits import prequential_split
from fraud_ml.training import train_model
from tools.bench.harness import Result, in_turn, say

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # it would report to its maker
import onnxruntime

TREES = {"objective": "binary", "num_leaves": 31, "num_threads": 2, "verbose": -1}  # its defaults
SCORED_ROWS = 4_096


def bench_model(*, quick: bool) -> list[Result]:
    """Seconds to train on a week of payments, and rows scored a second by size of batch."""
    simulation = simulate(
        Scenario(n_days=140, population=Population(n_customers=1_000)) if quick else Scenario()
    )
    features = compute_features(simulation.transactions, simulation.labels, DEFAULT_SPEC)
    split = prequential_split(
        simulation.transactions, simulation.labels, train_start=dt.date(2018, 7, 25)
    )
    x = feature_matrix(features.take(split.train))
    y = simulation.labels["is_fraud"].to_numpy()[split.train]
    customers = simulation.transactions["customer_id"].to_numpy()[split.train]
    say(f"training on {len(x):,} transactions")
    started = time.perf_counter()
    net = train_model(x, y, customers=customers, feature_names=DEFAULT_SPEC.names).net
    ours = time.perf_counter() - started
    started = time.perf_counter()
    trees = lightgbm.train(TREES, lightgbm.Dataset(x, y), num_boost_round=100)
    peer = time.perf_counter() - started
    trained = Result(
        name="train_handbook_week", value=ours, unit="s", peer="lightgbm", ratio=peer / ours
    )
    rounds = 3 if quick else 9
    return [trained, *_scoring(net, trees, x, rounds=rounds), _explaining(net, x, rounds=rounds)]


def _scoring(
    net: FraudNet, trees: lightgbm.Booster, x: npt.NDArray[np.float32], *, rounds: int
) -> list[Result]:
    """Rows scored a second, against the trees: as we score, and in torch and in ONNX Runtime."""
    results = []
    threads = torch.get_num_threads()
    for batch in (1, 32, 4_096):
        n_threads = 1 if batch < 1_000 else threads  # small work waits for threads
        torch.set_num_threads(n_threads)
        n_batches = max(1, min(1_000, SCORED_ROWS // batch))
        batches = [x[i * batch % len(x) :][:batch] for i in range(n_batches)]
        say(f"scoring {n_batches} batches of {batch}")
        seconds = in_turn(
            {
                "ours": _each(batches, FastNet(net.tables(), threads=n_threads).score),
                "torch": _each(batches, _in_torch(net)),
                "onnx": _each(batches, _in_onnx_runtime(net, n_threads)),
                "lightgbm": _each(batches, _theirs(trees, n_threads)),
            },
            rounds=rounds,
        )
        results += [
            Result(
                name=f"score_{name}batch{batch}",
                value=n_batches * batch / seconds[engine],
                unit="rows/s",
                peer="lightgbm",
                ratio=seconds["lightgbm"] / seconds[engine],
            )
            for name, engine in (("", "ours"), ("torch_", "torch"), ("onnx_", "onnx"))
        ]
    torch.set_num_threads(threads)
    return results


def _explaining(net: FraudNet, x: npt.NDArray[np.float32], *, rounds: int) -> Result:
    """What the reasons of a score cost, in forward passes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    attributor = Attributor(net)
    rows = [row[None] for row in x[:1_000]]
    say(f"explaining {len(rows)} scores, one by one")
    seconds = in_turn(
        {
            "score": _each(rows, _in_torch(net)),
            "explain": _each(rows, lambda row: attributor.attribute(torch.from_numpy(row))),
        },
        rounds=rounds,
    )
    torch.set_num_threads(threads)
    passes = seconds["explain"] / seconds["score"]
    return Result(name="explain_batch1", value=passes, unit="forward passes")


def _each(
    batches: list[npt.NDArray[np.float32]], score: Callable[[npt.NDArray[np.float32]], object]
) -> Callable[[], None]:
    def run() -> None:
        for batch in batches:
            score(batch)

    return run


def _in_torch(net: FraudNet) -> Callable[[npt.NDArray[np.float32]], object]:
    return lambda rows: net.score(torch.from_numpy(rows))


def _in_onnx_runtime(net: FraudNet, n_threads: int) -> Callable[[npt.NDArray[np.float32]], object]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    content = to_onnx(net)
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda rows: session.run(None, {"features": rows})


def _theirs(trees: lightgbm.Booster, n_threads: int) -> Callable[[npt.NDArray[np.float32]], object]:
    return lambda rows: trees.predict(rows, num_threads=n_threads)
