"""`./bazelw run //serving:serve`: a stored model behind TorchServe, until Ctrl-C."""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import closing
from pathlib import Path

from data_connector import ModelNotFoundError, ModelStore, StoredModel
from data_connector.command import fraud_home, run
from data_connector.model_aliases import SERVING, choose
from fraud_detect.errors import ServingError
from fraud_detect.keeper_process import KeeperProcess
from fraud_detect.online_state import check_history
from fraud_detect.readiness import tell_service_manager
from fraud_detect.running import Running, announce, only_server_of
from fraud_detect.serve_options import ServeOptions, parse_serve_options
from fraud_detect.torchserve import TorchServe
from fraud_detect.torchserve_config import ServerOptions
from fraud_detect.worker_settings import MODEL_NAME, WorkerSettings, usual_feature_store
from fraud_detect.write_decisions import check_decision_log
from fraud_ml.artifact import load_artifact
from fraud_ml.errors import ArtifactError

_LOOK = 1.0  # seconds between looks at the processes
SHOWN: tuple[type[Exception], ...] = (ArtifactError, ServingError)

_EXAMPLE = (
    '{"transaction_id": "t-1", "timestamp": "2026-01-31T12:00:00Z", "customer_id": 1,'
    ' "terminal_id": 2, "amount": 512.40, "reasons": true}'
)


def settings_of(options: ServeOptions, home: Path) -> WorkerSettings:
    """Where workers find what they need: what the user named, or what is in ``home``."""
    return WorkerSettings(
        model_store=options.model_store or str(home / "models"),
        feature_store=options.feature_store or usual_feature_store(home),
        shadow_log=f"sqlite:///{home / 'shadow.db'}",
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
        ModelNotFoundError: there is no such version or alias; the message lists those there are.
        ServingError: there is no model at all.
    """
    try:
        return choose(store, MODEL_NAME, wanted)
    except ModelNotFoundError:
        if wanted is not None:
            raise
        raise ServingError(
            f"{store} has no model {MODEL_NAME!r} yet: train one first, ./bazelw run //batch:train"
        ) from None


def _say(stored: StoredModel, server: TorchServe) -> None:
    options: ServerOptions = server.options
    url, curl = _url(options), ["curl"]
    if options.certificate is not None:
        curl += ["--cacert", shlex.quote(str(options.certificate))]
    if options.token_auth:
        curl.append(f'-H "Authorization: Bearer $(cat {server.folder.token_file})"')
    curl += ["-H 'Content-Type: application/json'", f"-d '{_EXAMPLE}'", url]
    scheme = url.partition(":")[0]
    lines = [
        f"serving {stored.name} version {stored.version}",
        f"score:    {url}",
        f"metrics:  {scheme}://127.0.0.1:{options.ports.metrics}/metrics",
        f"gRPC:     127.0.0.1:{options.ports.grpc_inference}",
        f"token:    {server.folder.token_file}"
        if options.token_auth
        else "token:    none is asked",
        f"log:      {server.log}",
        f"try:      {' '.join(curl)}",
        "Ctrl-C stops it.",
    ]
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def _url(options: ServerOptions) -> str:
    scheme = "http" if options.certificate is None else "https"
    return f"{scheme}://127.0.0.1:{options.ports.inference}/predictions/{MODEL_NAME}"


def _serve(stored: StoredModel, settings: WorkerSettings, options: ServerOptions) -> None:
    """Serves until Ctrl-C or SIGTERM."""
    home, store = fraud_home(), ModelStore(settings.model_store)
    with (
        only_server_of(home),
        closing(KeeperProcess(stored.version, settings)) as keeper,  # the last one to end
        TorchServe(str(stored.version), settings, options) as server,
    ):
        folder = str(server.folder.path)
        here = Running(pid=os.getpid(), folder=folder, url=_url(options), settings=settings)
        store.set_alias(stored.name, SERVING, stored.version)  # or its files could be cleared away
        announce(home, here)
        _say(stored, server)
        tell_service_manager("READY=1")
        try:
            while True:
                server.wait(_LOOK)
                keeper.look_after()
        except KeyboardInterrupt:
            tell_service_manager("STOPPING=1")
            sys.stdout.write("stopping, once all is answered that was accepted\n")
            sys.stdout.flush()


def main() -> None:
    """Serves as the command line says."""
    options = parse_serve_options()
    settings = settings_of(options, fraud_home())
    stored = choose_model(ModelStore(settings.model_store), options.model)
    # What workers would refuse is refused at once: TorchServe would start them again and again.
    check_history(settings.feature_store, load_artifact(stored.path).spec)
    if settings.decision_log:
        check_decision_log(settings.decision_log)
    _serve(stored, settings, options.server)


def command() -> int:
    """The exit code of :func:`main`; its errors are told."""
    return run(main, shown=SHOWN)


if __name__ == "__main__":
    sys.exit(command())
