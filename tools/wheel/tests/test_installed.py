"""The wheels, installed by pip into an empty environment: imported, and their commands run."""

from __future__ import annotations

import ctypes
import json
from pathlib import Path

import pytest

from tools.wheel.installed import Environment, InstallError, install, packages_paths
from tools.wheel.tests.tree import PROJECTS, ROOT, installed_all, wheels_of_all

IMPORT_ALL = """
import importlib, importlib.util, json, pkgutil, sys
package = importlib.import_module(sys.argv[1])
names = [found.name for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
names = [name for name in names if importlib.util.find_spec(name).origin.endswith(".py")]
for name in names:
    importlib.import_module(name)
files = [sys.modules[name].__file__ for name in (package.__name__, *names)]
print(json.dumps({"version": package.__version__, "files": files}))
"""
COMMANDS = {
    "fraud-backfill",
    "fraud-deploy",
    "fraud-infer",
    "fraud-labels",
    "fraud-monitor",
    "fraud-serve",
    "fraud-train",
}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> Path:
    return wheels_of_all(tmp_path_factory.mktemp("wheels"))


@pytest.fixture(scope="module")
def environment(tmp_path_factory, wheels) -> Environment:
    return installed_all(tmp_path_factory.mktemp("installed") / "environment", wheels)


@pytest.mark.parametrize("package", PROJECTS.values())
def test_every_module_is_imported_from_the_wheel(environment, package):
    done = environment.run("python", "-c", IMPORT_ALL, package)
    assert done.returncode == 0, done.stderr
    imported = json.loads(done.stdout.splitlines()[-1])
    assert len(imported["files"]) > 10
    assert all(Path(file).is_relative_to(environment.folder) for file in imported["files"])


def test_the_installed_net_scores_in_machine_code_wherever_it_can(environment):
    ask = "from fraud_ml._native_net import LIBRARY, library; print(LIBRARY, library() is not None)"
    library, is_used = environment.run("python", "-c", ask).stdout.split()
    assert Path(library).is_relative_to(environment.folder)
    can = ctypes.CDLL(str(ROOT / "ml/fraud_ml/native_net.so")).vector_level()
    assert is_used == str(bool(can))


def test_the_installed_connector_reads_sqlite_in_machine_code_wherever_it_can(environment):
    ask = (
        "from data_connector.native_code import LIBRARY;"
        "from data_connector.sqlite_blocks import row_reader;"
        "from data_connector.sqlite_library import sqlite_library;"
        "print(LIBRARY, row_reader() is not None, sqlite_library() is not None)"
    )
    library, is_used, can = environment.run("python", "-c", ask).stdout.split()
    assert Path(library).is_relative_to(environment.folder)
    assert is_used == can


def test_commands_are_installed(environment):
    there = {path.name for path in (environment.folder / "bin").glob("fraud-*")}
    assert there == COMMANDS
    done = environment.run("fraud-infer", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: ")


def test_wrong_usage_of_an_installed_command_is_told(environment):
    done = environment.run("fraud-labels", "--labels", "here", "--no-such-option")
    assert done.returncode == 2
    assert "--no-such-option" in done.stderr


def test_errors_of_an_installed_command_are_told(environment):
    done = environment.run("fraud-serve")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "has no model 'fraud' yet" in done.stderr


def test_what_is_not_there_is_refused(tmp_path, wheels):
    with pytest.raises(InstallError, match="No matching distribution found for fraud-ml==99"):
        install(tmp_path / "environment", wheels, ["fraud-ml==99"])


def test_the_environment_has_nothing_of_the_tree(environment):
    assert packages_paths()
    assert not [
        path for path in packages_paths() if Path(path) in (ROOT, *map(ROOT.joinpath, PROJECTS))
    ]
    done = environment.run("python", "-c", "import tools")
    assert "No module named 'tools'" in done.stderr
