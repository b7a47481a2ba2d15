"""The settings that a search found for each contender, as the comparison takes them."""

from __future__ import annotations

import json
from importlib import resources

from experiments.contenders import Settings


def read_settings() -> dict[str, Settings]:
    """The settings that a search found on the handbook's validation folds, by contender."""
    text = resources.files("experiments").joinpath("settings.json").read_text(encoding="utf-8")
    settings: dict[str, Settings] = json.loads(text)
    return settings
