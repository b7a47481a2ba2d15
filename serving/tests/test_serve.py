"""`//serving:serve` starts, says how to call it, and leaves nothing behind."""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
from payments import publish, small_artifact
from server import ask, free_ports

from data_connector import ModelNotFoundError, ModelStore
from data_connector.command import UsageError, run
from fraud_detect.errors import ServingError
from fraud_detect.processes import DIES_WITH_US, python_path
from fraud_detect.readiness import tell_service_manager
from fraud_detect.running import find_running, only_server_of
from fraud_detect.serve import SHOWN, choose_model, main
from fraud_detect.serve_options import parse_serve_options
from fraud_detect.torchserve_config import Ports


def test_options_have_defaults_and_are_taken_over() -> None:
    usual = parse_serve_options([])
    assert (usual.model, usual.model_store, usual.feature_store) == (None, None, None)
    assert (usual.server.ports, usual.server.token_auth, usual.server.workers) == (Ports(), True, 1)
    given = parse_serve_options(["--model", "3", "--port", "81", "--token-auth=off"])
    assert (given.model, given.server.ports.inference, given.server.token_auth) == ("3", 81, False)


def test_relative_places_are_those_of_the_user_not_of_the_workers(monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    given = parse_serve_options(["--model-store", "m", "--feature-store", "sqlite:///f.db?a=1"])
    assert given.model_store == f"{tmp_path}/m"
    assert given.feature_store == f"sqlite:///{tmp_path}/f.db?a=1"
    for url in ("redis://host/1", "env:STORE", "postgresql://a@b/c", "s3://bucket/m"):
        assert parse_serve_options(["--feature-store", url]).feature_store == url


@pytest.mark.parametrize(
    "arguments", [["--workers", "0"], ["--port", "65536"], ["--port", "x"], ["--mod", "3"]]
)
def test_options_that_cannot_be_are_refused(arguments) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse_serve_options(arguments)


def test_a_certificate_needs_its_key_and_both_are_there(tmp_path) -> None:
    with pytest.raises(UsageError, match="go together"):
        parse_serve_options(["--tls-cert", str(tmp_path)])
    with pytest.raises(UsageError, match="no such file"):
        parse_serve_options(["--tls-cert", str(tmp_path / "a"), "--tls-key", str(tmp_path / "b")])


def test_the_champion_is_served_or_the_newest_or_what_was_asked_for(tmp_path) -> None:
    store = ModelStore(tmp_path)
    with pytest.raises(ServingError, match="//batch:train"):
        choose_model(store, None)
    for _ in range(3):
        publish(tmp_path, small_artifact())
    assert choose_model(store, None).version == 3
    store.set_alias("fraud", "champion", 2)
    assert choose_model(store, None).version == 2
    assert choose_model(store, "1").version == 1
    store.set_alias("fraud", "best", 1)
    assert choose_model(store, "best").version == 1
    for unknown in ("4", "worst"):
        with pytest.raises(ModelNotFoundError, match=unknown):
            choose_model(store, unknown)


def test_a_damaged_model_is_refused_at_once_by_the_name_of_its_file(
    tmp_path, monkeypatch, capsys
) -> None:
    publish(tmp_path / "models", small_artifact())
    (weights,) = tmp_path.glob("models/**/model.safetensors")
    weights.chmod(0o600)
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    monkeypatch.setenv("FRAUD_HOME", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["serve"])
    assert run(main, shown=SHOWN) == 1
    assert "model.safetensors" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("decisions.parquet", "decisions go to sqlite"),
        ("mongodb://host/decisions", "decisions go to sqlite"),
        ("sqlite:////proc/decisions.db", "/proc/decisions.db"),
        ("postgresql://fraud:s3cr3t@127.0.0.1:1/fraud", "127.0.0.1"),
        ("secret-file:/proc/nothing", "/proc/nothing"),
    ],
)
def test_a_decision_log_that_cannot_be_written_is_refused_at_once(
    home, monkeypatch, capsys, url, why
) -> None:
    monkeypatch.chdir(home)
    monkeypatch.setenv("FRAUD_HOME", str(home))
    monkeypatch.setattr("sys.argv", ["serve", "--decision-log", url])
    assert run(main, shown=SHOWN) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: --decision-log")
    assert why in said
    assert "s3cr3t" not in said


def test_systemd_is_told_through_a_file_s_socket_or_one_without_a_file(monkeypatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    tell_service_manager("READY=1")  # nobody wants to know
    name = f"fraud-{uuid.uuid4()}"
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        for place, bound in ((f"{folder}/n", f"{folder}/n"), (f"@{name}", f"\0{name}")):
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
                heard.bind(bound)
                monkeypatch.setenv("NOTIFY_SOCKET", place)
                tell_service_manager("READY=1")
                assert heard.recv(100) == b"READY=1"


def test_one_server_has_the_state_for_itself(tmp_path) -> None:
    with pytest.raises(ServingError, match="no server of"):
        find_running(tmp_path)
    with only_server_of(tmp_path):
        with pytest.raises(ServingError, match="a server runs already"), only_server_of(tmp_path):
            pass
        with pytest.raises(ServingError, match="not ready yet"):
            find_running(tmp_path)
    with only_server_of(tmp_path):
        pass


class Served:
    """The command in a process of its own, and what it said until it was ready."""

    def __init__(self, home: Path, *arguments: str) -> None:
        self.home = home
        self.ports = free_ports()
        ports = [f"{option}={port}" for option, port in self.ports.options().items()]
        self.process = subprocess.Popen(
            [*DIES_WITH_US, sys.executable, "-m", "fraud_detect.serve", *ports, *arguments],
            env=os.environ | {"FRAUD_HOME": str(home), "PYTHONPATH": python_path()},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        self.said = ""
        for line in self.process.stdout:
            self.said += line
            if line.startswith("Ctrl-C"):
                break

    def family(self) -> list[psutil.Process]:
        """All that it has started."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def value(self, name: str) -> str:
        """What it said of ``name``."""
        (value,) = re.findall(rf"^{name}: +(.*)$", self.said, re.MULTILINE)
        return value

    def call_as_told(self):
        """The reply to the printed call."""
        _, *words = shlex.split(self.value("try"))
        headers, body = {}, b""
        for option, value in pairwise(words):
            if option == "-H":
                name, _, content = value.partition(": ")
                token = re.sub(r"\$\(cat (.*)\)", lambda found: Path(found[1]).read_text(), content)
                headers[name] = token
            if option == "-d":
                body = value.encode()
        path = words[-1].removeprefix(f"http://127.0.0.1:{self.ports.inference}")
        return ask(self.ports.inference, path, body, headers=headers)

    def wait(self) -> str:
        """What else it said; returns when it has ended."""
        said, _ = self.process.communicate(timeout=60)
        return said


@contextmanager
def served(home: Path, *arguments: str):
    server = Served(home, *arguments)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.process.terminate()
            server.wait()


@pytest.fixture
def home(tmp_path) -> Path:
    publish(tmp_path / "models", small_artifact())
    return tmp_path


def deployed(home: Path, *arguments: str) -> str:
    """What `//serving:deploy` says."""
    return subprocess.run(
        [sys.executable, "-m", "fraud_detect.deploy", *arguments],
        env=os.environ | {"FRAUD_HOME": str(home), "PYTHONPATH": python_path()},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    ).stdout


def test_deploy_finds_the_server_and_tells_what_it_does(home) -> None:
    assert "no server of" in deployed(home, "--status")
    publish(home / "models", small_artifact(seed=1))
    with served(home, "--model=1") as server:
        assert "version 2 serves" in deployed(home, "2")
        assert "serving: version 2" in deployed(home, "--status")
        assert server.call_as_told().json["model"]["version"] == 2
        assert "version 1 serves" in deployed(home, "--rollback")
        assert server.call_as_told().json["model"]["version"] == 1
        assert "no version 9" in deployed(home, "9")
    with served(home) as server:
        assert server.call_as_told().json["model"]["version"] == 1


def test_what_serves_stays_in_the_store_however_often_another_is_promoted(home) -> None:
    store = ModelStore(home / "models")
    with served(home) as server:
        for seed in (1, 2, 3):
            store.set_alias("fraud", "previous", store.aliases("fraud").get("champion"))
            publish(home / "models", small_artifact(seed=seed))
            store.set_alias("fraud", "champion", store.latest("fraud").version)
        assert store.collect_garbage("fraud", keep_last=1) == (2,)
        assert server.call_as_told().json["model"]["version"] == 1


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_printed_call_works_and_a_signal_ends_all_of_it(home, how, monkeypatch) -> None:
    name = f"fraud-{uuid.uuid4()}"
    systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    systemd.bind(f"\0{name}")
    systemd.settimeout(10)
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
    with systemd, served(home) as server:
        assert systemd.recv(100) == b"READY=1"
        reply = server.call_as_told()
        assert reply.status == 200, reply.body
        assert reply.json["model"] == {"name": "fraud", "version": 1}
        assert reply.json["reasons"] is not None
        without = ask(server.ports.inference, "/predictions/fraud", b"{}")
        assert without.status in (400, 401, 403)
        assert "oken" in without.body.decode()
        family, running = server.family(), find_running(home)
        commands = [" ".join(process.cmdline()) for process in family]
        for part in ("org.pytorch.serve.ModelServer", "model_service_worker", "fraud_detect.keep"):
            assert any(part in command for command in commands)
        server.process.send_signal(how)
        assert "stopping" in server.wait()
        assert systemd.recv(100) == b"STOPPING=1"
    assert server.process.returncode == 0
    assert not [process for process in family if process.is_running()]
    assert not Path(running.folder).exists()
    assert sorted(path.name for path in home.iterdir() if path.name.startswith("server")) == [
        "server.lock"
    ]


def test_a_launcher_that_is_killed_takes_all_with_it_and_the_next_one_cleans_up(home) -> None:
    with served(home, "--token-auth=off") as server:
        family, folder = server.family(), Path(find_running(home).folder)
        server.process.kill()
        server.wait()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive
    with pytest.raises(ServingError, match="no server of"):
        find_running(home)
    with only_server_of(home):
        assert not (home / "server.json").exists()  # or it would say that this one is ready
    with served(home, "--token-auth=off") as server:
        assert not folder.exists()
        assert server.call_as_told().status == 200


def test_a_port_in_use_is_named_and_so_is_its_option(home) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        with served(home, f"--metrics-port={port}") as server:
            server.wait()
    assert server.process.returncode == 1
    assert f"port {port} " in server.said
    assert "--metrics-port" in server.said
    assert "Traceback" not in server.said


def test_without_a_model_it_says_to_train_one(tmp_path) -> None:
    with served(tmp_path) as server:
        server.wait()
    assert server.process.returncode == 1
    assert "./bazelw run //batch:train" in server.said
    assert "Traceback" not in server.said
