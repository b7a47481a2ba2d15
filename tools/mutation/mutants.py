"""mutmut, as a program in a folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from mutmut.stats import status_by_exit_code

# It has no command for this; and it reads its settings from the folder that it is started in.
_LIST = """\
import pathlib, sys
from mutmut.mutation.file_mutation import mutate_file_contents
file = sys.argv[1]
made = mutate_file_contents(file, pathlib.Path(file).read_text(encoding="utf-8"))
print("\\n".join(made.mutant_names))
"""


class Mutmut:
    """What mutmut makes of one module, in a folder as :mod:`tools.mutation.copied` fills it."""

    def __init__(self, work: Path, module: str) -> None:
        self._work = work
        self._module = module
        self._file = module.replace(".", "/") + ".py"

    def mutants(self) -> list[str]:
        """The names of all mutants, as mutmut numbers them.

        Raises:
            RuntimeError: mutmut cannot read the module.
        """
        listed = self._call("-c", _LIST, self._file)
        if listed.returncode:
            raise RuntimeError(f"mutmut failed:\n{listed.stderr[-4000:]}")
        return [f"{self._module}.{name}" for name in listed.stdout.split()]

    def run(self, names: Sequence[str]) -> dict[str, str]:
        """What became of the mutants of these names.

        Raises:
            RuntimeError: the tests fail without any mutant, or mutmut does not know a name.
        """
        # One process, for the tests take the memory and the time of a core.
        done = self._call("-m", "mutmut", "run", "--max-children", "1", *names)
        if done.returncode:
            raise RuntimeError(f"mutmut failed:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
        meta = self._work / "mutants" / f"{self._file}.meta"
        codes = json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"]
        return {name: status_by_exit_code[codes[name]] for name in names}

    def difference(self, name: str) -> str:
        """What a mutant changes, as a patch."""
        return self._call("-m", "mutmut", "show", name).stdout.strip()

    def _call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        # Ours come from the copy: the workspace's must not be found.
        root = str(Path.cwd())
        others = [folder for folder in sys.path if folder and not folder.startswith(root)]
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self._work,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(others)},
            capture_output=True,
            text=True,
            check=False,
        )
