"""`bazelw --where`: which Bazel is used here, and why."""

from __future__ import annotations

import sys

from tools.bootstrap.ask import version_of
from tools.bootstrap.debian.relocate import JAVA
from tools.bootstrap.install import plan
from tools.bootstrap.launch import bazelisk_prefix, debian_prefix, find, wanted_version

ORIGIN = {
    "FRAUD_BAZEL": "named by FRAUD_BAZEL",
    "PATH": "found on PATH",
    "npm": "Bazelisk, installed through npm",
    "Debian": "assembled from Debian's packages",
}


def show(root: str) -> None:
    """Writes what is used and why, installing nothing; PATH is looked at afresh."""
    wanted = wanted_version(root)
    notes: list[str] = []
    found = find(root, notes, fresh=True)
    rows = [("wanted", f"{wanted} (.bazelversion)")]
    if found:
        how = found.how
        version = found.version or version_of(found.command[0], root) or "unknown"
        rows.append(("bazel", " ".join(found.command)))
        rows.append(("version", version))
        rows.append(("origin", ORIGIN[how]))
    else:
        how, why = plan()
        notes += why
        will = f"none yet; the next command makes one: {ORIGIN[how]}" if how else ""
        rows.append(("bazel", will or "none, and no way to install one"))
    if how in ("npm", "Debian"):
        prefix = bazelisk_prefix() if how == "npm" else debian_prefix(wanted)
        rows.append(("prefix", prefix))
        if found:
            notes.append("installed earlier; remove the prefix to have it decided anew")
    if how:
        rows.append(("java", f"{prefix}/root/{JAVA}" if how == "Debian" else "Bazel's own"))
    rows += [("because", note) for note in notes]
    sys.stdout.writelines(f"{name:8} {value}\n" for name, value in rows)
