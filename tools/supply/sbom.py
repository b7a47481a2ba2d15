"""Writes the software bill of materials of the locked packages, in CycloneDX 1.6 (JSON).

    ./bazelw run //tools/supply:sbom -- --output sbom.json

The same lock gives the same bytes; with SOURCE_DATE_EPOCH set, the bill says that time too.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from tools.requirements.lock import Pin, read_lock
from tools.supply import errors
from tools.supply.bill import bill
from tools.supply.licences import of_the_lock

LOCK = Path("requirements_lock.txt")


def source_date_epoch() -> int | None:
    """What reproducible builds call the time, or None where it is not set.

    Raises:
        SupplyError: it is no number of seconds.
    """
    value = os.environ.get("SOURCE_DATE_EPOCH")
    if value is None:
        return None
    try:
        return int(value)
    except ValueError:
        raise errors.SupplyError(f"SOURCE_DATE_EPOCH must be seconds, got {value!r}") from None


def write(pins: dict[str, Pin], licences: dict[str, str], output: Path) -> int:
    """0, with the bill in ``output``, which is never half written."""
    text = bill(pins, licences, epoch=source_date_epoch())
    aside = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        aside.write_text(text, encoding="utf-8")
        aside.replace(output)
    finally:
        aside.unlink(missing_ok=True)
    sys.stdout.write(f"{output}: {len(pins)} packages\n")
    return errors.DONE


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="where to write it")
    output: Path = parser.parse_args().output
    pins = read_lock(LOCK.read_text(encoding="utf-8"))
    packages, _ = of_the_lock()
    licences = {each.name: each.licence for each in packages if each.licence is not None}
    return errors.run(lambda: write(pins, licences, output))


if __name__ == "__main__":
    sys.exit(main())
