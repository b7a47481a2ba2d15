"""The peers of the benchmark compute what we compute: only then is the comparison fair."""

import numpy as np
import pytest
from feature_bench import PEERS, WINDOWS, check_equal, ours

from fraud_ml.simulator import Simulation, SimulatorConfig, simulate


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return simulate(SimulatorConfig(n_customers=100, n_terminals=100, n_days=50, radius=30))


@pytest.mark.parametrize("peer", PEERS)
def test_a_peer_computes_the_same_features(peer: str, simulation: Simulation) -> None:
    payments = simulation.transactions.append_column("is_fraud", simulation.labels["is_fraud"])
    theirs = PEERS[peer](payments)()
    check_equal(peer, simulation, theirs)
    assert (theirs["terminal_fraud_rate_30d"] > 0).any()


def test_a_peer_that_computes_something_else_is_refused(simulation: Simulation) -> None:
    theirs = {name: ours(simulation)[name].to_numpy() for name in WINDOWS.names}
    check_equal("we", simulation, theirs)
    theirs["customer_count_7d"] = theirs["customer_count_7d"] + np.ones(
        len(theirs["customer_count_7d"])
    )
    with pytest.raises(AssertionError, match="customer_count_7d"):
        check_equal("it", simulation, theirs)
