"""Changes a module in many small ways, and sees whether its tests notice.

    ./bazelw run //tools/mutation:run -- --module fraud_ml.metrics

Each change (an operator, a constant, an argument) is a mutant; one that no test fails for has
survived, and is shown: either a test is missing, or the change makes no difference. mutmut makes
the mutants and runs the tests, in a copy of the sources; tools/mutation/README.md says what it
found.

Exit code: 0, or 1 where too few were killed; 2 wrong usage.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from tools.mutation.copied import MODULES, copy
from tools.mutation.mutants import Mutmut
from tools.mutation.scored import Score, sample

LEAST = 80.0
"""Percent of the mutants that must be killed."""


def options(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--module", choices=sorted(MODULES), required=True, help="which")
    parser.add_argument("--sample", type=int, metavar="N", help="only N mutants; all unless given")
    parser.add_argument("--seed", type=int, default=0, help="which N")
    parser.add_argument("--least", type=float, default=LEAST, help="percent that must be killed")
    parser.add_argument("--keep", type=Path, help="a folder to work in, which stays")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """The exit code."""
    chosen = options(arguments)
    root = Path.cwd()  # the folder of the runfiles
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    with tempfile.TemporaryDirectory(prefix="mutation") as temporary:
        work = Path(temporary)
        if chosen.keep:
            work = Path(os.environ.get("BUILD_WORKING_DIRECTORY", ".")) / chosen.keep
        if (work / "mutants").exists() or (work / "tests").exists():
            sys.stderr.write(f"error: {work} is in use; name a folder that is new\n")
            return 2
        mutmut = Mutmut(copy(root, chosen.module, work), chosen.module)
        mutants = mutmut.mutants()
        tried = sample(mutants, chosen.sample, chosen.seed)
        console.print(f"{chosen.module}: {len(mutants)} mutants, {len(tried)} of them tried")
        score = Score(mutmut.run(tried))
        for name in score.survivors:
            console.print(f"\n{mutmut.difference(name)}", markup=False)
    console.print(score.summary())
    return 0 if score.percent >= chosen.least else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
