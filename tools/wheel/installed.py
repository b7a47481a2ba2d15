"""Wheels installed into an environment of their own, without a network, to see that they work.

The environment has nothing of ours but the wheels. The packages that they need are those that this
process can import: pip finds them there, and compares their versions with what the wheels ask for.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from email.policy import compat32
from pathlib import Path

_EXAMPLE = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


class InstallError(Exception):
    """The wheels cannot be installed together; the message is pip's."""


class ExampleError(Exception):
    """What is installed does not do what its README shows."""


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment with a home folder of its own."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    def run(self, *command: str, where: Path | None = None) -> subprocess.CompletedProcess[str]:
        """What a program of it did, called with nothing of this process's environment.

        Args:
            command: a program of the environment, and its arguments.
            where: the folder to start it in; by default the environment's home.
        """
        home = self.folder / "home"
        kept = {
            name: os.environ[name]
            for name in ("JAVA_HOME", "PYTHONPYCACHEPREFIX", "TMPDIR", "XDG_CACHE_HOME")
            if name in os.environ
        }
        return subprocess.run(
            [str(self.folder / "bin" / command[0]), *command[1:]],
            cwd=where or home,
            env={
                # The packages of a build have no bytecode: compiled once, not by each program.
                "PYTHONPYCACHEPREFIX": str(self.folder / "bytecode"),
                **kept,
                "HOME": str(home),
                "OMP_NUM_THREADS": "1",
                "PATH": f"{self.folder / 'bin'}:/usr/local/bin:/usr/bin:/bin",
                "PYTHONNOUSERSITE": "1",
            },
            capture_output=True,
            text=True,
            check=False,
        )


def install(folder: Path, wheels: Path, requirements: Sequence[str]) -> Environment:
    """A new environment in ``folder`` with what the requirements name, from wheels alone.

    Args:
        folder: must not exist.
        wheels: the folder that has ours.
        requirements: such as `fraud-detect==0.1.0`; of several versions pip takes the newest that
            goes with the others.

    Raises:
        InstallError: they do not go together, or one is missing.
    """
    venv.EnvBuilder(symlinks=True).create(folder)
    environment = Environment(folder)
    (folder / "home").mkdir()
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "packages.pth").write_text("".join(f"{path}\n" for path in packages_paths()))
    done = environment.run(
        "python",
        *("-m", "pip", "--isolated", "--disable-pip-version-check", "--no-input"),
        *("install", "--no-index", "--no-cache-dir", "--find-links", str(wheels)),
        *requirements,
    )
    if done.returncode:
        raise InstallError(f"{', '.join(requirements)}:\n{done.stdout}{done.stderr}")
    return environment


def packages_paths() -> list[str]:
    """Where this process imports packages of others from: nothing of the repository itself."""
    return [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]


def metadata(wheel: Path) -> Message:
    """What the wheel says of itself."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (one for one in archive.namelist() if one.endswith(".dist-info/METADATA"))
        return message_from_bytes(archive.read(name), policy=compat32)


def examples(wheel: Path) -> list[str]:
    """The Python programs in the README that the wheel carries."""
    payload = metadata(wheel).get_payload(decode=True)
    text = payload.decode() if isinstance(payload, bytes) else ""
    return _EXAMPLE.findall(text)


def run_examples(environment: Environment, wheel: Path, where: Path) -> list[str]:
    """What the wheel's own examples print, one after the other in the folder ``where``.

    Raises:
        ExampleError: the wheel has none, or one fails; the message has its output.
    """
    programs = examples(wheel)
    if not programs:
        raise ExampleError(f"{wheel.name} shows no example in its README")
    printed = []
    for number, program in enumerate(programs, 1):
        done = environment.run("python", "-W", "error", "-c", program, where=where)
        if done.returncode:
            raise ExampleError(f"example {number} of {wheel.name} fails:\n{done.stderr}")
        printed.append(done.stdout)
    return printed
