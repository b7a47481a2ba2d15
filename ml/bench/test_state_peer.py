"""The peer of the running state computes what it does: only then is the comparison fair."""

import numpy as np
from state_bench import batches_of, warm

from fraud_ml.feature_spec import HANDBOOK_SPEC
from fraud_ml.simulator import SimulatorConfig, simulate


def test_sqlite_computes_the_same_features() -> None:
    simulation = simulate(SimulatorConfig(n_customers=100, n_terminals=100, n_days=60, radius=30))
    n_known = simulation.transactions.num_rows - 1_000
    state, database = warm(simulation, n_known, HANDBOOK_SPEC)
    ours, theirs = [], []
    for batch in batches_of(simulation.transactions.slice(n_known), 32):
        ours.append(state.update(batch)[:, 3:])
        theirs += database.update(zip(*batch.values(), strict=True))
    np.testing.assert_allclose(np.concatenate(ours), theirs, rtol=1e-9)
    assert (np.array(theirs)[:, -1] > 0).any()
