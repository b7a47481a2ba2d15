"""A :class:`~fraud_ml.feature_spec.FeatureSpec` as TOML: the form that people write."""

from __future__ import annotations

import json
import tomllib
from typing import Any

from fraud_ml.feature_spec import FeatureSpec


def spec_to_toml(spec: FeatureSpec) -> str:
    """TOML that :func:`spec_from_toml` turns back into an equal spec; times in seconds.

    The fields are those of the JSON form, a ``[[features]]`` table each.
    """
    fields = spec.to_json()
    features = fields.pop("features")
    lines = [f"{name} = {_value(value)}" for name, value in fields.items()]
    for feature in features:
        lines += ["", "[[features]]", *(f"{name} = {_value(v)}" for name, v in feature.items())]
    return "\n".join(lines) + "\n"


def spec_from_toml(text: str) -> FeatureSpec:
    """The spec that ``text`` says; where it leaves out a setting, the default.

    Raises:
        ValueError: ``text`` is no TOML, or no spec.
    """
    # tomllib.TOMLDecodeError is a ValueError that names the line.
    return FeatureSpec.from_json(tomllib.loads(text))


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_value(item) for item in value)}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{name} = {_value(item)}' for name, item in value.items())} }}"
    if isinstance(value, str):
        # JSON's escapes are TOML's too, but for DEL, which TOML wants escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
