"""Backends, imported when first used, so that no one pays for a driver unasked or needs all."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from data_connector.errors import UnsupportedSourceError

EXTRAS = {
    "abfs": "abfs",
    "duckdb": "duckdb",
    "gs": "gs",
    "https": "https",
    "mariadb": "mysql",
    "mysql": "mysql",
    "postgresql": "postgresql",
    "redis": "redis",
    "rediss": "redis",
    "s3": "s3",
    "unix": "redis",
}
"""By scheme, the extra of this library's wheel that brings its driver."""


def imported(target: str, scheme: str) -> Any:
    """What `module:name` names.

    Args:
        target: the module, and the name in it.
        scheme: of the URLs that it serves.

    Raises:
        UnsupportedSourceError: the driver that it imports is not installed.
    """
    module, name = target.split(":")
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        if scheme not in EXTRAS or missing == __package__:
            raise  # what every installation has
        raise UnsupportedSourceError(
            f"{scheme}: URLs need {missing}, which is not installed: "
            f"install data-connector[{EXTRAS[scheme]}]"
        ) from error
