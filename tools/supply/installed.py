"""The metadata of the locked packages, and the licence that each declares."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution
from pathlib import Path

from license_expression import ExpressionError, Licensing, get_spdx_licensing
from packaging.utils import canonicalize_name

from tools.supply.errors import SupplyError

_SPDX: Licensing = get_spdx_licensing()
_UNKNOWN = {"", "UNKNOWN"}


@dataclass(frozen=True, slots=True)
class Policy:
    """What licences.toml says."""

    allowed: frozenset[str]
    written: Mapping[str, str]
    classifiers: Mapping[str, str]
    exceptions: Mapping[str, Mapping[str, str]]
    stated: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Licensed:
    """A package and its licence."""

    name: str
    version: str
    licence: str | None
    """An SPDX expression; None where neither metadata nor file tells it."""
    source: str
    """Where that was read."""


def read_policy(path: Path) -> Policy:
    """The policy of a file.

    Raises:
        SupplyError: a licence that it names is none of SPDX's, or an exception has no reason.
    """
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    exceptions, stated = content.get("exceptions", {}), content.get("stated", {})
    for name, entry in [*exceptions.items(), *stated.items()]:
        if entry.keys() != {"licence", "reason"} or not entry["reason"].strip():
            raise SupplyError(f"{path}: {name} needs a licence and a reason, and nothing else")
    named = [
        *content["allowed"],
        *content["written"].values(),
        *content["classifiers"].values(),
        *(entry["licence"] for entry in [*exceptions.values(), *stated.values()]),
    ]
    for licence in named:
        if spdx(licence) != licence:
            raise SupplyError(f"{path}: {licence!r} is no SPDX expression")
    return Policy(
        allowed=frozenset(content["allowed"]),
        written=content["written"],
        classifiers=content["classifiers"],
        exceptions=exceptions,
        stated=stated,
    )


def installed(folders: Sequence[Path]) -> dict[str, Distribution]:
    """The packages whose ``*.dist-info`` lie in the folders, by name.

    Raises:
        SupplyError: there is none.
    """
    found = {
        canonicalize_name(distribution.name): distribution
        for folder in folders
        for distribution in map(Distribution.at, sorted(folder.glob("*.dist-info")))
    }
    if not found:
        raise SupplyError("no package's metadata was found; run it by ./bazelw run")
    return dict(sorted(found.items()))


def licensed(distribution: Distribution, policy: Policy) -> Licensed:
    """The package's licence, from the most binding of what it says about itself."""
    name = canonicalize_name(distribution.name)
    for licence, source in _sayings(distribution, policy):
        if licence is not None:
            return Licensed(name, distribution.version, licence, source)
    return Licensed(name, distribution.version, None, "")


def _sayings(package: Distribution, policy: Policy) -> Iterator[tuple[str | None, str]]:
    fields = package.metadata
    yield spdx(_field(package, "License-Expression")), "License-Expression"
    stated = policy.stated.get(canonicalize_name(package.name))
    yield stated["licence"] if stated else None, "licences.toml"
    field = _field(package, "License")
    first = field.strip().split("\n")[0].strip()
    yield policy.written.get(first) or spdx(first), "License"
    named = {
        policy.classifiers.get(classifier.removeprefix("License :: "))
        for classifier in fields.get_all("Classifier", [])
        if classifier.startswith("License :: ")
    }
    if None not in named and named:  # several classifiers: a choice, or parts; take all
        yield spdx(" AND ".join(sorted(filter(None, named)))), "Classifier"
    for text, source in [(field, "License"), *_files(package)]:
        yield _bsd(text), source


def _field(package: Distribution, name: str) -> str:
    return package.metadata[name] if name in package.metadata else ""  # noqa: SIM401 (no `get`)


def _files(package: Distribution) -> Iterator[tuple[str, str]]:
    for file in package.files or []:
        place = Path(str(package.locate_file(file)))
        if "licen" in file.name.lower() and ".dist-info" in str(file) and place.is_file():
            yield place.read_text(encoding="utf-8", errors="replace"), file.name


def _bsd(text: str) -> str | None:
    """Which of the two BSD licences a text is; the third clause is about names of contributors."""
    words = " ".join(text.split())
    if "Redistribution and use in source and binary forms" not in words:
        return None
    three = "endorse or promote products derived from this software" in words
    return "BSD-3-Clause" if three else "BSD-2-Clause"


def spdx(expression: str) -> str | None:
    """The expression as SPDX writes it, or None if it is none of SPDX's."""
    if expression.strip() in _UNKNOWN:
        return None
    try:
        parsed = _SPDX.parse(expression, validate=True, strict=True)
    except ExpressionError:
        return None
    return None if parsed is None else str(parsed.render("{symbol.key}"))


def is_allowed(licence: str, allowed: frozenset[str]) -> bool:
    """Whether an expression leaves a way to use the package under allowed licences alone."""
    return _holds(_SPDX.parse(licence), allowed)


def _holds(part: object, allowed: frozenset[str]) -> bool:
    if isinstance(part, _SPDX.OR):
        return any(_holds(each, allowed) for each in part.args)
    if isinstance(part, _SPDX.AND):
        return all(_holds(each, allowed) for each in part.args)
    return str(part) in allowed
