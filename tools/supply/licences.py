"""Lists the licence of each locked package, and fails where one may not be used.

    ./bazelw run //tools/supply:licences

What may be used, and why there are exceptions, says tools/supply/licences.toml.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tools.supply import errors
from tools.supply.installed import Licensed, Policy, installed, is_allowed, licensed, read_policy

POLICY = Path("tools/supply/licences.toml")


def objections(packages: Iterable[Licensed], policy: Policy) -> Iterator[str]:
    """A line for each package that may not be used, and for each exception that is none."""
    needed = set()
    for package in packages:
        exception = policy.exceptions.get(package.name)
        if package.licence is None:
            yield (
                f"{package.name} {package.version} does not tell its licence; read it, and state it"
                f" in {POLICY}"
            )
        elif is_allowed(package.licence, policy.allowed):
            continue
        elif exception is None:
            yield f"{package.name} {package.version} is {package.licence}, which is not allowed"
        elif exception["licence"] != package.licence:
            yield (
                f"{package.name} {package.version} is {package.licence}; the exception is for"
                f" {exception['licence']}"
            )
        else:
            needed.add(package.name)
    for name in sorted(policy.exceptions.keys() - needed):
        yield f"the exception for {name} is not needed: remove it from {POLICY}"


def of_the_lock() -> tuple[list[Licensed], Policy]:
    """The licences of all locked packages, from the runfiles of this program."""
    policy = read_policy(POLICY)
    folders = sorted(Path("..").glob("*/site-packages"))
    return [licensed(each, policy) for each in installed(folders).values()], policy


def main(packages: list[Licensed], policy: Policy) -> int:
    """0, or 1 where a package may not be used; a table on standard output."""
    table = Table("package", "version", "licence", "read from")
    for package in packages:
        table.add_row(package.name, package.version, package.licence or "unknown", package.source)
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    found = list(objections(packages, policy))
    for line in found:
        console.print(f"error: {line}", soft_wrap=True, markup=False)
    return errors.FOUND if found else errors.DONE


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.split("\n")[0]).parse_args()
    read = of_the_lock()  # before `run` leaves the folder of the runfiles
    sys.exit(errors.run(lambda: main(*read)))
