"""A model artifact: one folder with all that scoring needs, and nothing that can run.

=====================  ===========================================================================
``model.safetensors``  the weights
``model.json``         what :class:`Artifact` holds beside them
``SHA256SUMS``         checksums of the others, as ``sha256sum --check`` reads them
=====================  ===========================================================================

There is no pickle in it: loading an artifact runs no code of its author.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch

from fraud_ml.distribution import Reference
from fraud_ml.errors import ArtifactError
from fraud_ml.feature_spec import FeatureSpec
from fraud_ml.model import FraudNet, ModelConfig
from fraud_ml.policy import DecisionPolicy

FORMAT_VERSION = 5  # 1 had thresholds in place of the policy, 2 another net, 4 might have ONNX

_WEIGHTS = "model.safetensors"
_DESCRIPTION = "model.json"
_CHECKSUMS = "SHA256SUMS"


@dataclass(frozen=True, kw_only=True, slots=True)
class Artifact:
    """A trained model and what it was trained on."""

    net: FraudNet
    """In evaluation mode, on the CPU."""
    spec: FeatureSpec
    """The features that the net takes, in order."""
    seed: int
    """Of the training."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """What was measured after training, as ``average_precision``."""
    policy: DecisionPolicy | None = None
    """What turns scores into decisions; None where nobody chose one."""
    lineage: Mapping[str, str] = field(default_factory=dict)
    """Where it comes from: commit, data, dates."""
    reference: Reference | None = None
    """How features and scores were distributed in training; None where nobody looked."""

    def __post_init__(self) -> None:
        n_features = len(self.net.categories)
        if n_features != len(self.spec.names):
            raise ValueError(
                f"the net takes {n_features} features, the spec has {len(self.spec.names)}"
            )
        if self.net.categories != self.spec.categories:
            raise ValueError("the net takes other features for categories than the spec has")
        if self.reference is not None and tuple(self.reference.features) != self.spec.names:
            raise ValueError("the reference is of other features than the spec's")


def save_artifact(folder: Path, artifact: Artifact) -> None:
    """Write ``artifact`` into ``folder``; the same artifact gives the same bytes.

    Args:
        folder: must exist and be empty. The checksums are written last, so that a folder whose
            writing broke off does not load.
        artifact: its numbers must be finite, its lineage text.

    Raises:
        ArtifactError: ``folder`` is no folder, or not empty.
        ValueError: ``artifact`` cannot be written as JSON.
    """
    if not folder.is_dir():
        raise ArtifactError(f"{folder} is not a folder; create it first")
    if any(folder.iterdir()):
        raise ArtifactError(f"{folder} is not empty; save into a new folder")
    description = {
        "format_version": FORMAT_VERSION,
        "feature_names": artifact.spec.names,
        "spec": artifact.spec.to_json(),
        "spec_hash": artifact.spec.hash,
        "model_config": dataclasses.asdict(artifact.net.config),
        "seed": artifact.seed,
        "metrics": dict(artifact.metrics),
        "policy": None if artifact.policy is None else artifact.policy.to_json(),
        "lineage": dict(artifact.lineage),
        "reference": None if artifact.reference is None else artifact.reference.to_json(),
    }
    weights = {name: tensor.cpu() for name, tensor in artifact.net.state_dict().items()}
    contents = {
        _DESCRIPTION: f"{json.dumps(description, indent=2, allow_nan=False)}\n".encode(),
        _WEIGHTS: safetensors.torch.save(weights),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    sums = "".join(f"{_sha256(content)}  {name}\n" for name, content in contents.items())
    (folder / _CHECKSUMS).write_text(sums, encoding="ascii")


def load_artifact(folder: Path) -> Artifact:
    """The artifact in ``folder``; its scores are bit by bit those of the net that was saved.

    Checksums find damage, not malice: who can alter a file can alter its checksum too.

    Raises:
        ArtifactError: a file is missing, altered, or not an artifact's, the format version is not
            ours, or the contents do not fit together. The message names the file.
    """
    contents = _verified_contents(folder)
    where = folder / _DESCRIPTION
    try:
        description = json.loads(contents[_DESCRIPTION])
        version = description["format_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{where} does not describe a model: {error!r}") from error
    if version != FORMAT_VERSION:
        raise ArtifactError(
            f"{where} has format version {version!r}, this release reads {FORMAT_VERSION};"
            " install the release that wrote it, or train again"
        )
    try:
        return _build(description, contents[_WEIGHTS])
    except (ValueError, KeyError, TypeError, RuntimeError, safetensors.SafetensorError) as error:
        raise ArtifactError(f"{where} and {_WEIGHTS} do not fit together: {error}") from error


def _build(description: dict[str, Any], weights: bytes) -> Artifact:
    spec = FeatureSpec.from_json(description["spec"])
    if list(spec.names) != description["feature_names"]:
        raise ValueError(f"feature_names are not the spec's: {description['feature_names']}")
    if spec.hash != description["spec_hash"]:
        raise ValueError(f"spec_hash is not the spec's, {spec.hash}: {description['spec_hash']}")
    net = FraudNet(spec.categories, ModelConfig(**description["model_config"]))
    net.load_state_dict(safetensors.torch.load(weights))
    policy = description["policy"]
    reference = description.get("reference")
    return Artifact(
        net=net.eval(),
        spec=spec,
        seed=description["seed"],
        metrics=description["metrics"],
        policy=None if policy is None else DecisionPolicy.from_json(policy),
        lineage=description["lineage"],
        reference=None if reference is None else Reference.from_json(reference),
    )


def _verified_contents(folder: Path) -> dict[str, bytes]:
    """The bytes of the files, read once, so that what is verified is what is used."""
    if not (folder / _CHECKSUMS).is_file():
        raise _missing(folder / _CHECKSUMS)
    names = {_WEIGHTS, _DESCRIPTION, _CHECKSUMS}
    expected = _read_checksums(folder / _CHECKSUMS)
    extra = sorted(path.name for path in folder.iterdir() if path.name not in names)
    if extra:
        raise ArtifactError(
            f"{folder / extra[0]} does not belong to an artifact; an artifact is exactly"
            f" {', '.join(sorted(names))}"
        )
    contents = {}
    for name in sorted(names - {_CHECKSUMS}):
        if not (folder / name).is_file():
            raise _missing(folder / name)
        contents[name] = (folder / name).read_bytes()
        if _sha256(contents[name]) != expected.get(name):
            raise ArtifactError(
                f"{folder / name} was altered: its checksum is not the one in {_CHECKSUMS};"
                " fetch or save the artifact again"
            )
    return contents


def _missing(path: Path) -> ArtifactError:
    return ArtifactError(f"{path} is missing; fetch or save the artifact again")


def _read_checksums(path: Path) -> dict[str, str]:
    try:
        lines = [line.split("  ", maxsplit=1) for line in path.read_text("ascii").splitlines()]
        return {name: checksum for checksum, name in lines}
    except ValueError as error:
        raise ArtifactError(f"{path} is not a list of checksums: {error}") from error


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
