"""A machine with Java and nothing of ours serves from the one archive, as the unit starts it."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from payments import bodies_of, publish, small_artifact, small_simulation
from server import ask

from fraud_detect.ports import free_ports
from fraud_detect.processes import DIES_WITH_US

ARCHIVE = Path("serving/serve_env.tar.gz").absolute()
UNIT = (Path(__file__).parents[1] / "production/fraud-detect.service").read_text()


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Where the archive is unpacked, in place of /opt/fraud-detect."""
    folder = tmp_path_factory.mktemp("opt")
    subprocess.run(["tar", "-xzf", ARCHIVE, "-C", folder], check=True)
    return folder


@pytest.fixture
def run_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="fd", dir="/tmp") as folder:  # sockets: a short path
        yield Path(folder)


def command_of(unit: str, place: Path, credentials: Path) -> list[str]:
    """`ExecStart` as systemd would read it."""
    (line,) = re.findall(r"^ExecStart=(.*)$", re.sub(r"\\\n\s*", "", unit), re.MULTILINE)
    told = line.replace("/opt/fraud-detect", str(place)).replace("%d", str(credentials))
    return shlex.split(told.replace("${WORKERS}", "1"))


def variables_of(unit: str, home: Path, run_folder: Path) -> dict[str, str]:
    """What the unit's environment is, in the folders of a test; nothing of this process' own."""
    told = dict(re.findall(r"^Environment=(\w+)=(%\w)/fraud-detect$", unit, re.MULTILINE))
    folders = {"%S": home, "%C": home / "cache", "%t": run_folder}
    return {
        "PATH": f"{os.environ['JAVA_HOME']}/bin:/usr/bin:/bin",
        **{name: str(folders[specifier]) for name, specifier in told.items()},
    }


def test_the_unit_s_command_serves_and_deploys(place, tmp_path, run_folder) -> None:
    home, credentials = tmp_path / "home", tmp_path / "credentials"
    home.mkdir()
    credentials.mkdir()
    publish(tmp_path / "models", small_artifact())
    stores = {
        "model-store": f"file://{tmp_path}/models",
        "feature-store": f"sqlite:///{tmp_path}/features.db",
        "decision-log": f"sqlite:///{tmp_path}/decisions.db",
    }
    for name, url in stores.items():
        (credentials / name).write_text(url)
    ports = free_ports()
    variables = variables_of(UNIT, home, run_folder)
    assert set(variables) == {"PATH", "FRAUD_HOME", "XDG_CACHE_HOME", "TMPDIR"}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(run_folder / "notify"))
        systemd.settimeout(300)
        with subprocess.Popen(
            [
                *DIES_WITH_US,
                *command_of(UNIT, place, credentials),
                *(f"{option}={port}" for option, port in ports.options().items()),
            ],
            env=variables | {"NOTIFY_SOCKET": str(run_folder / "notify")},
            cwd=home,
            stdout=subprocess.DEVNULL,
        ) as service:
            try:
                assert systemd.recv(100) == b"READY=1"
                (token,) = run_folder.glob("fraud-*/token")  # as hand_token.sh looks for it
                first, *_ = bodies_of(small_simulation().transactions)
                bearer = {"Authorization": f"Bearer {token.read_text()}"}
                reply = ask(ports.inference, "/predictions/fraud", first, headers=bearer)
                assert (reply.status, reply.json["model"]["version"]) == (200, 1), reply.body
                deploy = [place / "bin/python", "-m", "fraud_detect.deploy", "--status"]
                told = subprocess.run(deploy, env=variables, cwd=home, capture_output=True)
                assert b"serving: version 1" in told.stdout, told.stderr
            finally:
                service.terminate()
        assert service.returncode == 0
    assert [path.name for path in run_folder.iterdir()] == ["notify"]
    assert (tmp_path / "decisions.db").exists()
