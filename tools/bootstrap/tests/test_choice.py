"""Which Bazel `bazelw` uses, and how it becomes it."""

from __future__ import annotations

import http.server
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.bootstrap.tests.conftest import World


@pytest.fixture
def site() -> Iterator[str]:
    """A release site that answers, if only that there is no such page."""
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    server.RequestHandlerClass.log_message = lambda *_: None  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def fake_npm(world: World, bazelisk: str) -> None:
    """An npm whose Bazelisk is the shell script `bazelisk`."""
    machine = os.uname()
    name = f"{machine.sysname.lower()}_{machine.machine}".replace("x86_64", "amd64")
    folder = "$3/node_modules/@bazel/bazelisk"
    program = f"{folder}/bazelisk-{name.replace('aarch64', 'arm64')}"
    world.program("npm", f"mkdir -p {folder}\ncat > {program} <<'END'\n#!/bin/sh\n{bazelisk}\nEND")


def test_fraud_bazel_wins_over_all_else(world: World) -> None:
    world.bazel()
    mine = world.bazel("mine", version="6.0.0")
    assert world.run("build", FRAUD_BAZEL=str(mine)).stdout == f"{mine}\n<build>\n"


def test_the_cache_that_the_environment_names_is_used(world: World) -> None:
    bazel = world.bazel()
    url = "http://cache.example:8980"
    path, option, command = world.run("build", FRAUD_CACHE_URL=url).stdout.splitlines()
    assert (path, command) == (str(bazel), "<build>")
    rc = Path(option.strip("<>").removeprefix("--bazelrc="))
    assert rc.read_text() == f'common "--remote_cache={url}"\n'


def test_a_cache_does_not_keep_bazel_from_telling_its_version(world: World) -> None:
    world.bazel()
    done = world.run("--version", FRAUD_CACHE_URL="http://cache.example:8980")
    assert done.stdout == f"bazel {world.version}\n"


def test_a_cache_that_is_no_address_is_an_error(world: World) -> None:
    world.bazel()
    done = world.run("build", FRAUD_CACHE_URL="cache.example:8980")
    assert done.returncode == 1
    assert "FRAUD_CACHE_URL=cache.example:8980 is no http:// or https:// address" in done.stderr


@pytest.mark.parametrize("named", ["/nowhere/bazel", "."])
def test_fraud_bazel_that_is_no_program_is_an_error(world: World, named: str) -> None:
    world.bazel()
    done = world.run("build", FRAUD_BAZEL=named)
    assert done.returncode == 1
    assert f"FRAUD_BAZEL={named} is not an executable file" in done.stderr


def test_fraud_bazel_that_does_not_start_is_an_error(world: World) -> None:
    broken = world.bin / "broken"
    broken.write_text("neither script nor binary")
    broken.chmod(0o755)
    done = world.run("build", FRAUD_BAZEL=str(broken))
    assert done.returncode == 1
    assert f"bazelw: {broken} does not start" in done.stderr


def test_arguments_arrive_as_they_were_given(world: World) -> None:
    world.bazel()
    done = world.run("--batch", "run", "//a:b", "--", "", "two words", "*", "'")
    assert done.stdout.splitlines()[1:] == [
        "<--batch>", "<run>", "<//a:b>", "<-->", "<>", "<two words>", "<*>", "<'>",
    ]  # fmt: skip


def test_bazel_starts_in_the_callers_folder(world: World) -> None:
    program = world.program("mine", "pwd")
    folder = world.workspace / "tools"
    env = {**world.env, "FRAUD_BAZEL": str(program)}
    told = subprocess.check_output(["../bazelw"], cwd=folder, env=env, text=True)
    assert told == f"{folder}\n"


def test_the_exit_code_is_bazels(world: World) -> None:
    program = world.program("mine", "exit 37")
    assert world.run(FRAUD_BAZEL=str(program)).returncode == 37


def test_a_signal_reaches_bazel_itself(world: World) -> None:
    program = world.program("mine", "kill -TERM $$")
    assert world.run(FRAUD_BAZEL=str(program)).returncode == -signal.SIGTERM


def test_bazel_does_not_inherit_that_python_ignores_sigpipe(world: World) -> None:
    program = world.program("mine", "grep SigIgn /proc/self/status")
    ignored = int(world.run(FRAUD_BAZEL=str(program)).stdout.split()[1], base=16)
    assert not ignored & 1 << signal.SIGPIPE - 1


def test_bazel_on_path_is_asked_for_its_version_once(world: World) -> None:
    bazel = world.bazel()
    for _ in range(2):
        assert world.run("build").stdout == f"{bazel}\n<build>\n"
    assert world.calls("bazel") == ["bazel --version", "bazel build", "bazel build"]


def test_a_changed_bazel_is_asked_again(world: World) -> None:
    world.bazel()
    world.run("build")
    world.bazel(version="8.12.0")
    world.bazel("bazelisk")
    assert world.run("build").stdout.startswith(f"{world.bin}/bazelisk\n")


def test_without_a_cache_folder_bazel_on_path_still_runs(world: World) -> None:
    world.bazel()
    for _ in range(2):
        assert world.run("build", XDG_CACHE_HOME="", HOME="").returncode == 0
    assert len(world.calls("bazel --version")) == 2


def test_bazel_of_another_major_version_is_passed_over(world: World) -> None:
    world.bazel(version="6.5.0")
    bazelisk = world.bazel("bazelisk")
    assert world.run("build").stdout == f"{bazelisk}\n<build>\n"


def test_a_link_to_bazelw_on_path_is_not_taken_for_bazel(world: World) -> None:
    (world.bin / "bazel").symlink_to(world.bazelw)
    bazelisk = world.bazel("bazelisk")
    assert world.run("build").stdout == f"{bazelisk}\n<build>\n"


def test_bazelisk_is_installed_through_npm_once(world: World, site: str) -> None:
    fake_npm(world, f'[ "$*" = --version ] && echo bazel {world.version} || echo "ran $*"')
    for _ in range(2):
        assert world.run("build", BAZELISK_BASE_URL=site).stdout == "ran build\n"
    assert len(world.calls("npm")) == 1
    (prefix,) = world.prefixes()
    assert [path.name for path in prefix.iterdir()] == ["bazelisk"]


def test_debian_helps_where_npm_fails(debian: World, site: str) -> None:
    debian.program("npm", "echo no such package >&2; exit 1")
    done = debian.run("build", BAZELISK_BASE_URL=site)
    assert "npm could not install Bazelisk: no such package" in done.stderr
    assert done.stdout.splitlines()[-1] == "<build>"


def test_debian_helps_where_bazelisk_gets_no_bazel(debian: World, site: str) -> None:
    fake_npm(debian, "exit 1")
    done = debian.run("build", BAZELISK_BASE_URL=site)
    assert f"Bazelisk could not provide Bazel {debian.version}" in done.stderr
    assert done.stdout.splitlines()[-1] == "<build>"
    (prefix,) = debian.prefixes()
    assert prefix.name.startswith("debian-bazel-")


def test_a_release_site_that_is_silent_counts_as_out_of_reach(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        site = f"http://127.0.0.1:{silent.getsockname()[1]}"
        done = world.run("build", BAZELISK_BASE_URL=site)
    assert f"{site} does not answer within 2 s" in done.stderr


def test_where_nothing_works_the_message_says_what_would(world: World) -> None:
    world.bazel(version="8.0.0")
    done = world.run("build")
    assert done.returncode == 1
    assert f"no Bazel {world.version}, and no way to install it" in done.stderr
    assert "there is no apt-get and no dpkg" in done.stderr
    assert "install Bazelisk" in done.stderr
    assert "set FRAUD_BAZEL" in done.stderr
    assert world.prefixes() == []


def test_a_bazelisk_that_failed_is_asked_again_while_there_is_nothing_else(world: World) -> None:
    world.program("bazelisk", "exit 1")
    for _ in range(2):
        assert world.run("build").returncode == 1
    assert len(world.calls("bazelisk --version")) == 2


def test_a_bazelisk_that_failed_is_left_alone_once_there_is_something_else(debian: World) -> None:
    debian.program("bazelisk", "exit 1")
    for _ in range(2):
        assert debian.run("build").returncode == 0
    assert len(debian.calls("bazelisk --version")) == 1
    assert f"because  {debian.bin}/bazelisk does not run" in debian.run("--where").stdout
    assert len(debian.calls("bazelisk --version")) == 2


def test_where_says_what_is_used_and_why(world: World) -> None:
    world.bazel(version="8.0.0")
    bazelisk = world.bazel("bazelisk")
    done = world.run("--where")
    assert done.returncode == 0
    assert f"bazel    {bazelisk}\nversion  {world.version}\norigin   found on PATH" in done.stdout
    assert f"because  {world.bin}/bazel is Bazel 8.0.0" in done.stdout


def test_where_says_what_would_be_installed_and_installs_nothing(debian: World) -> None:
    done = debian.run("--where")
    assert done.returncode == 0
    assert "none yet; the next command makes one: assembled from Debian's packages" in done.stdout
    assert "because  FRAUD_BAZEL is not set" in done.stdout
    assert "because  http://127.0.0.1:1 does not answer within 2 s" in done.stdout
    assert not debian.cache.exists()
    assert debian.calls("apt-get") == []


def test_where_nothing_works_where_says_so_and_succeeds(world: World) -> None:
    done = world.run("--where")
    assert done.returncode == 0
    assert "none, and no way to install one" in done.stdout
