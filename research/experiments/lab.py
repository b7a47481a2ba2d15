"""`./bazelw run //research:lab`: notebooks in which all five projects are imported and edited."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from data_connector.command import fraud_home, run
from experiments.lab_server import LabError, Server, add_server_options, serve

TOUR = Path("research/notebooks/tour.py")


def main(arguments: Sequence[str] | None = None) -> None:
    """Serves the lab as the command line says, until it is interrupted."""
    parser = argparse.ArgumentParser(
        prog="./bazelw run //research:lab --",
        description="Notebooks of marimo, with the workspace's own files to import and edit. It"
        " opens on a tour of the five projects.",
        epilog="Only this machine reaches it, and only with the token of the address that it"
        " prints. Its settings are kept in $FRAUD_HOME/lab. Exit codes: 0 done, 1 failed or"
        " interrupted, 2 wrong usage.",
        allow_abbrev=False,
    )
    add_server_options(parser)
    given = parser.parse_args(arguments)
    serve(Server.of(given, home=fraud_home(), edit=True), TOUR)


if __name__ == "__main__":
    sys.exit(run(main, shown=(LabError,)))
