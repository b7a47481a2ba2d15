"""One command makes the whole archive; its bytes depend on what is in it only."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tools.python_environment import make_environment

MODULE = """
import sys

def main():
    print(sys.argv[1:])

if __name__ == "__main__":
    main()
"""
FILES = {
    "ours/pay/__init__.py": "",
    "ours/pay/report.py": MODULE,
    "../pip_thing/site-packages/thing/__init__.py": "",
    "../pip_thing/site-packages/thing-1.5.dist-info/METADATA": "Name: thing",
    "../pip_spark/site-packages/pyspark/__init__.py": "",
    "../pip_spark/site-packages/pyspark/jars/big.jar": "",
}


def build(folder: Path, *, seed: int) -> Path:
    """The archive, of files whose order, times, modes and places follow from a seed."""
    chance = random.Random(seed)
    lines = []
    for number, (name, text) in enumerate(chance.sample(list(FILES.items()), len(FILES))):
        path = folder / f"{seed}-{number}"
        path.write_text(text)
        path.chmod(chance.choice([0o444, 0o644, 0o777]))
        os.utime(path, (chance.randrange(10**9), chance.randrange(10**9)))
        lines.append(f"{name}\t{path}\n")
    (folder / "manifest").write_text("".join(lines))
    out = folder / f"{seed}.tar.gz"
    options = ["--root=_main/ours", "--root=pip_thing/site-packages"]
    options += [
        "--root=pip_spark/site-packages",
        "--provided=pyspark",
        "--program=report=pay.report",
    ]
    command = [sys.executable, make_environment.__file__, f"--out={out}", *options]
    env = {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": str(seed)}
    subprocess.run([*command, f"--manifest={folder / 'manifest'}"], env=env, check=True)
    return out


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("archive"), seed=1)


def test_two_builds_give_the_same_bytes(archive: Path, tmp_path: Path) -> None:
    assert build(tmp_path, seed=2).read_bytes() == archive.read_bytes()


def test_it_runs_a_module_of_ours_and_says_what_is_in_it(archive: Path, tmp_path: Path) -> None:
    subprocess.run(["tar", "-xzf", archive, "-C", tmp_path], check=True)
    command = [tmp_path / "bin/python", tmp_path / "bin/report.py", "--day", "1"]
    done = subprocess.run(command, env={}, cwd="/", capture_output=True, text=True, check=True)
    assert done.stdout == "['--day', '1']\n"

    described = json.loads((tmp_path / "environment.json").read_text())
    assert described["python"] == sys.version.split()[0]
    assert described["packages"] == {"thing": "1.5"}
    assert described["needs"]["GLIBC"].startswith("2.")


def test_what_spark_brings_is_not_in_it(archive: Path) -> None:
    with tarfile.open(archive) as tar:
        assert not [name for name in tar.getnames() if "pyspark" in name]
