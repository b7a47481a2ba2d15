"""The first payment waits for nothing that a later one does not wait for."""

import os
import subprocess
import sys
from pathlib import Path

from fraud_detect.processes import python_path

FIRST_PAYMENTS = """
import sys
from pathlib import Path
from payments import calls_of, scorer_at, small_artifact, small_simulation
from fraud_ml import journal_entries
from fraud_ml.journal_entries import Labels

def compiled():
    return {path.name for path in Path(sys.argv[1]).rglob("*.nb*")}

folder = Path(sys.argv[1])
scorer = scorer_at(f"sqlite:///{folder / 'features.db'}", small_artifact())
scorer.warm_up()
before = compiled()
simulation = small_simulation()
scorer.answer(calls_of(simulation.transactions)[:200])
labels = simulation.labels.slice(0, 100)
scorer.state.replica.apply(2, journal_entries.encode(Labels(
    labels["transaction_id"].to_pylist(),
    labels["is_fraud"].to_pylist(),
    [0] * 100,
)))
assert before
print(sorted(compiled() - before))
"""


def test_no_payment_waits_for_its_features_to_be_compiled(tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-c", FIRST_PAYMENTS, str(tmp_path)],
        env=os.environ | {"XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": python_path()},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert found.stdout == "[]\n"
