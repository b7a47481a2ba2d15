"""Looks the locked packages up in a list of known vulnerabilities.

    ./bazelw run //tools/supply:audit -- --vulnerabilities all.zip

The list is a file, so that the audit needs no network and can be repeated: a JSON file in the
format of OSV, a folder of such, or a zip of such, as osv.dev exports it for PyPI. What may be
ignored, why, and until when, says tools/supply/ignored.toml.

Exit code: 0 nothing found, 1 something found, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import datetime as dt
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name
from rich.console import Console
from rich.table import Table

from tools.requirements.lock import Pin, read_lock
from tools.supply import errors
from tools.supply.errors import SupplyError
from tools.supply.osv import Vulnerability, read_records, vulnerabilities

LOCK = Path("requirements_lock.txt")
IGNORED = Path("tools/supply/ignored.toml")


@dataclass(frozen=True, slots=True)
class Ignored:
    """One entry of ignored.toml."""

    id: str
    package: str
    reason: str
    until: dt.date


@dataclass(frozen=True, slots=True)
class Finding:
    """A vulnerability of a locked package."""

    pin: Pin
    vulnerability: Vulnerability


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit came to."""

    records: int
    newest: str
    """When the newest record was modified."""
    found: list[Finding]
    ignored: list[tuple[Finding, Ignored]]
    expired: list[Ignored]
    """Entries whose day has passed; what they were about is found again."""
    useless: list[Ignored]
    """Entries that ignored nothing."""


def read_ignored(path: Path) -> list[Ignored]:
    """The entries of an ignored.toml.

    Raises:
        SupplyError: an entry lacks a field, or has another, or gives no reason or no day.
    """
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8")).get("ignored", [])
    except tomllib.TOMLDecodeError as error:
        raise SupplyError(f"{path}: {error}") from None
    ignored = []
    for entry in entries:
        if entry.keys() != {"id", "package", "reason", "until"}:
            raise SupplyError(f"{path}: an entry has id, package, reason, until; got {entry}")
        if not str(entry["reason"]).strip():
            raise SupplyError(f"{path}: {entry['id']} is ignored for no reason; give one")
        if type(entry["until"]) is not dt.date:
            raise SupplyError(f"{path}: until is a day, such as 2027-03-01; got {entry['until']!r}")
        ignored.append(Ignored(**entry | {"package": canonicalize_name(entry["package"])}))
    return ignored


def audit(
    pins: Mapping[str, Pin], path: Path, ignored: Iterable[Ignored], *, today: dt.date
) -> Audit:
    """Every vulnerability of a locked package, in the order of packages, each once.

    Raises:
        SupplyError: ``path`` has no record of OSV.
    """
    records, newest, found = 0, "", []
    for record in read_records(path):
        records += 1
        newest = max(newest, str(record["modified"]))
        found += list(_findings(vulnerabilities(record), pins))
    if not records:
        raise SupplyError(f"{path} has no record: nothing would be found whatever is locked")
    entries = list(ignored)
    valid = [entry for entry in entries if entry.until >= today]
    passed: list[tuple[Finding, Ignored]] = []
    left = []
    for finding in _one_each(found):
        entry = next((entry for entry in valid if _is_about(entry, finding)), None)
        if entry is None:
            left.append(finding)
        else:
            passed.append((finding, entry))
    used = {id(entry) for _, entry in passed}
    return Audit(
        records=records,
        newest=newest,
        found=left,
        ignored=passed,
        expired=[entry for entry in entries if entry.until < today],
        useless=[entry for entry in valid if id(entry) not in used],
    )


def _findings(known: Iterable[Vulnerability], pins: Mapping[str, Pin]) -> Iterator[Finding]:
    for vulnerability in known:
        pin = pins.get(vulnerability.package)
        if pin is not None and vulnerability.affects(pin.version):
            yield Finding(pin, vulnerability)


def _one_each(found: list[Finding]) -> list[Finding]:
    """One finding for what several records describe: PYSEC's and GitHub's name each other."""
    ordered = sorted(
        found,
        key=lambda each: (
            each.pin.name,
            each.vulnerability.id.startswith("GHSA"),
            each.vulnerability.id,
        ),
    )
    kept: list[Finding] = []
    for finding in ordered:
        if not any(
            other.pin.name == finding.pin.name and _names(other) & _names(finding) for other in kept
        ):
            kept.append(finding)
    return kept


def _names(finding: Finding) -> set[str]:
    return {finding.vulnerability.id, *finding.vulnerability.aliases}


def _is_about(entry: Ignored, finding: Finding) -> bool:
    return entry.package == finding.pin.name and entry.id in _names(finding)


def show(result: Audit, console: Console) -> None:
    """The result as a table, and as lines for what was let pass."""
    if result.found:
        table = Table("package", "version", "vulnerability", "fixed in", "severity", "what it is")
        for finding in result.found:
            known = finding.vulnerability
            table.add_row(
                finding.pin.name,
                finding.pin.version,
                "\n".join([known.id, *known.aliases]),
                ", ".join(dict.fromkeys(known.fixed)) or "no version",
                known.severity or "not said",
                known.summary,
            )
        console.print(table)
    lines = [
        f"ignored: {finding.pin.name} {finding.vulnerability.id}: {entry.reason} (until"
        f" {entry.until})"
        for finding, entry in result.ignored
    ]
    lines += [
        f"no longer ignored: {entry.package} {entry.id}, since {entry.until} has passed"
        for entry in result.expired
    ]
    lines += [
        f"remove it from {IGNORED}: {entry.package} {entry.id} is in no locked version"
        for entry in result.useless
    ]
    lines.append(
        f"found {len(result.found)}, by {result.records} records, the newest of {result.newest}"
    )
    for line in lines:
        console.print(line, soft_wrap=True, markup=False, highlight=False)


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--vulnerabilities",
        type=Path,
        required=True,
        metavar="PATH",
        help="records of OSV: a JSON file, a folder, or a zip (osv.dev's export for PyPI)",
    )
    path: Path = parser.parse_args().vulnerabilities
    # Before `run` leaves the folder where they are.
    pins = read_lock(LOCK.read_text(encoding="utf-8"))
    listed = IGNORED.absolute()

    def command() -> int:
        today = dt.datetime.now(dt.UTC).date()
        result = audit(pins, path, read_ignored(listed), today=today)
        show(result, Console(width=None if sys.stdout.isatty() else 140))
        return errors.FOUND if result.found else errors.DONE

    return errors.run(command)


if __name__ == "__main__":
    sys.exit(main())
