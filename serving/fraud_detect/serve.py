"""`./bazelw run //serving:serve`: a stored model behind TorchServe, until Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from data_connector import ModelNotFoundError, ModelStore, StoredModel
from data_connector.command import fraud_home, run
from fraud_detect.errors import ServingError
from fraud_detect.processes import DIES_WITH_US, python_path
from fraud_detect.serve_options import ServeOptions, parse_serve_options
from fraud_detect.torchserve import TorchServe
from fraud_detect.torchserve_config import ServerOptions
from fraud_detect.worker_settings import MODEL_NAME, WorkerSettings
from fraud_ml.errors import ArtifactError

CHAMPION = "champion"
SHOWN: tuple[type[Exception], ...] = (ArtifactError, ServingError)

_EXAMPLE = (
    '{"transaction_id": "t-1", "timestamp": "2026-01-31T12:00:00Z", "customer_id": 1,'
    ' "terminal_id": 2, "amount": 512.40, "reasons": true}'
)


def settings_of(options: ServeOptions, home: Path) -> WorkerSettings:
    """Where workers find what they need: what the user named, or what is in ``home``."""
    return WorkerSettings(
        model_store=options.model_store or str(home / "models"),
        feature_store=options.feature_store or f"sqlite:///{home / 'features.db'}",
        decision_log=(
            f"sqlite:///{home / 'decisions.db'}"
            if options.decision_log is None
            else options.decision_log
        ),
    )


def choose_model(store: ModelStore, wanted: str | None) -> StoredModel:
    """The version to serve.

    Args:
        store: of models.
        wanted: a version, an alias, or None for the champion, or the newest where there is none.

    Raises:
        ModelNotFoundError: there is none; the message says what to do.
    """
    if wanted is not None and wanted.isdigit():
        return store.get(MODEL_NAME, int(wanted))
    if wanted is not None or CHAMPION in store.aliases(MODEL_NAME):
        return store.resolve(MODEL_NAME, wanted or CHAMPION)
    try:
        return store.latest(MODEL_NAME)
    except ModelNotFoundError as error:
        raise ServingError(f"{error}; train one first: ./bazelw run //batch:train") from None


def _keeper(version: int, settings: WorkerSettings) -> subprocess.Popen[bytes]:
    program = [sys.executable, "-m", "fraud_detect.keep", str(version)]
    return subprocess.Popen(
        [*DIES_WITH_US, *program],
        env={**os.environ, **settings.environment(), "PYTHONPATH": python_path()},
        stdin=subprocess.DEVNULL,
    )


def _say(stored: StoredModel, server: TorchServe) -> None:
    options: ServerOptions = server.options
    scheme = "http" if options.certificate is None else "https"
    url = f"{scheme}://127.0.0.1:{options.ports.inference}/predictions/{MODEL_NAME}"
    token = f" -H 'Authorization: Bearer '$(cat {server.token_file})" if options.token_auth else ""
    sys.stdout.write(
        f"serving {stored.name} version {stored.version}\n"
        f"score:    {url}\n"
        f"metrics:  {scheme}://127.0.0.1:{options.ports.metrics}/metrics\n"
        f"gRPC:     127.0.0.1:{options.ports.grpc_inference}\n"
        f"log:      {server.log}\n"
        f"try:      curl {url} -H 'Content-Type: application/json'{token} -d '{_EXAMPLE}'\n"
        "Ctrl-C stops it.\n"
    )
    sys.stdout.flush()


def main() -> None:
    """Serves as the command line says."""
    options = parse_serve_options()
    home = fraud_home()
    settings = settings_of(options, home)
    stored = choose_model(ModelStore(settings.model_store), options.model)
    with TorchServe(str(stored.version), settings, options.server) as server:
        keeper = _keeper(stored.version, settings)
        try:
            _say(stored, server)
            server.wait()
        finally:
            server.stop()
            keeper.send_signal(signal.SIGTERM)
            keeper.wait()


if __name__ == "__main__":
    sys.exit(run(main, shown=SHOWN))
