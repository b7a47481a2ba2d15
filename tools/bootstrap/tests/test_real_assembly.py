"""The real thing: Bazel assembled from Debian's mirror, and something built with it.

Needs a Debian on amd64, its mirror, and 700 MB of disk for a minute.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tools.bootstrap.debian.packages import call
from tools.bootstrap.debian.truststore import keystore, trusted
from tools.bootstrap.tests.conftest import World

MODULE = """\
module(name = "tiny")
bazel_dep(name = "rules_python", version = "0.22.1")
"""
BUILD = """\
load("@rules_python//python:py_binary.bzl", "py_binary")
genrule(name = "greeting", outs = ["greeting.txt"], cmd = "echo hello > $@")
py_binary(name = "greet", srcs = ["greet.py"], data = ["greeting.txt"])
"""


@pytest.fixture
def machine(world: World) -> World:
    """A world on this machine's own PATH, where no Bazel is installed and no release site is."""
    folders = os.environ["PATH"].split(os.pathsep)
    taken = [f for f in folders for name in ("bazel", "bazelisk") if Path(f, name).exists()]
    world.env["PATH"] = os.pathsep.join(folder for folder in folders if folder not in taken)
    return world


def test_bazel_is_assembled_and_builds(machine: World) -> None:
    workspace = machine.workspace
    (workspace / "MODULE.bazel").write_text(MODULE)
    (workspace / "BUILD.bazel").write_text(BUILD)
    (workspace / "greet.py").write_text("print(open('greeting.txt').read())\n")

    assert "assembled from Debian's packages" in machine.run("--where").stdout
    assert machine.prefixes() == []

    version = machine.run("--version")
    assert version.stdout.strip() == f"bazel {machine.version}", version.stderr
    (prefix,) = machine.prefixes()
    where = machine.run("--where").stdout
    assert f"version  {machine.version}\norigin   assembled from Debian's packages" in where

    try:
        ran = machine.run("run", "//:greet")
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.strip() == "hello"
    finally:
        assert machine.run("shutdown").returncode == 0

    jre = prefix / "root/usr/lib/jvm/java-21-openjdk-amd64"
    assert "jdk.incubator.vector@21" in call(f"{jre}/bin/java", "--list-modules")
    store = workspace / "cacerts"
    store.write_bytes(keystore(trusted()))
    listed = call(f"{jre}/bin/keytool", "-list", "-keystore", str(store), "-storepass", "changeit")
    assert f"contains {len(trusted())} entries" in listed
