"""What a model store knows of one model: its versions and aliases, as values without any I/O."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any
from uuid import uuid4

from data_connector.errors import CorruptSourceError

Metric = float | int | str

# Of the text that catalogues are written as; raised when an older reader would misread it.
_FORMAT = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFile:
    """One file of a version, as it was published."""

    size: int
    """Bytes."""

    sha256: str | None
    """In hexadecimal; None in a version from before there were checksums."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """What one version is made of."""

    published_at: datetime
    metrics: Mapping[str, Metric] = field(hash=False)
    files: Mapping[str, ModelFile] = field(hash=False)
    """By path inside the model, with `/` between its parts."""

    place: str
    """Where a store keeps the files: the publication's time and a number nobody else draws."""


def new_manifest(files: Mapping[str, ModelFile], metrics: Mapping[str, Metric]) -> Manifest:
    """The manifest of a version that is published now."""
    now = datetime.now(UTC)
    place = f"{now:%Y%m%dT%H%M%SZ}-{uuid4().hex}"
    return Manifest(published_at=now, metrics=metrics, files=files, place=place)


def placed_at(place: str) -> datetime | None:
    """When a place was named; None for what is no place."""
    try:
        return datetime.strptime(place.partition("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def checked_metrics(metrics: Mapping[Any, Any]) -> dict[str, Metric]:
    """The metrics, which can be written as JSON and read back equal.

    Raises:
        ValueError: a name is no text, or a value no finite number or text.
    """
    for name, value in metrics.items():
        if not isinstance(name, str):
            raise ValueError(f"a metric's name must be text, got {name!r}")
        finite = math.isfinite(value) if isinstance(value, float) else isinstance(value, int | str)
        if not finite:
            raise ValueError(
                f"metric {name!r} must be a finite number of Python's or text, got {value!r}"
            )
    return dict(metrics)


@dataclass(frozen=True, kw_only=True, slots=True)
class Catalogue:
    """All versions and aliases of one model at one time."""

    last: int = 0
    """The highest number ever given to a version; it is never given again."""

    versions: Mapping[int, Manifest] = field(default_factory=dict, hash=False)
    aliases: Mapping[str, int] = field(default_factory=dict, hash=False)

    def published(self, manifest: Manifest) -> Catalogue:
        """With one more version, whose number is the result's `last`."""
        number = self.last + 1
        return replace(self, last=number, versions={**self.versions, number: manifest})

    def pointed(self, alias: str, version: int | None) -> Catalogue:
        """With the alias on that version; without the alias for None."""
        aliases = {name: number for name, number in self.aliases.items() if name != alias}
        if version is not None:
            aliases[alias] = version
        return replace(self, aliases=aliases)

    def collected(self, keep_last: int) -> Catalogue:
        """With the `keep_last` newest versions and those that have an alias."""
        kept = {*sorted(self.versions)[-keep_last:], *self.aliases.values()}
        versions = {number: m for number, m in self.versions.items() if number in kept}
        return replace(self, versions=versions)

    def to_json(self, **extra: str) -> str:
        """As text that `from_json` reads back; it does not look at what is extra."""
        versions = {
            str(number): {
                "published_at": manifest.published_at.isoformat(),
                "metrics": dict(manifest.metrics),
                "place": manifest.place,
                "files": {
                    path: {"size": file.size, "sha256": file.sha256}
                    for path, file in manifest.files.items()
                },
            }
            for number, manifest in self.versions.items()
        }
        parts = {"last": self.last, "versions": versions, "aliases": dict(self.aliases)}
        return json.dumps({"format": _FORMAT, **extra, **parts}, indent=1)

    @classmethod
    def from_json(cls, text: str | bytes, *, source: str) -> Catalogue:
        """The catalogue that was written as `text`.

        Args:
            text: from `to_json`.
            source: where it lies, for the error.

        Raises:
            CorruptSourceError: it is something else, or of a newer release.
        """
        try:
            parts = json.loads(text)
            if parts["format"] != _FORMAT:
                raise CorruptSourceError(
                    f"{source} is a catalogue of format {parts['format']!r}, this release reads "
                    f"format {_FORMAT}: install the release that wrote it"
                )
            return cls(
                last=int(parts["last"]),
                versions={int(n): _manifest(entry) for n, entry in parts["versions"].items()},
                aliases={alias: int(version) for alias, version in parts["aliases"].items()},
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CorruptSourceError(
                f"{source} cannot be read as a model's catalogue "
                f"({type(error).__name__}: {error}): restore it from a copy"
            ) from error


def _manifest(entry: Any) -> Manifest:
    for path in entry["files"]:
        parts = PurePosixPath(path)
        # Else a catalogue that was tampered with could write anywhere.
        if parts.is_absolute() or ".." in parts.parts or not parts.parts:
            raise ValueError(f"{path!r} leads out of the model")
    return Manifest(
        published_at=datetime.fromisoformat(entry["published_at"]),
        metrics=entry["metrics"],
        files={
            path: ModelFile(size=int(file["size"]), sha256=file["sha256"])
            for path, file in entry["files"].items()
        },
        place=str(entry["place"]),
    )
