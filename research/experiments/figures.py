"""`./bazelw run //research:figures`: figures of the experiments that sweep, from their reports."""

from __future__ import annotations

import argparse
import os
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

from batch_proc.errors import SHOWN
from data_connector.command import run
from experiments.sweep import FIGURE, Sweep, draw_report

FOLDER = Path("research") / "experiments"


def sweeps(folder: Path) -> Iterator[tuple[Path, Sweep]]:
    """The folders below ``folder`` of the experiments that have a report of a sweep, and that."""
    for report in sorted(folder.glob("*/report.json")):
        code = report.parent / "experiment.py"
        sweep = runpy.run_path(str(code)).get("SWEEP") if code.exists() else None
        if isinstance(sweep, Sweep):
            yield report.parent, sweep


def main() -> None:
    """Draws a figure.svg beside each report."""
    argparse.ArgumentParser(
        prog="./bazelw run //research:figures --",
        description="Draw the figure.svg of each experiment that sweeps from its report.json.",
        epilog="Exit codes: 0 done, 1 failed, 2 wrong usage.",
        allow_abbrev=False,
    ).parse_args()
    workspace = Path(os.environ.get("BUILD_WORKSPACE_DIRECTORY", ".")).absolute()
    for folder, sweep in sweeps(workspace / FOLDER):
        draw_report(sweep, folder / "report.json", folder / FIGURE)
        sys.stdout.write(f"{(folder / FIGURE).relative_to(workspace)}\n")


if __name__ == "__main__":
    sys.exit(run(main, shown=SHOWN))
