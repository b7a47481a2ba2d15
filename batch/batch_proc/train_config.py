"""What a model is and how it is trained, from a TOML file: the `--config` of `//batch:train`."""

from __future__ import annotations

import dataclasses
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from data_connector.command import UsageError
from fraud_ml.model import ModelConfig
from fraud_ml.training import TrainingConfig

_Config = TypeVar("_Config", ModelConfig, TrainingConfig)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """What a file of `--config` says; the library's defaults where it is silent."""

    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> TrainConfig:
        """From fields of both, in one mapping, as a search finds them.

        Raises:
            TypeError: neither has such a field.
            ValueError: a value is out of its range.
        """
        shape = {it.name for it in dataclasses.fields(ModelConfig)}
        return cls(
            model=ModelConfig(**{k: v for k, v in settings.items() if k in shape}),
            training=TrainingConfig(**{k: v for k, v in settings.items() if k not in shape}),
        )

    def to_toml(self, comment: str = "") -> str:
        """The file, which says every value; below ``comment``, if there is one."""
        lines = [f"# {line}" for line in comment.splitlines()]
        for name in ("model", "training"):
            lines += ["", f"[{name}]"] if lines else [f"[{name}]"]
            values = dataclasses.asdict(getattr(self, name))
            lines += [f"{key} = {value!r}" for key, value in values.items()]
        return "\n".join([*lines, ""])


def read_train_config(path: Path) -> TrainConfig:
    """What the file of ``--config`` says.

    Raises:
        UsageError: it cannot be read, is no TOML, or says what the library does not know.
    """
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--config {path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"--config {path}: is not TOML: {error}") from error
    if unknown := sorted(set(said) - {"model", "training"}):
        raise UsageError(
            f"--config {path}: {unknown[0]!r} is unknown; it has the tables [model] and [training]"
        )
    return TrainConfig(
        model=_read_table(ModelConfig, said.get("model", {}), f"--config {path}: [model]"),
        training=_read_table(
            TrainingConfig, said.get("training", {}), f"--config {path}: [training]"
        ),
    )


def _read_table(kind: type[_Config], said: Any, where: str) -> _Config:
    if not isinstance(said, dict):
        raise UsageError(f"{where} must be a table, got {said!r}")
    defaults = dataclasses.asdict(kind())
    for name, value in said.items():
        if name not in defaults:
            raise UsageError(f"{where}: {name!r} is unknown; it has {', '.join(defaults)}")
        whole = isinstance(defaults[name], int)
        if type(value) not in ((int,) if whole else (int, float)) or not math.isfinite(value):
            wanted = "a whole number" if whole else "a number"
            raise UsageError(f"{where}: {name} must be {wanted}, got {value!r}")
    try:
        return kind(**said)
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from error
