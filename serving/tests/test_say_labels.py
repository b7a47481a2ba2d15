"""Labels reach the state of all workers, once."""

import numpy as np
import pyarrow as pa
import pytest
from payments import (
    SPEC,
    calls_of,
    scorer_at,
    scores_of,
    small_artifact,
    small_simulation,
    state_at,
)

from data_connector import open_journal
from fraud_detect.say_labels import say_labels
from fraud_ml.errors import DataError

SIMULATION = small_simulation()
PAYMENTS = SIMULATION.transactions
HALF = PAYMENTS.num_rows // 2


def test_labels_change_later_scores_and_saying_them_again_changes_nothing(tmp_path) -> None:
    url = f"sqlite:///{tmp_path / 'features.db'}"
    artifact = small_artifact()
    calls = calls_of(PAYMENTS)
    scorer = scorer_at(url, artifact)
    scorer.answer(calls[:HALF])
    with open_journal(url) as journal:
        assert say_labels(journal, SIMULATION.labels.slice(0, HALF)) == HALF
        before = state_at(url)
        before.catch_up()
        say_labels(journal, SIMULATION.labels.slice(0, HALF))
    after = state_at(url)
    assert after.replica.state.to_bytes() == before.replica.state.to_bytes()
    told = scores_of(scorer.answer(calls[HALF:]))
    ignorant = scores_of(scorer_at(f"{url}.other", artifact).answer(calls)[HALF:])
    assert np.abs(told - ignorant).max() > 1e-6


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (pa.table({"transaction_id": [1]}), "lack is_fraud, labelled_at"),
        (
            pa.table(
                {
                    "transaction_id": [1],
                    "is_fraud": [True],
                    "labelled_at": pa.array([0], pa.timestamp("us")),
                }
            ),
            "zone",
        ),
    ],
)
def test_what_are_no_labels_is_said(tmp_path, labels, message) -> None:
    with open_journal(f"sqlite:///{tmp_path / 'features.db'}") as journal:
        with pytest.raises(DataError, match=message):
            say_labels(journal, labels)
        assert journal.last() == 0


def test_the_spec_of_the_small_model_looks_at_labels() -> None:
    assert any("fraud_rate" in name for name in SPEC.names)
