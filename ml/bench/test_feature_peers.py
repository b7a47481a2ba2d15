"""The peers of the benchmark compute what we compute: only then is the comparison fair."""

import numpy as np
import pytest
from feature_bench import CONTESTS, Contest, check_equal, ours, with_labels

from fraud_ml.scenario import Population, Scenario
from fraud_ml.simulator import Simulation, simulate


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return simulate(
        Scenario(n_days=50, population=Population(n_customers=100, n_terminals=100, radius=30))
    )


@pytest.mark.parametrize("contest", CONTESTS, ids=lambda contest: contest.name)
def test_a_peer_computes_the_same_features(contest: Contest, simulation: Simulation) -> None:
    theirs = contest.prepare(with_labels(simulation))()
    check_equal(contest, simulation, theirs)
    for name in contest.spec.names:
        assert len(np.unique(theirs[name])) > 1, name


@pytest.mark.parametrize("contest", CONTESTS, ids=lambda contest: contest.name)
def test_a_peer_that_computes_something_else_is_refused(
    contest: Contest, simulation: Simulation
) -> None:
    computed = ours(simulation, contest.spec)
    theirs = {name: computed[name].to_numpy() for name in contest.spec.names}
    check_equal(contest, simulation, theirs)
    for wrong in (theirs["customer_count_7d"] + 1, theirs["customer_count_7d"] * np.nan):
        with pytest.raises(AssertionError, match="customer_count_7d"):
            check_equal(contest, simulation, theirs | {"customer_count_7d": wrong})
