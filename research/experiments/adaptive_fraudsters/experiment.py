"""What does it cost when fraudsters answer the policy that declines them?"""

from __future__ import annotations

import numpy as np

from experiments.retrained_policy import RetrainedPolicy
from experiments.robustness import WARM_UP, population, seeds
from experiments.study import Study
from experiments.sweep import Sweep, log_values
from fraud_ml.scenario import (
    Adversary,
    CompromisedCustomers,
    CompromisedTerminals,
    Labelling,
    LargeAmounts,
    Scenario,
)
from fraud_ml.simulator import SimulatedWorld

WEEKS = (1, 2, 3, 4)
DELAY = 7  # days until a label is known
DECLINED = 0.04  # of a day's payments, about as many as are fraud
WORLDS: dict[str, tuple[Adversary | None, Adversary | None]] = {
    "static": (None, None),
    "moves": (Adversary(patience=3), None),
    "asks_less": (None, Adversary(moves=False, amount_factor=0.7)),
    "both": (Adversary(patience=3), Adversary(moves=False, amount_factor=0.7)),
}
SWEEP = Sweep(
    points={f"week_{week}": str(week) for week in WEEKS},
    series={
        "missed_static": "nobody answers",
        "missed_moves": "terminals' fraudsters move",
        "missed_asks_less": "thieves ask for less",
        "missed_both": "both",
    },
    title="Fraudsters who answer a policy that declines 4 % of the payments",
    x="week since the policy began to decline",
    y="share of the frauds that pass",
)


def run(study: Study) -> None:
    """The same honest payments in each world; what the fraudsters do depends on the decisions."""
    shape = (len(WEEKS), study.parameters["n_seeds"])
    values = {f"missed_{world}": np.zeros(shape) for world in WORLDS}
    amounts = {world: np.zeros(shape[1]) for world in WORLDS}
    for number, seed in enumerate(seeds(study)):
        for world, adversaries in WORLDS.items():
            missed, amount = _missed(study, seed, *adversaries)
            values[f"missed_{world}"][:, number] = missed
            amounts[world][number] = amount
    SWEEP.finish(study, values)
    for world, of_seeds in amounts.items():
        log_values(study, f"passed_amount_{world}", of_seeds)
        if world != "static":
            mean = values[f"missed_{world}"].mean(axis=0) - values["missed_static"].mean(axis=0)
            log_values(study, f"missed_{world}_change", mean)


def _missed(
    study: Study, seed: int, at_terminals: Adversary | None, of_customers: Adversary | None
) -> tuple[list[float], float]:
    """The share of each week's frauds that pass, and what passes a day, in currency."""
    first = WARM_UP + study.parameters["train_days"]
    scenario = Scenario(
        seed=seed,
        n_days=first + 7 * len(WEEKS),
        population=population(study.parameters),
        labels=Labelling(delay_days=DELAY),
        frauds=(
            LargeAmounts(),
            CompromisedTerminals(adversary=at_terminals),
            CompromisedCustomers(adversary=of_customers),
        ),
    )
    policy = RetrainedPolicy(
        parameters=study.parameters, delay=DELAY, share=DECLINED, seed=seed, first=first
    )
    for day in SimulatedWorld(scenario).days(policy.decide):
        policy.days.append(day)
    if len(policy.declined) < len(policy.days):  # nobody asks about the last day
        policy.decide(policy.days[-1].transactions)
    fraud = [it.labels["is_fraud"].to_numpy() for it in policy.days]
    passed = [
        is_fraud & ~declined for is_fraud, declined in zip(fraud, policy.declined, strict=True)
    ]
    amount = sum(
        float(day.transactions["amount"].to_numpy()[passes].sum())
        for day, passes in zip(policy.days[first:], passed[first:], strict=True)
    )
    weeks = [range(first + 7 * at, first + 7 * at + 7) for at in range(len(WEEKS))]
    shares = [
        sum(int(passed[day].sum()) for day in week) / sum(int(fraud[day].sum()) for day in week)
        for week in weeks
    ]
    return shares, amount / (7 * len(WEEKS))
