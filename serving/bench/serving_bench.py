"""How fast payments are scored through a server: ours, and what people would write instead.

All have the same model, features and past, each a store of its own, and get the same requests.
They run at the same time, and are asked in turn. Beside them is the scorer without any server.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from contenders import CONTENDERS, OURS, SHADOWED, Contender, Ground, challenger_of
from load import Load, closed_loop, post
from workload import BULK, Workload, count_the_past, published_model, simulated

from fraud_detect.answers import ARROW, JSON
from fraud_detect.scorer import Call, Scorer
from fraud_detect.worker_settings import WorkerSettings
from tools.bench.harness import Result, say

IN_PROCESS = "in process"
MANY = 64  # connections, with one transaction a request
FEW = (2, 4, 8)  # connections, with `BULK` transactions a request: the best counts
UNITS = {
    "single_c1": "requests/s",
    "single_c1_p50": "ms",
    "single_c64": "requests/s",
    "single_c64_p99": "ms",
    "bulk_1000": "transactions/s",
    "bulk_1000_arrow": "transactions/s",
}

OF_SHADOWED = ("single_c1_p50", "single_c64", "single_c64_p99")
"""What is measured of ours with a challenger, too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """How much is measured."""

    n_customers: int = 10_000  # about 19,000 payments a day
    n_known_days: int
    warm_up: float
    """Seconds, of each server: as long as Java takes to compile what is used."""
    rounds: int
    seconds: float
    """That a measurement takes, unless the requests run out before."""
    n_warm_up: int
    """Requests of one transaction, at most."""
    n_bulks_warm_up: int
    """Requests of `BULK` transactions, at most."""
    n_alone: int
    """Requests of one transaction, a round, for one connection."""
    n_together: int
    """The same for `MANY` connections."""
    n_bulks: int
    """Requests of `BULK` transactions, a round and number of connections."""

    @property
    def n_a_round(self) -> int:
        """Transactions of a round; nobody is sent one twice."""
        return self.n_alone + self.n_together + 2 * len(FEW) * self.n_bulks * BULK

    @property
    def n_coming(self) -> int:
        """Transactions that are sent, warm-up included."""
        warm_up = self.n_warm_up + self.n_bulks_warm_up * BULK
        return warm_up + self.rounds * self.n_a_round


QUICK = Plan(
    n_customers=5_000,
    n_known_days=2,
    warm_up=2.0,
    rounds=1,
    seconds=0.5,
    n_warm_up=20_000,
    n_bulks_warm_up=30,
    n_alone=1_000,
    n_together=8_000,
    n_bulks=10,
)
FULL = Plan(
    n_known_days=10,
    warm_up=10.0,
    rounds=3,
    seconds=3.0,
    n_warm_up=80_000,
    n_bulks_warm_up=600,
    n_alone=3_000,
    n_together=30_000,
    n_bulks=60,
)

Bodies = Sequence[bytes]
Ask = Callable[[str, Bodies, int, float], Load]
"""Sends bodies of one kind (``single``, ``bulk`` or ``arrow``) over so many connections, for so
many seconds."""


@dataclass(frozen=True, slots=True)
class Payments:
    """What all are sent in a round."""

    alone: Bodies
    together: Bodies
    bulks: Sequence[Bodies]
    """For each number of `FEW`."""
    arrows: Sequence[Bodies]


def bench_serving(*, quick: bool) -> list[Result]:
    """Ours, and how many times better it is than the best peer; the scorer alone, for comparison.

    Requests a second and milliseconds are of requests with one transaction.
    """
    return measured(QUICK if quick else FULL)


def measured(plan: Plan, names: Sequence[str] = tuple(CONTENDERS)) -> list[Result]:
    """The results of ``names``: ours and peers."""
    say("payments, a model, and a store that knows the past")
    workload = _workload(plan)
    found: dict[str, dict[str, list[float]]] = {name: {} for name in (*names, IN_PROCESS)}
    with tempfile.TemporaryDirectory(prefix="b-") as folder, ExitStack() as running:
        asks, grounds = _started(names, workload, Path(folder), running)
        warm_up(asks, workload, plan)
        for number in range(plan.rounds):
            say(f"round {number + 1} of {plan.rounds}")
            payments = payments_of(workload, plan, number)
            for name, ask in asks.items():
                if name == SHADOWED:
                    values = turn_of_singles(ask, payments, plan.seconds)
                else:
                    values = turn(ask, payments, plan.seconds, arrow=name in (OURS, IN_PROCESS))
                say(f"  {name}: " + ", ".join(f"{of} {v:,.4g}" for of, v in values.items()))
                for of, value in values.items():
                    found[name].setdefault(of, []).append(value)
        if SHADOWED in grounds:
            seen = challenger_of(grounds[SHADOWED])
            say(f"the challenger scored {seen.compared:,} transactions, missed {seen.missed:,}")
    return results_of(
        {
            name: {of: statistics.median(values) for of, values in each.items()}
            for name, each in found.items()
        }
    )


def results_of(found: Mapping[str, Mapping[str, float]]) -> list[Result]:
    """Ours against the best peer, one measure after the other; then others, for comparison.

    Those are ours with a challenger against ours without one, and the scorer without a server.

    Args:
        found: of everyone, the value of each measure.
    """
    results = []
    for of, unit in UNITS.items():
        value = found[OURS][of]
        # What only we read is compared with what the peers read instead.
        peers = {
            name: values[of if of in values else "bulk_1000"]
            for name, values in found.items()
            if name not in (OURS, SHADOWED, IN_PROCESS)
        }
        peer = (min if unit == "ms" else max)(peers, key=peers.__getitem__)
        ratio = _times_better(value, peers[peer], unit)
        results.append(Result(name=of, value=value, unit=unit, peer=peer, ratio=ratio))
    for of in OF_SHADOWED if SHADOWED in found else ():
        value, unit = found[SHADOWED][of], UNITS[of]
        ratio = _times_better(value, found[OURS][of], unit)
        name = f"{of}_shadowed"
        results.append(Result(name=name, value=value, unit=unit, peer=OURS, ratio=ratio))
    results += [
        Result(name=f"{of}_floor", value=found[IN_PROCESS][of], unit=unit)
        for of, unit in UNITS.items()
    ]
    return results


def _times_better(value: float, other: float, unit: str) -> float:
    return other / value if unit == "ms" else value / other


def _workload(plan: Plan) -> Workload:
    a_day = 2 * plan.n_customers * 0.9  # at least: they pay 0 to 4 times a day
    n_days = plan.n_known_days + int(plan.n_coming / a_day) + 1
    return simulated(n_customers=plan.n_customers, n_days=n_days, n_coming=plan.n_coming)


def _started(
    names: Sequence[str], workload: Workload, folder: Path, running: ExitStack
) -> tuple[dict[str, Ask], dict[str, Ground]]:
    """Everyone, ready to be asked, until ``running`` ends; and what each stands on."""
    models = folder / "models"
    model = published_model(models)
    past = folder / "past.db"
    count_the_past(f"sqlite:///{past}", workload)
    asks: dict[str, Ask] = {}
    grounds: dict[str, Ground] = {}
    for number, name in enumerate((*names, IN_PROCESS)):
        own = folder / str(number)
        own.mkdir()
        shutil.copy(past, own / "features.db")
        ground = Ground(model, models, f"sqlite:///{own / 'features.db'}", own)
        grounds[name] = ground
        if name == IN_PROCESS:
            asks[name] = partial(_ask_scorer, _scorer(ground))
        else:
            say(f"starting {name}")
            contender = running.enter_context(CONTENDERS[name](ground))
            asks[name] = partial(_ask_server, contender)
    return asks, grounds


def _scorer(ground: Ground) -> Scorer:
    settings = WorkerSettings(model_store=str(ground.models), feature_store=ground.store)
    return settings.scorer(str(ground.model.version))


def warm_up(asks: Mapping[str, Ask], workload: Workload, plan: Plan) -> None:
    """Asks everyone for a while: Java compiles meanwhile, and caches fill."""
    singles = workload.singles(0, plan.n_warm_up)
    bulks = workload.bulks(plan.n_warm_up, plan.n_bulks_warm_up)
    for name, ask in asks.items():
        say(f"warming up {name}")
        ask("single", singles, MANY, plan.warm_up)
        if name != SHADOWED:  # which is asked for singles only
            ask("bulk", bulks, FEW[-1], plan.warm_up)


def payments_of(workload: Workload, plan: Plan, number: int) -> Payments:
    """Of the round of that number, from 0."""
    alone = plan.n_coming - (plan.rounds - number) * plan.n_a_round
    together = alone + plan.n_alone
    first = together + plan.n_together
    starts = [first + at * plan.n_bulks * BULK for at in range(2 * len(FEW))]
    return Payments(
        workload.singles(alone, plan.n_alone),
        workload.singles(together, plan.n_together),
        [workload.bulks(at, plan.n_bulks) for at in starts[: len(FEW)]],
        [workload.arrow_bulks(at, plan.n_bulks) for at in starts[len(FEW) :]],
    )


def turn(ask: Ask, payments: Payments, seconds: float, *, arrow: bool) -> dict[str, float]:
    """One round of one server: the value of each measure."""
    values = turn_of_singles(ask, payments, seconds)
    values["bulk_1000"] = _best(ask, "bulk", payments.bulks, seconds)
    if arrow:
        values["bulk_1000_arrow"] = _best(ask, "arrow", payments.arrows, seconds)
    return values


def turn_of_singles(ask: Ask, payments: Payments, seconds: float) -> dict[str, float]:
    """The same, of requests with one transaction."""
    alone = ask("single", payments.alone, 1, seconds)
    together = ask("single", payments.together, MANY, seconds)
    return {
        "single_c1": alone.rate,
        "single_c1_p50": alone.milliseconds(0.5),
        "single_c64": together.rate,
        "single_c64_p99": together.milliseconds(0.99),
    }


def _best(ask: Ask, kind: str, bulks: Sequence[Bodies], seconds: float) -> float:
    """Transactions a second, with the number of connections that gives most."""
    loads = [ask(kind, bodies, n, seconds) for bodies, n in zip(bulks, FEW, strict=True)]
    return BULK * max(load.rate for load in loads)


def _ask_server(
    contender: Contender, kind: str, bodies: Bodies, connections: int, seconds: float
) -> Load:
    path = contender.single if kind == "single" else contender.bulk
    content_type = ARROW if kind == "arrow" else JSON
    requests = [post(path, body, content_type) for body in bodies]
    return closed_loop(contender.port, requests, connections=connections, seconds=seconds)


def _ask_scorer(
    scorer: Scorer, kind: str, bodies: Bodies, connections: int, seconds: float
) -> Load:
    """As many requests at a time as a server could hand over at once."""
    content_type = ARROW if kind == "arrow" else JSON
    at_once = connections if kind == "single" else 1
    latencies: list[float] = []
    started = now = time.perf_counter()
    for start in range(0, len(bodies), at_once):
        if now - started >= seconds:
            break
        calls = [Call(body, content_type) for body in bodies[start : start + at_once]]
        before = time.perf_counter()
        answers = scorer.answer(calls)
        now = time.perf_counter()
        assert all(answer.status == 200 for answer in answers)  # noqa: S101
        latencies += [now - before] * len(calls)
    return Load(np.array(latencies), now - started)
