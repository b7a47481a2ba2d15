import dataclasses
import hashlib
import json
import pickle

import pytest
import torch

from fraud_ml._input_fit import fit_inputs
from fraud_ml.artifact import Artifact, load_artifact, save_artifact
from fraud_ml.default_specs import HANDBOOK_SPEC
from fraud_ml.distribution import fit_reference
from fraud_ml.errors import ArtifactError
from fraud_ml.model import FraudNet, ModelConfig
from fraud_ml.policy import CapacityPolicy, CostPolicy


@pytest.fixture
def artifact():
    torch.manual_seed(0)
    net = FraudNet(HANDBOOK_SPEC.categories, ModelConfig(n_members=3, width=8))
    fit_inputs(net, torch.rand(500, 15).numpy() * 100, torch.arange(500).numpy() % 9 == 0)
    return Artifact(
        net=net.eval(),
        spec=HANDBOOK_SPEC,
        seed=5,
        metrics={"average_precision": 0.5},
        policy=CapacityPolicy(review_above=0.2, decline_above=0.9),
        lineage={"data": "simulated"},
        reference=fit_reference(
            torch.rand(100, 15).numpy(), torch.rand(100).numpy(), HANDBOOK_SPEC.names
        ),
    )


@pytest.fixture
def folder(tmp_path, artifact):
    path = tmp_path / "artifact"
    path.mkdir()
    save_artifact(path, artifact)
    return path


def rewrite_description(folder, **changes):
    """Change model.json and its checksum with it, as another release would have written it."""
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    reseal(folder)


def reseal(folder):
    names = ("model.json", "model.safetensors")
    lines = [f"{hashlib.sha256((folder / n).read_bytes()).hexdigest()}  {n}\n" for n in names]
    (folder / "SHA256SUMS").write_text("".join(lines))


def test_a_loaded_artifact_scores_bit_by_bit_the_same(artifact, folder):
    x = torch.rand(1000, 15) * 200
    assert torch.equal(load_artifact(folder).net.score(x), artifact.net.score(x))


def test_a_loaded_artifact_says_all_that_was_saved(artifact, folder):
    loaded = load_artifact(folder)
    assert loaded.net.config == artifact.net.config
    assert not loaded.net.training
    for name in ("spec", "seed", "metrics", "policy", "lineage", "reference"):
        assert getattr(loaded, name) == getattr(artifact, name)


def test_an_artifact_from_before_there_were_references_has_none(folder):
    path = folder / "model.json"
    description = json.loads(path.read_text())
    del description["reference"]
    path.write_text(json.dumps(description))
    reseal(folder)
    assert load_artifact(folder).reference is None


def test_a_reference_of_other_features_is_refused(artifact):
    other = fit_reference(torch.rand(9, 1).numpy(), torch.rand(9).numpy(), ["amount"])
    with pytest.raises(ValueError, match="reference is of other features"):
        dataclasses.replace(artifact, reference=other)


@pytest.mark.parametrize("policy", [None, CostPolicy(review_price=4, wrong_decline_cost=30.5)])
def test_any_policy_or_none_comes_back(artifact, tmp_path, policy):
    save_artifact(tmp_path, dataclasses.replace(artifact, policy=policy))
    assert load_artifact(tmp_path).policy == policy


def test_the_same_artifact_gives_the_same_bytes(artifact, folder, tmp_path):
    again = tmp_path / "again"
    again.mkdir()
    save_artifact(again, artifact)
    for path in folder.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes()


@pytest.mark.parametrize("name", ["model.json", "model.safetensors", "SHA256SUMS"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(ArtifactError, match=f"{name} is missing"):
        load_artifact(folder)


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_a_single_altered_byte_is_noticed(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[-3] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ArtifactError, match=f"{name} was altered"):
        load_artifact(folder)


def test_a_pickle_beside_the_model_is_refused(folder):
    (folder / "extra.pkl").write_bytes(pickle.dumps({}))
    with pytest.raises(ArtifactError, match=r"extra\.pkl does not belong"):
        load_artifact(folder)


def test_a_pickle_in_place_of_the_weights_is_refused(folder, artifact):
    torch.save(artifact.net.state_dict(), folder / "model.safetensors")
    reseal(folder)
    with pytest.raises(ArtifactError, match=r"model\.safetensors"):
        load_artifact(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 1}, "model.json has format version 1, this release reads 5"),
        ({"format_version": 6}, "model.json has format version 6, this release reads 5"),
        ({"policy": {"kind": "mood"}}, "policy kind must be one of capacity, cost, got 'mood'"),
        ({"feature_names": ["amount"]}, "feature_names are not the spec's"),
        ({"spec": [{"name": "a", "value": "weather"}]}, "a: value must be one of .* got 'weather'"),
        ({"spec_hash": "0" * 64}, f"spec_hash is not the spec's, {HANDBOOK_SPEC.hash}: 0000"),
        ({"model_config": {"n_members": 4}}, "do not fit together"),
        ({"model_config": {"depth": 4}}, "do not fit together"),
    ],
)
def test_a_description_that_is_not_ours_is_refused(folder, changes, message):
    rewrite_description(folder, **changes)
    with pytest.raises(ArtifactError, match=message):
        load_artifact(folder)


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_a_description_that_describes_nothing_is_refused(folder, content):
    (folder / "model.json").write_text(content)
    reseal(folder)
    with pytest.raises(ArtifactError, match=r"model\.json does not describe a model"):
        load_artifact(folder)


@pytest.mark.parametrize("content", ["nonsense", "\u00e9"])
def test_a_broken_list_of_checksums_is_refused(folder, content):
    (folder / "SHA256SUMS").write_text(content, encoding="utf-8")
    with pytest.raises(ArtifactError, match="SHA256SUMS is not a list of checksums"):
        load_artifact(folder)


def test_saving_needs_an_existing_empty_folder(artifact, folder, tmp_path):
    with pytest.raises(ArtifactError, match="not empty"):
        save_artifact(folder, artifact)
    with pytest.raises(ArtifactError, match="not a folder"):
        save_artifact(tmp_path / "nowhere", artifact)


def test_a_net_for_other_features_is_refused(artifact):
    net = FraudNet([False] * 3, ModelConfig(width=8))
    with pytest.raises(ValueError, match="takes 3 features, the spec has 15"):
        Artifact(net=net, spec=HANDBOOK_SPEC, seed=0)
    net = FraudNet([True] + [False] * 14, ModelConfig(width=8))
    with pytest.raises(ValueError, match="other features for categories"):
        Artifact(net=net, spec=HANDBOOK_SPEC, seed=0)


def test_a_metric_that_json_cannot_hold_is_refused(artifact, tmp_path):
    bad = Artifact(net=artifact.net, spec=artifact.spec, seed=0, metrics={"ap": float("nan")})
    with pytest.raises(ValueError, match="JSON"):
        save_artifact(tmp_path, bad)
    assert list(tmp_path.iterdir()) == []
