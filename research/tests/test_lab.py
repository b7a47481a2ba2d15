"""The lab is reached from this machine alone, with its token; it imports what is being edited."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import marimo
import psutil
import pytest
from websockets.sync.client import connect

import fraud_ml
from data_connector.command import run
from experiments import lab
from experiments.lab_server import environment

NOTEBOOK = """\
import marimo
app = marimo.App()

@app.cell
def _():
    import fraud_ml.metrics
    return
"""


# Of every Python that the lab starts: its process, and whom it asks for.
NOTE_WHO_IS_ASKED = """\
import os, sys

def note(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        tell(arguments[1][0])
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        tell(arguments[0])

def tell(what):
    with open(os.environ["ASKED"], "a") as asked:
        asked.write(f"{os.getpid()} {what}\\n")

tell("")
sys.addaudithook(note)
"""
LOADED = re.compile(r"""(?:src|href)=["']([^"']+)""")
ASKS = re.compile(r"""(?:fetch|import|importScripts|sendBeacon)\(\s*["'`](https?://[^"'`]+)""")


class Lab:
    """A lab that was started as a user does it."""

    def __init__(self, workspace: Path) -> None:
        self.asked = workspace / "asked.txt"
        (workspace / "note").mkdir()
        (workspace / "note/sitecustomize.py").write_text(NOTE_WHO_IS_ASKED)
        (workspace / "research/notebooks").mkdir(parents=True)
        (workspace / "research/notebooks/tour.py").write_text(NOTEBOOK)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "experiments.lab", "--port", "0", "--no-browser"],
            env=os.environ
            | {
                "PYTHONPATH": os.pathsep.join([str(workspace / "note"), *sys.path]),
                "ASKED": str(self.asked),
                "BUILD_WORKSPACE_DIRECTORY": str(workspace),
                "FRAUD_HOME": str(workspace / "home"),
            },
            stdout=subprocess.PIPE,
            text=True,
        )
        said = self.process.stdout.readline()
        (self.url,) = re.findall(r"http://\S+", said)
        self.port = int(self.url.split(":")[2].split("/")[0])
        self.token = re.findall("access_token=([^&]+)", self.url)[0]
        self.processes = psutil.Process(self.process.pid).children(recursive=True)

    def status(self, query: str) -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/status{query}") as page:
                return page.status
        except urllib.error.HTTPError as error:
            return error.code


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    if lab.process.poll() is None:
        lab.process.kill()
        lab.process.wait()
    lab.process.stdout.close()
    for process in lab.processes:
        if process.is_running():
            process.kill()


def test_the_lab_opens_on_the_tour_for_who_has_the_token_and_ends_with_all_it_started(
    started: Lab,
) -> None:
    assert "file=notebooks/tour.py" in started.url
    assert started.status("") == 401
    assert started.status("?access_token=wrong") == 401
    assert started.status(f"?access_token={started.token}") == 200
    assert not any(started.token in " ".join(it.cmdline()) for it in started.processes)

    listening = [
        it for each in started.processes for it in each.net_connections() if it.status == "LISTEN"
    ]
    assert started.port in {it.laddr.port for it in listening}
    assert {it.laddr.ip for it in listening} == {"127.0.0.1"}

    # A notebook that is open has a process of its own.
    address = f"ws://127.0.0.1:{started.port}/ws?session_id=s_a&file=notebooks/tour.py"
    with connect(f"{address}&access_token={started.token}", open_timeout=30) as page:
        while json.loads(page.recv(timeout=30))["op"] != "kernel-ready":
            pass
        started.processes = psutil.Process(started.process.pid).children(recursive=True)
        assert len(started.processes) > 1

        # None of them has asked anyone but this machine, and all were heard.
        asked = [line.split(" ") for line in started.asked.read_text().splitlines()]
        assert {str(it.pid) for it in started.processes} <= {pid for pid, _ in asked}
        assert {who for _, who in asked} == {"", "127.0.0.1", "None"}

        # Nor does the page that the browser gets, which is told to offer no AI.
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with browser.open(started.url) as page:
            text = page.read().decode()
        loaded = LOADED.findall(text)
        assert len(loaded) > 20
        assert [it for it in loaded if "//" in it] == []
        at = text.index('"config": {') + len('"config": ')
        config, _ = json.JSONDecoder().raw_decode(text[at:])
        assert config["ai"]["enabled"] is False
        assert config["completion"]["copilot"] is False
        started.process.send_signal(signal.SIGINT)
        assert started.process.wait(30) == 1
    _, left = psutil.wait_procs(started.processes, timeout=10)
    assert left == []


def test_a_port_that_is_taken_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run(lambda: lab.main(["--port", str(port)])) == 2
    said = capsys.readouterr().err
    assert f"--port {port}" in said
    assert "--port 0 takes any" in said


def test_what_is_imported_is_what_is_edited(tmp_path: Path) -> None:
    copy = tmp_path / "ml/fraud_ml"
    shutil.copytree(
        Path(fraud_ml.__file__).parent, copy, ignore=shutil.ignore_patterns("*pycache*")
    )
    with (copy / "policy.py").open("a") as module:
        module.write("EDITED = 1\n")
    code = "import fraud_ml.policy as it; print(it.EDITED, it.__file__)"
    code += "; import batch_proc, data_connector, experiments, fraud_detect"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(tmp_path, tmp_path / "home"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["1", str(copy / "policy.py")]


def test_what_the_page_could_ask_others_for_is_what_the_readme_says() -> None:
    assets = Path(marimo.__file__).parent / "_static/assets"
    files = [it for it in assets.glob("*.js") if "worker" not in it.name]  # of Python in a browser
    assert len(files) > 100
    asks = {each for it in files for each in ASKS.findall(it.read_text(encoding="utf-8"))}
    assert asks == {
        "https://pypi.org/pypi/${r}/json",
        "https://unpkg.com/emojilib@3.0.11/dist/emoji-en-US.json",
        "https://unpkg.com/lucide-static@0.452.0/tags.json",
    }


def test_the_lab_asks_nobody_for_anything(tmp_path: Path) -> None:
    there = environment(tmp_path, tmp_path / "home")
    assert there["MARIMO_SKIP_UPDATE_CHECK"] == "1"
    assert there["MLFLOW_DISABLE_TELEMETRY"] == there["DO_NOT_TRACK"] == "true"
