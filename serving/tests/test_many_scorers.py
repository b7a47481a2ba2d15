"""Scorers that share a journal are one, whatever becomes of each and in whatever order."""

from __future__ import annotations

from random import Random

import numpy as np
import pyarrow as pa
import pytest
from history import columns_of
from payments import SPEC, rows_of, small_simulation, state_at

from data_connector import open_journal
from fraud_detect.online_state import OnlineState
from fraud_detect.snapshots import Snapshots
from fraud_ml import journal_entries
from fraud_ml.features import compute_features, feature_matrix
from fraud_ml.journal_entries import Labels

SIMULATION = small_simulation()
PAYMENTS = SIMULATION.transactions
ROWS = rows_of(PAYMENTS)
LABELS = SIMULATION.labels


class Service:
    """Three states on one journal, which is trimmed as the snapshots allow."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._states: list[OnlineState] = [state_at(url) for _ in range(3)]
        self._snapshots = Snapshots(url, SPEC)
        self.found: dict[int, np.ndarray] = {}

    def count(self, random: Random, start: int, stop: int) -> None:
        """Counts new rows, and some again, in one batch, by whichever state."""
        again = random.sample(range(start), k=min(start, random.choice([0, 0, 1, 3])))
        numbers = [*range(start, stop), *again, *random.choices(range(start, stop), k=1)]
        random.shuffle(numbers)
        numbers.sort(key=lambda number: number >= start and number)  # new ones in their order
        features = random.choice(self._states).count(columns_of([ROWS[n] for n in numbers]))
        assert not features.degraded
        for number, row in zip(numbers, features.rows, strict=True):
            before = self.found.setdefault(number, row)
            np.testing.assert_array_equal(row, before)  # what was said stays so

    def label(self, start: int, stop: int) -> None:
        """Says the labels of rows; each counts from its own time on."""
        some = LABELS.slice(start, stop - start)
        entry = Labels(
            some["transaction_id"].to_pylist(),
            some["is_fraud"].to_pylist(),
            some["labelled_at"].cast(pa.int64()).to_pylist(),
        )
        with open_journal(self._url) as journal:
            journal.append(journal_entries.encode(entry), after=journal.last())

    def restart(self, random: Random) -> None:
        """One state is gone, and another in its place."""
        self._states[random.randrange(3)] = state_at(self._url)

    def save(self, random: Random) -> None:
        """Saves one of the states that are up to date, and trims up to anywhere before it."""
        state = random.choice(self._states)
        state.catch_up()
        self._snapshots.save(state.replica)
        with open_journal(self._url) as journal:
            journal.trim(random.randint(0, state.replica.position))


@pytest.mark.parametrize("seed", range(12))
def test_features_are_the_batch_engines_on_what_was_accepted(tmp_path, seed) -> None:
    random = Random(seed)
    service = Service(f"sqlite:///{tmp_path / 'features.db'}")
    done = 0
    while done < 250:
        n = random.choice([1, 1, 2, 5, 20])
        service.count(random, done, done + n)
        service.label(done, done + n)
        done += n
        for step in (service.restart, service.save):
            if random.random() < 0.2:
                step(random)
    some = PAYMENTS.slice(0, done)
    expected = feature_matrix(
        compute_features(some, LABELS.slice(0, done), SPEC, arrival_order=True)
    )
    found = np.array([service.found[number] for number in range(done)], dtype=np.float32)
    np.testing.assert_allclose(found, expected, atol=1e-6, rtol=1e-6)
    assert len(np.unique(expected, axis=0)) > 100
