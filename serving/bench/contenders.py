"""The servers that are compared, each started as its users would, on loopback."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import plain_model
from workload import published_model

from data_connector import ModelStore, StoredModel
from data_connector.model_aliases import CHALLENGER
from fraud_detect.ports import free_ports, unused_ports
from fraud_detect.processes import DIES_WITH_US, python_path
from fraud_detect.shadow_table import Comparison, compare
from fraud_detect.torchserve import JAVA_HOME, TorchServe
from fraud_detect.torchserve_config import ServerOptions
from fraud_detect.worker_settings import WorkerSettings

OURS = "ours"
SHADOWED = "ours with a challenger"
START_WITHIN = 120.0
STOP_WITHIN = 20.0  # seconds

_HERE = Path(__file__).parent  # as are the peers' own programs
# What the programs `torch-model-archiver` and `torchserve` are, wherever those may be.
_ARCHIVER = "from model_archiver.model_packaging import generate_model_archive as go; go()"
_TORCHSERVE = "from ts.model_server import start; start()"


@dataclass(frozen=True, slots=True)
class Contender:
    """A server that runs."""

    port: int
    single: str
    """The path for one transaction."""
    bulk: str
    """The path for a list of them."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What a server is started on; nobody else's."""

    model: StoredModel
    models: Path
    """The model store, with ``model``."""
    store: str
    """The feature store's URL: it has the past."""
    folder: Path
    """Empty; its path is short, since TorchServe has sockets in it."""


Start = Callable[[Ground], AbstractContextManager[Contender]]


@contextmanager
def ours(ground: Ground) -> Iterator[Contender]:
    """TorchServe as `//serving:serve` starts it, logs and all, but without the tokens."""
    settings = WorkerSettings(
        model_store=str(ground.models),
        feature_store=ground.store,
        decision_log=f"sqlite:///{ground.folder / 'decisions.db'}",
        shadow_log=f"sqlite:///{ground.folder / 'shadow.db'}",
    )
    options = ServerOptions(ports=free_ports(), token_auth=False)
    with TorchServe(str(ground.model.version), settings, options) as server:
        yield Contender(server.ports.inference, "/predictions/fraud", "/predictions/fraud")


@contextmanager
def ours_with_a_challenger(ground: Ground) -> Iterator[Contender]:
    """The same, and a model of the same features that scores beside it."""
    models = ground.folder / "models"
    shutil.copytree(ground.models, models)
    challenger = published_model(models, seed=1)
    ModelStore(models).set_alias(challenger.name, CHALLENGER, challenger.version)
    with ours(replace(ground, models=models)) as contender:
        yield contender


def challenger_of(ground: Ground) -> Comparison:
    """How much the challenger has scored of what it should have.

    Raises:
        RuntimeError: nothing at all.
    """
    champion = ground.model.version
    found = compare(f"sqlite:///{ground.folder / 'shadow.db'}", champion, champion + 1)
    if not found.compared:
        raise RuntimeError("the challenger did not score")
    return found


@contextmanager
def plain_torchserve(ground: Ground) -> Iterator[Contender]:
    """TorchServe by its README: `torch-model-archiver`, then `torchserve`.

    The configuration is the default but for the ports; metrics and log are its own.
    """
    archives = ground.folder / "model_store"
    archives.mkdir()
    subprocess.run(
        [
            *(sys.executable, "-c", _ARCHIVER),
            *("--model-name", "fraud", "--version", "1.0"),
            *("--handler", str(_HERE / "torchserve_peer.py"), "--export-path", str(archives)),
        ],
        check=True,
        env={**os.environ, "PYTHONPATH": python_path()},
    )
    inference, management, metrics, grpc, grpc_management = unused_ports(5)
    config = ground.folder / "config.properties"
    config.write_text(
        f"inference_address=http://127.0.0.1:{inference}\n"
        f"management_address=http://127.0.0.1:{management}\n"
        f"metrics_address=http://127.0.0.1:{metrics}\n"
        f"grpc_inference_port={grpc}\ngrpc_management_port={grpc_management}\n"
    )
    command = [
        *(sys.executable, "-c", _TORCHSERVE, "--start", "--foreground", "--ncs"),
        *("--model-store", str(archives), "--models", "fraud=fraud.mar"),
        *("--ts-config", str(config), "--disable-token-auth"),
    ]
    with _running(command, ground):
        _wait_for(management, "/models/fraud", _has_workers)
        yield Contender(inference, "/predictions/fraud", "/predictions/fraud")


@contextmanager
def fastapi(ground: Ground) -> Iterator[Contender]:
    """FastAPI under uvicorn."""
    (port,) = unused_ports(1)
    with _running([sys.executable, str(_HERE / "fastapi_peer.py"), str(port)], ground):
        _wait_for(port, "/openapi.json")
        yield Contender(port, "/predict", "/predict_many")


@contextmanager
def litserve(ground: Ground) -> Iterator[Contender]:
    """LitServe."""
    (port,) = unused_ports(1)
    with _running([sys.executable, str(_HERE / "litserve_peer.py"), str(port)], ground):
        _wait_for(port, "/health")
        yield Contender(port, "/predict", "/predict")


CONTENDERS: dict[str, Start] = {
    OURS: ours,
    SHADOWED: ours_with_a_challenger,
    "plain TorchServe": plain_torchserve,
    "FastAPI": fastapi,
    "LitServe": litserve,
}


@contextmanager
def _running(command: list[str], ground: Ground) -> Iterator[None]:
    """Runs a program in a session of its own, with what the peers need in its environment."""
    # Not in their folder: sockets' paths are short.
    temporary = tempfile.mkdtemp(prefix="b-")
    environment = {
        **os.environ,
        plain_model.MODEL: str(ground.model.path),
        plain_model.STORE: ground.store,
        "PYTHONPATH": python_path(),
        **({"JAVA_HOME": str(JAVA_HOME)} if JAVA_HOME else {}),
        # Where TorchServe puts logs, sockets and the number of its process.
        **dict.fromkeys(("LOG_LOCATION", "METRICS_LOCATION"), str(ground.folder)),
        **dict.fromkeys(("TEMP", "TMPDIR"), temporary),
    }
    log = ground.folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*DIES_WITH_US, *command],
            cwd=ground.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield
    except BaseException:
        sys.stderr.write(log.read_text(errors="replace")[-5_000:])
        raise
    finally:
        process.terminate()
        try:
            process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            pass
        finally:
            _kill_session(process)
            shutil.rmtree(temporary, ignore_errors=True)


def _kill_session(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def _has_workers(content: bytes) -> bool:
    (model,) = json.loads(content)
    return bool(model["workers"]) and all(it["status"] == "READY" for it in model["workers"])


def _wait_for(port: int, path: str, is_good: Callable[[bytes], bool] = bool) -> None:
    """Until there is an answer of 200 that is good."""
    deadline = time.monotonic() + START_WITHIN
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            content = answer.read()
            if answer.status == 200 and is_good(content):
                return
        except OSError:
            pass
        finally:
            connection.close()
        if time.monotonic() > deadline:
            raise TimeoutError(f"no server at port {port} within {START_WITHIN:g} s")
        time.sleep(0.05)
