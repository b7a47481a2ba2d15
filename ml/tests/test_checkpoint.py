"""A training that is killed goes on where it was, to the same weights."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from fraud_ml.errors import DataError
from fraud_ml.model import ModelConfig
from fraud_ml.training import TrainingConfig, train_model

torch.set_num_threads(1)


def train(checkpoint, *, seed=0, on_epoch=None):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(400, 2)).astype(np.float32)
    return train_model(
        features,
        features[:, 0] > 1,
        customers=rng.integers(0, 40, 400),
        feature_names=("a", "b"),
        model_config=ModelConfig(n_groups=2, n_members=2, embedding=2, width=8),
        training_config=TrainingConfig(max_epochs=5, patience=5, min_batches=8),
        seed=seed,
        on_epoch=on_epoch,
        checkpoint=checkpoint,
    )


def die_after(number):
    def on_epoch(epoch):
        if epoch.number == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return on_epoch


def killed_training(path, number):
    """The training of this test, in a process of its own that is killed after an epoch."""
    arguments = f"t.Path({str(path)!r}), on_epoch=t.die_after({number})"
    code = f"import test_checkpoint as t; t.train({arguments})"
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": paths})
    assert done.returncode == -signal.SIGKILL


def test_a_killed_training_ends_with_the_weights_it_would_have_had(tmp_path):
    path = tmp_path / "training.pt"
    killed_training(path, 3)
    assert path.exists()
    seen = []
    resumed, whole = train(path, on_epoch=seen.append), train(None)
    assert resumed.epochs == whole.epochs == tuple(seen)
    for name, tensor in whole.net.state_dict().items():
        assert torch.equal(resumed.net.state_dict()[name], tensor), name
    np.testing.assert_array_equal(resumed.out_of_fold_scores, whole.out_of_fold_scores)
    assert list(tmp_path.iterdir()) == []  # a finished training needs none


def test_a_resumed_training_does_not_repeat_what_was_done(tmp_path):
    path = tmp_path / "training.pt"
    killed_training(path, 5)
    before = path.stat().st_mtime_ns
    kept = []
    train(path, on_epoch=lambda _: kept.append(path.stat().st_mtime_ns))
    assert kept == [before] * 5  # reported, but neither trained nor saved again


def test_the_checkpoint_of_another_training_is_refused(tmp_path):
    path = tmp_path / "training.pt"
    killed_training(path, 1)
    with pytest.raises(DataError, match="of another training .* remove it to start anew"):
        train(path, seed=1)
    assert path.exists()


@pytest.mark.parametrize("damage", [b"", b"not a checkpoint"])
def test_a_damaged_checkpoint_is_refused(tmp_path, damage):
    path = tmp_path / "training.pt"
    path.write_bytes(damage)
    with pytest.raises(DataError, match="no checkpoint, or damaged"):
        train(path)


def test_a_cut_off_checkpoint_is_refused(tmp_path):
    path = tmp_path / "training.pt"
    killed_training(path, 1)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="no checkpoint, or damaged"):
        train(path)
