"""Three processes train one model: each gets the same, and it is as good as that of one."""

import signal

import numpy as np
import pytest
import torch
import torch.distributed as dist
from together import result, run_together, sample, train

from fraud_ml.bootstrap import bootstrap_interval
from fraud_ml.metrics import average_precision


@pytest.fixture(scope="module")
def of_three(tmp_path_factory):
    """What each of three processes got, by training."""
    folder = tmp_path_factory.mktemp("of_three")
    codes, found = run_together("several", folder)
    assert codes == [0, 0, 0]
    left = {path.name for path in folder.iterdir() if "kept" in path.name}
    assert left == set()  # a finished training needs no checkpoint
    return found


def assert_same(one, other):
    assert one["epochs"] == other["epochs"]
    assert torch.equal(one["scores"], other["scores"])
    assert one["weights"].keys() == other["weights"].keys()
    for name, tensor in one["weights"].items():
        assert torch.equal(tensor, other["weights"][name]), name


def test_a_group_of_one_trains_as_one_process_does_to_the_last_bit(tmp_path):
    alone = train()
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        assert_same(result(train(dist.group.WORLD)), result(alone))
    finally:
        dist.destroy_process_group()


def test_all_processes_get_the_same_model(of_three):
    for name in ("first", "other seed", "no dropout", "kept"):
        for other in of_three[1:]:
            assert_same(of_three[0][name], other[name])


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(of_three):
    assert_same(of_three[0]["first"], of_three[0]["kept"])
    scores, others = of_three[0]["first"]["scores"], of_three[0]["other seed"]["scores"]
    assert not torch.equal(scores, others)


def test_without_dropout_the_gradients_are_those_of_one_process(of_three):
    alone, together = result(train(dropout=0.0)), of_three[0]["no dropout"]
    losses = np.array([[epoch[1] for epoch in it["epochs"]] for it in (alone, together)])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-3)
    for name, tensor in alone["weights"].items():
        torch.testing.assert_close(tensor, together["weights"][name], rtol=0.02, atol=0.02)


def test_processes_drop_out_other_units_than_each_other(of_three):
    alone, together = result(train()), of_three[0]["first"]
    assert together["epochs"][0][1] != pytest.approx(alone["epochs"][0][1], rel=1e-4)


def test_it_is_as_good_as_one_process(of_three):
    _, is_fraud, customers = sample()
    alone, together = train().out_of_fold_scores, of_three[0]["first"]["scores"].numpy()
    interval = bootstrap_interval(
        lambda row, _: average_precision(is_fraud[row], alone[row]), customers, n_resamples=200
    )
    assert interval.low < average_precision(is_fraud, together) < interval.high
    assert interval.low > 3 * is_fraud.mean()  # and both have learned


def test_what_is_wrong_with_a_checkpoint_is_told_to_all_processes(of_three):
    for found in of_three:
        assert "(other rows, settings, seed, number of processes or" in found["of one process"]
        assert "no checkpoint, or damaged" in found["damaged"]


def test_killed_processes_go_on_to_the_model_they_would_have_had(tmp_path, of_three):
    codes, _ = run_together("killed", tmp_path)
    assert codes == [-signal.SIGKILL] * 3
    assert (tmp_path / "training.pt").exists()
    codes, found = run_together("resumed", tmp_path)
    assert codes == [0, 0, 0]
    for it in found:
        assert_same(it, of_three[0]["first"])
        assert it["seen"] == [1, 2, 3, 4]
    assert not (tmp_path / "training.pt").exists()
