"""The peer of the running state computes what it does: only then is the comparison fair."""

import numpy as np
from state_bench import batches_of, known_of, warm_database, warm_state

from fraud_ml.default_specs import HANDBOOK_SPEC
from fraud_ml.scenario import Population, Scenario
from fraud_ml.simulator import simulate


def test_sqlite_computes_the_same_features() -> None:
    simulation = simulate(
        Scenario(n_days=60, population=Population(n_customers=100, n_terminals=100, radius=30))
    )
    n_known = simulation.transactions.num_rows - 1_000
    known = known_of(simulation, n_known)
    state, database = warm_state(*known, HANDBOOK_SPEC).state, warm_database(*known)
    ours, theirs = [], []
    for batch in batches_of(simulation.transactions.slice(n_known), 32):
        ours.append(state.update(batch)[:, 3:])
        theirs += database.update(zip(*batch.values(), strict=True))
    np.testing.assert_allclose(np.concatenate(ours), theirs, rtol=1e-9)
    assert (np.array(theirs)[:, -1] > 0).any()
