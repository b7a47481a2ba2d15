"""The command line of `//serving:deploy`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class DeployOptions:
    """What the user asked for: one of these."""

    version: str | None = None
    """To deploy: a number, or an alias."""
    challenger: str | None = None
    """To shadow: a number, an alias, or ``none`` for no more."""
    promote: bool = False
    rollback: bool = False
    status: bool = False


def parse_deploy_options(arguments: Sequence[str] | None = None) -> DeployOptions:
    """The options in ``arguments``, the command line's by default; exits with 2 where it cannot."""
    parser = argparse.ArgumentParser(
        prog="./bazelw run //serving:deploy --",
        description="Changes which stored version of the model the running server answers with,"
        " without one request failed.",
        allow_abbrev=False,
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("version", nargs="?", help="version or alias that shall answer from now on")
    what.add_argument(
        "--rollback", action="store_true", help="let the version answer that did before"
    )
    what.add_argument(
        "--challenger",
        metavar="VERSION",
        help="version or alias that shall score beside, and not be answered; none: no longer",
    )
    what.add_argument("--promote", action="store_true", help="let the challenger answer")
    what.add_argument("--status", action="store_true", help="print what serves")
    return DeployOptions(**vars(parser.parse_args(arguments)))
