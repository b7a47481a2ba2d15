"""`./bazelw run //research:simulate`: a scenario's transactions, and the truth beside them."""

from __future__ import annotations

import argparse
import dataclasses
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from batch_proc.data_options import at_least
from batch_proc.errors import SHOWN
from batch_proc.progress import Stages
from data_connector.command import UsageError, run
from experiments.simulation_files import TRANSACTIONS, write_scenario
from fraud_ml.scenario import Scenario, scaled
from fraud_ml.scenario_toml import scenario_from_toml

_EPILOG = f"""\
Without --scenario it is the Fraud Detection Handbook's. --rows makes more people and terminals, as
dense on the map, and as many more frauds; so --days changes how long, --rows how many.

The folder holds {TRANSACTIONS} (transactions with is_fraud and labelled_at, for --source of
other commands), the truth beside it, and scenario.toml with every setting. It appears whole or not
at all, and the same settings give the same files. Adversaries find no policy here: nothing is
declined. To give them one, call experiments.simulation_files.write_scenario(..., decide=...).

Exit codes: 0 done, 1 failed, 2 wrong usage.
"""


def parse_options(arguments: Sequence[str] | None = None) -> tuple[Scenario, Path]:
    """The scenario and the folder that the command line says.

    Raises:
        UsageError: the options are well formed, but what they name cannot be used.
    """
    parser = argparse.ArgumentParser(
        prog="./bazelw run //research:simulate --",
        description="Simulates a scenario's transactions, labels and truth into Parquet files.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--scenario", type=Path, metavar="FILE", help="TOML: ml/README.md, Compose a scenario"
    )
    parser.add_argument(
        "--output", type=Path, metavar="DIR", required=True, help="a folder that is not there yet"
    )
    for option, least, what in (
        ("--rows", 1, "about so many transactions"),
        ("--days", 1, "in place of the scenario's n_days"),
        ("--seed", 0, "in place of the scenario's"),
    ):
        parser.add_argument(option, type=at_least(least), metavar="N", help=what)
    given = parser.parse_args(arguments)
    if not given.output.absolute().parent.is_dir():
        raise UsageError(f"--output {given.output}: the folder above it does not exist")
    scenario = read_scenario(given.scenario) if given.scenario else Scenario()
    changes = {"n_days": given.days, "seed": given.seed}
    scenario = dataclasses.replace(
        scenario, **{name: value for name, value in changes.items() if value is not None}
    )
    return (scaled(scenario, given.rows) if given.rows else scenario), given.output.absolute()


def read_scenario(path: Path) -> Scenario:
    """The scenario that the file of ``--scenario`` says.

    Raises:
        UsageError: it cannot be read, or is none.
    """
    try:
        return scenario_from_toml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--scenario {path}: cannot be read: {error.strerror}") from error
    except ValueError as error:  # no UTF-8, no TOML, or no scenario
        raise UsageError(f"--scenario {path}: {error}") from error


def main() -> None:
    """Simulates as the command line says."""
    scenario, folder = parse_options()
    stages = Stages()
    started = time.monotonic()
    with stages.stage("simulate", f"simulate {scenario.n_days} days") as stage:
        try:
            written = write_scenario(
                scenario, folder, on_day=lambda day, _: stage.advance(day + 1, scenario.n_days)
            )
        except ValueError as error:
            raise UsageError(str(error)) from error
        stage.say(str(folder))
    stages.stop()
    seconds = time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    lines = [
        f"{written.n_rows:,} transactions in {folder}",
        *(f"{name}: {number:,}" for name, number in written.frauds.items()),
        f"{seconds:.1f} s, {written.n_rows / seconds:,.0f} rows/s, {peak:,.0f} MiB at most",
    ]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(run(main, shown=SHOWN))
