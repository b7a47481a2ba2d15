"""Vulnerabilities in the format of OSV (osv-schema 1.6), read from files.

What is read is what osv.dev exports and pip-audit reports from: a record a JSON file, in a folder
or a zip of any depth, or a file with a list of records.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from tools.supply.errors import SupplyError

ECOSYSTEM = "PyPI"


@dataclass(frozen=True, slots=True)
class Vulnerability:
    """What a record says of one package."""

    id: str
    aliases: tuple[str, ...]
    package: str
    summary: str
    severity: str
    """``CRITICAL``, a CVSS vector, or empty where the record does not say."""
    fixed: tuple[str, ...]
    """The versions that repair it."""
    affects: Callable[[str], bool]
    """Whether it is in a version."""


def read_records(path: Path) -> Iterator[Mapping[str, Any]]:
    """The records of a JSON file, of a folder of such, or of a zip of such.

    Raises:
        SupplyError: there is no such path, or a file is no record of OSV.
    """
    if path.is_dir():
        for file in sorted(path.rglob("*.json")):
            yield from _parse(file.read_bytes(), str(file))
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in sorted(archive.namelist()):
                if name.endswith(".json"):
                    yield from _parse(archive.read(name), f"{path}:{name}")
    elif path.exists():
        yield from _parse(path.read_bytes(), str(path))
    else:
        raise SupplyError(
            f"there is no {path}; download the export for PyPI from osv.dev (all.zip), and give its"
            " path"
        )


def _parse(content: bytes, where: str) -> Iterator[Mapping[str, Any]]:
    try:
        value = json.loads(content)
    except ValueError as error:
        raise SupplyError(f"{where} is no JSON: {error}") from None
    if isinstance(value, dict) and isinstance(value.get("vulns"), list):
        value = value["vulns"]  # an answer of osv.dev's API
    for record in value if isinstance(value, list) else [value]:
        if not (isinstance(record, dict) and "id" in record and "modified" in record):
            raise SupplyError(f"{where} is no record of OSV: it lacks `id` or `modified`")
        yield record


def vulnerabilities(record: Mapping[str, Any]) -> Iterator[Vulnerability]:
    """What a record says of each package of PyPI; nothing if it was withdrawn."""
    if "withdrawn" in record:
        return
    for affected in record.get("affected", []):
        package = affected.get("package", {})
        if package.get("ecosystem", "").partition(":")[0] != ECOSYSTEM:
            continue
        events = [
            [event for event in part.get("events", []) if event]
            for part in affected.get("ranges", [])
            if part.get("type") in ("ECOSYSTEM", "SEMVER")  # GIT's are commits, not versions
        ]
        yield Vulnerability(
            id=record["id"],
            aliases=tuple(sorted(record.get("aliases", []))),
            package=canonicalize_name(package["name"]),
            summary=record.get("summary") or record.get("details", "").strip().split("\n")[0],
            severity=_severity(record, affected),
            fixed=tuple(event["fixed"] for part in events for event in part if "fixed" in event),
            affects=_affects(events, affected.get("versions", [])),
        )


def _severity(record: Mapping[str, Any], affected: Mapping[str, Any]) -> str:
    named = record.get("database_specific", {}).get("severity")
    if isinstance(named, str):
        return named
    scores = affected.get("severity") or record.get("severity") or [{}]
    return str(scores[-1].get("score", ""))


def _affects(events: list[list[Mapping[str, str]]], versions: list[str]) -> Callable[[str], bool]:
    """OSV's own rule: a listed version, or one within a range ("Evaluation" in its description)."""
    listed = {_comparable(version) for version in versions}

    def affects(version: str) -> bool:
        # 2.13.0+cpu is a build of 2.13.0, of which advisories speak.
        public = _comparable(version.partition("+")[0])
        if public in listed or _comparable(version) in listed:
            return True
        return isinstance(public, Version) and any(_within(public, part) for part in events)

    return affects


def _comparable(version: str) -> Version | str:
    try:
        return Version(version)
    except InvalidVersion:
        return version


def _within(version: Version, events: list[Mapping[str, str]]) -> bool:
    """Whether the last event up to the version is an introduction, and it is below the limits."""
    limits = [event["limit"] for event in events if "limit" in event]
    if limits and not any(limit == "*" or version < _bound(limit) for limit in limits):
        return False
    inside = False
    for bound, order in sorted(_moments(events)):
        if _ORDER[order] == "introduced" and version >= bound:
            inside = True
        elif (_ORDER[order] == "fixed" and version >= bound) or (
            _ORDER[order] == "last_affected" and version > bound
        ):
            inside = False
    return inside


# At one version: a fix is of what was before, an introduction may be of this version alone.
_ORDER = ("fixed", "introduced", "last_affected")


def _moments(events: list[Mapping[str, str]]) -> Iterator[tuple[Version, int]]:
    for event in events:
        (kind, text), *_ = event.items()
        if kind not in _ORDER:
            continue
        if kind != "introduced" and isinstance(_comparable(text), str):
            continue  # when it ended cannot be told: rather a false alarm than none
        yield _bound(text), _ORDER.index(kind)


def _bound(version: str) -> Version:
    """OSV's "0" is before all versions, 0.dev0 among them; so is what is older than PEP 440."""
    bound = _comparable(version)
    return bound if version != "0" and isinstance(bound, Version) else Version("0.dev0")
