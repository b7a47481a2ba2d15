import numpy as np
import onnxruntime
import pytest
import torch
from nets import CATEGORIES, SMALL, rows, small_net

from fraud_ml.export import export_program, to_onnx
from fraud_ml.model import FraudNet, ModelConfig
from fraud_ml.training import TrainingConfig, train_model

X = rows(64, seed=3)


@pytest.fixture(scope="module")
def net():
    return small_net()


def test_an_exported_program_scores_as_the_net(net):
    module = export_program(net).module()
    for n_rows in (1, 2, 64):
        x = torch.from_numpy(X[:n_rows])
        torch.testing.assert_close(module(x), net.score(x), atol=1e-6, rtol=0)


def test_an_exported_program_survives_a_file(net, tmp_path):
    torch.export.save(export_program(net), tmp_path / "net.pt2")
    module = torch.export.load(tmp_path / "net.pt2").module()
    x = torch.from_numpy(X)
    torch.testing.assert_close(module(x), net.score(x), atol=1e-6, rtol=0)


@pytest.mark.parametrize("categories", [(False, True, False, False, True), (False,) * 5])
def test_onnx_runtime_scores_as_the_net(categories):
    net = small_net() if any(categories) else FraudNet(categories, ModelConfig(width=8)).eval()
    session = onnxruntime.InferenceSession(to_onnx(net), providers=["CPUExecutionProvider"])
    for n_rows in (1, 7, 64):
        (scores,) = session.run(["scores"], {"features": X[:n_rows]})
        expected = net.score(torch.from_numpy(X[:n_rows])).numpy()
        assert scores.shape == (n_rows,)
        np.testing.assert_allclose(scores, expected, atol=1e-5, rtol=0)


def test_a_net_that_was_just_trained_can_be_exported():
    net = train_model(
        X,
        np.arange(64) % 4 == 0,
        customers=np.arange(64),
        feature_names="abcde",
        categories=CATEGORIES,
        model_config=SMALL,
        training_config=TrainingConfig(max_epochs=1, min_batches=4),
    ).net
    x = torch.from_numpy(X)
    torch.testing.assert_close(export_program(net).module()(x), net.score(x), atol=1e-6, rtol=0)
