"""The unit for systemd is one that systemd takes, and fits what the service does."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from fraud_detect import keeper_process, torchserve
from fraud_detect.serve_options import parse_serve_options
from fraud_detect.torchserve_config import Ports

PRODUCTION = Path(__file__).parents[1] / "production"
UNIT = (PRODUCTION / "fraud-detect.service").read_text()
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze on this machine"
)


def settings() -> dict[str, list[str]]:
    """The values of each setting, in their order; lines that are continued are one."""
    found: dict[str, list[str]] = {}
    for line in re.sub(r"\\\n\s*", "", UNIT).splitlines():
        name, given, value = line.partition("=")
        if given and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


SETTINGS = settings()


def one(name: str) -> str:
    (value,) = SETTINGS[name]
    return value


def analyze(folder: Path, unit: str, *what: str) -> subprocess.CompletedProcess[str]:
    """What systemd says of a unit, whose programs are replaced by one that is there."""
    file = folder / "fraud-detect.service"
    file.write_text(re.sub(r"/opt/fraud-detect/\S+", "/bin/true", unit))
    return subprocess.run(
        ["systemd-analyze", *what, "--no-pager", file],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@needs_systemd
def test_systemd_finds_no_fault(tmp_path) -> None:
    done = analyze(tmp_path, UNIT, "verify", "--man=no")
    assert (done.returncode, done.stdout) == (0, "")


@needs_systemd
@pytest.mark.parametrize(
    ("what", "instead"),
    [
        ("NoNewPrivileges=", "NoNewPrivilege="),
        ("TimeoutStopSec=120", "TimeoutStopSec=long"),
        ("KillMode=mixed", "KillMode=mixd"),
        ("[Service]", "[Servise]"),
    ],
)
def test_systemd_finds_faults_that_are_there(tmp_path, what, instead) -> None:
    assert what in UNIT
    assert analyze(tmp_path, UNIT.replace(what, instead), "verify", "--man=no").stdout


@needs_systemd
def test_it_is_closed_as_far_as_systemd_can_tell(tmp_path) -> None:
    shut = ("security", "--offline=true", "--threshold=18")  # of 100; usual are 90
    done = analyze(tmp_path, UNIT, *shut)
    assert done.returncode == 0, done.stdout
    open_one = UNIT.replace("NoNewPrivileges=yes", "").replace("ProtectSystem=strict", "")
    assert analyze(tmp_path, open_one, *shut).returncode != 0


def test_the_service_takes_its_arguments_and_every_secret_is_loaded() -> None:
    program, *arguments = one("ExecStart").split()
    assert program == "/opt/fraud-detect/bin/python"
    assert arguments[:2] == ["-m", "fraud_detect.serve"]
    variables = dict(value.split("=", 1) for value in SETTINGS["Environment"])
    given = [
        word.replace("%d", "/credentials").replace("${WORKERS}", variables["WORKERS"])
        for word in arguments[2:]
    ]
    options = parse_serve_options(given)
    assert options.server.ports == Ports()  # to which the proxy is bound
    assert options.server.token_auth
    loaded = [value.partition(":")[0] for value in SETTINGS["LoadCredential"]]
    assert [options.model_store, options.feature_store, options.decision_log] == [
        f"secret-file:/credentials/{name}" for name in loaded
    ]
    for folder, variable in (
        ("StateDirectory", "FRAUD_HOME=%S"),
        ("CacheDirectory", "XDG_CACHE_HOME=%C"),
        ("RuntimeDirectory", "TMPDIR=%t"),
    ):
        assert f"{variable}/{one(folder)}" in SETTINGS["Environment"]


def test_there_is_time_to_start_and_to_stop() -> None:
    assert int(one("TimeoutStartSec")) > torchserve.START_WITHIN
    assert int(one("TimeoutStopSec")) > (
        torchserve.DRAIN_WITHIN + 2 * torchserve.STOP_WITHIN + keeper_process.STOP_WITHIN
    )
    # Or TorchServe would get the signal beside its launcher, and answer nobody any more.
    assert one("KillMode") == "mixed"
    assert one("Type") == "notify"


def test_the_proxy_is_told_the_token_of_the_server_that_runs_or_that_there_is_none(
    tmp_path,
) -> None:
    script = PRODUCTION / "hand_token.sh"
    service, proxy, reloads = (tmp_path / name for name in ("service", "proxy", "reloads"))
    service.mkdir()
    variables = {"SERVICE": str(service), "PROXY": str(proxy), "RELOAD": f"mkdir {reloads}"}

    def hand(what: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["/bin/sh", script, what], env=variables, capture_output=True, check=False
        )

    assert hand("opn").returncode == 2
    assert hand("open").returncode == 1
    assert not proxy.exists()
    assert hand("close").returncode == 0
    (told,) = proxy.iterdir()
    assert told.read_text() == "set $is_closed 1;\n"
    (service / "fraud-abcd").mkdir()
    (service / "fraud-abcd/token").write_text("t0ken")
    reloads.rmdir()
    assert hand("open").returncode == 0
    assert reloads.exists()
    assert told.read_text() == 'set $upstream_token "Bearer t0ken";\n'
    assert told.stat().st_mode & 0o077 == 0
    (service / "fraud-efgh").mkdir()
    (service / "fraud-efgh/token").write_text("another")
    done = hand("open")
    assert (done.returncode, b"or several" in done.stderr) == (1, True)


def test_paths_of_the_proxy_and_the_script_are_the_unit_s() -> None:
    script = (PRODUCTION / "hand_token.sh").read_text()
    assert f"service=${{SERVICE:-/run/{one('RuntimeDirectory')}}}" in script
    (place,) = set(
        re.findall(r"include (/run/\S+)/\*\.conf;", (PRODUCTION / "proxy.conf").read_text())
    )
    assert f"proxy=${{PROXY:-{place}}}" in script
    for when, what in (
        ("ExecStartPre", "close"),
        ("ExecStartPost", "open"),
        ("ExecStopPost", "close"),
    ):
        assert one(when) == f"+/opt/fraud-detect/production/hand_token.sh {what}"
