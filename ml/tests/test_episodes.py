import itertools

import numpy as np
import pytest

from fraud_ml._episodes import Episodes, Evidence, Rows, chance_in_episode

DAY = 86_400
N_DAYS, N_KEYS = 7, 2
EPISODES = Episodes(rate=0.2, days=3)


def history(seed, label_delay):
    """Rows of two keys, with evidence that no beginning of episodes contradicts."""
    rng = np.random.default_rng(seed)
    n = 40
    second = np.sort(rng.integers(0, N_DAYS * DAY, n))
    second[10:12] = second[10]  # a tie
    second.sort()
    key = rng.integers(0, N_KEYS, n)
    begins = rng.random((N_KEYS, N_DAYS)) < EPISODES.rate
    inside = np.array([is_inside(begins[k], s // DAY) for k, s in zip(key, second, strict=True)])
    certain = rng.random(n) < 0.2
    labelled = np.where(certain, np.where(inside, np.inf, -np.inf), rng.normal(0, 1, n))
    rows = Rows(second=second, key=key, n_keys=N_KEYS, n_days=N_DAYS, label_delay=label_delay)
    return rows, Evidence(early=rng.normal(0, 1, n), labelled=labelled)


def is_inside(begins, day):
    return any(begins[max(0, day - EPISODES.days + 1) : day + 1])


def weight(log_ratio, inside):
    if np.isinf(log_ratio):
        return float((log_ratio > 0) == inside)
    return np.exp(log_ratio) if inside else 1.0


def enumerated_chance(rows, evidence, row):
    """Bayes' rule over every possible set of days on which episodes begin."""
    total = {True: 0.0, False: 0.0}
    for begins in itertools.product([False, True], repeat=N_DAYS):
        chance = np.prod([EPISODES.rate if b else 1 - EPISODES.rate for b in begins])
        for past in range(row):
            if rows.key[past] == rows.key[row]:
                known = rows.second[past] + rows.label_delay <= rows.second[row]
                log_ratio = evidence.labelled[past] if known else evidence.early[past]
                chance *= weight(log_ratio, is_inside(begins, rows.second[past] // DAY))
        total[is_inside(begins, rows.second[row] // DAY)] += chance
    return total[True] / (total[True] + total[False])


@pytest.mark.parametrize("label_delay", [0, DAY // 3, DAY, 2 * DAY, 2 * DAY + 5000, 30 * DAY])
@pytest.mark.parametrize("seed", range(4))
def test_the_chance_is_bayes_rule_over_every_way_that_episodes_may_begin(seed, label_delay):
    rows, evidence = history(seed, label_delay)
    chance = chance_in_episode(rows, evidence, EPISODES)
    expected = [enumerated_chance(rows, evidence, row) for row in range(len(chance))]
    np.testing.assert_allclose(chance, expected, atol=1e-12)


def test_overwhelming_evidence_stays_a_probability():
    rows, _ = history(0, DAY)
    for sign in (-1, 1):
        strong = np.full(len(rows.key), sign * 200.0)
        chance = chance_in_episode(rows, Evidence(early=strong, labelled=strong), EPISODES)
        assert ((chance >= 0) & (chance <= 1)).all()
