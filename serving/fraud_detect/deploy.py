"""`./bazelw run //serving:deploy`: another version for the running server."""

from __future__ import annotations

import sys

from data_connector.command import fraud_home, run
from fraud_detect.deploy_options import parse_deploy_options
from fraud_detect.deployment import Deployment
from fraud_detect.errors import ServingError
from fraud_detect.running import find_running
from fraud_ml.errors import ArtifactError


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Deploys as the command line says."""
    options = parse_deploy_options()
    deployment = Deployment(find_running(fraud_home()), _say)
    if options.version is not None:
        deployment.deploy(deployment.named(options.version))
    if options.challenger is not None:
        no_more = options.challenger == "none"
        deployment.challenge(None if no_more else deployment.named(options.challenger))
    if options.promote:
        deployment.promote()
    if options.rollback:
        deployment.roll_back()
    if options.status:
        for line in deployment.status():
            _say(line)


def command() -> int:
    """The exit code of :func:`main`; its errors are told."""
    return run(main, shown=(ArtifactError, ServingError))


if __name__ == "__main__":
    sys.exit(command())
