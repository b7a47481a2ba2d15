"""Programs are read and changed as the machine's own loader understands them."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tools.python_environment import elf

PROGRAM = Path(sys._base_executable).resolve()  # type: ignore[attr-defined]
DATA = PROGRAM.read_bytes()


def test_the_interpreter_is_a_program_and_its_modules_are_not() -> None:
    import _ctypes

    assert elf.is_program(DATA)
    assert not elf.is_program(Path(_ctypes.__file__).read_bytes())
    assert not elf.is_elf(Path(__file__).read_bytes())


def test_the_processor_is_the_machines_and_an_unknown_one_is_an_error() -> None:
    assert elf.processor(DATA) == platform.machine()
    with pytest.raises(elf.ElfError, match=r"another family \(243\)"):
        elf.processor(DATA[:18] + (243).to_bytes(2, "little"))


def test_needs_are_those_that_the_loader_sees() -> None:
    import _ctypes

    data = Path(_ctypes.__file__).read_bytes()
    loader = next(s for s in elf.segments(DATA) if s.kind == elf.INTERPRETER)
    name = DATA[loader.offset : loader.offset + loader.size].rstrip(b"\0").decode()
    listed = subprocess.run([name, "--list", _ctypes.__file__], capture_output=True, text=True)
    seen = {line.split()[0].rpartition("/")[2] for line in listed.stdout.splitlines()}
    assert "libc.so.6" in elf.needed(data)
    assert seen >= set(elf.needed(data))


def test_the_version_of_glibc_is_not_newer_than_the_machines() -> None:
    import os

    here = tuple(int(number) for number in os.confstr("CS_GNU_LIBC_VERSION").split()[1].split("."))  # type: ignore[union-attr]
    assert (2, 2) < elf.versions(DATA)["GLIBC"] <= here


@pytest.mark.parametrize("had_a_search_path", [True, False])
def test_a_program_finds_libraries_beside_it(tmp_path: Path, *, had_a_search_path: bool) -> None:
    given = DATA if had_a_search_path else elf.without_search_path(DATA)
    changed = elf.with_search_path(given, "$ORIGIN/../lib")
    assert elf.search_path(changed) == (elf.RPATH, "$ORIGIN/../lib")
    assert elf.needed(changed) == elf.needed(DATA)
    assert len(changed) == len(DATA)

    program = tmp_path / "bin/python"
    program.parent.mkdir()
    program.write_bytes(changed)
    program.chmod(0o755)
    # Whatever lies there is tried first: an empty file of libc's name stops the program.
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/libc.so.6").write_bytes(b"")
    done = subprocess.run([program, "-V"], capture_output=True, text=True, check=False)
    assert f"{tmp_path}/bin/../lib/libc.so.6: file too short" in done.stderr


def test_without_a_search_path_none_is_left() -> None:
    assert elf.search_path(elf.without_search_path(DATA)) is None


def test_a_name_that_fits_nowhere_is_an_error() -> None:
    with pytest.raises(elf.ElfError, match="without a build id"):
        elf.with_search_path(DATA, "/" + "x" * 4000)
