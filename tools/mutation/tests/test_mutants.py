"""mutmut, on a library of three functions: one well tested, one badly, one not."""

import shutil
from pathlib import Path

import pytest

from tools.mutation.copied import settings
from tools.mutation.mutants import Mutmut
from tools.mutation.scored import Score

LIBRARY = """\
def twice(number):
    return 2 * number


def grow(number):
    return number + 10


def forgotten(number):
    return number - 1
"""
TESTS = """\
from lib.module import grow, twice


def test_twice():
    assert twice(3) == 6
    assert twice(-1) == -2


def test_grow():
    assert grow(1) > 1
"""


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/__init__.py").touch()
    (tmp_path / "lib/module.py").write_text(LIBRARY)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_module.py").write_text(TESTS)
    shutil.copyfile("tools/pytest/pytest.ini", tmp_path / "pytest.ini")
    (tmp_path / "pyproject.toml").write_text(settings("lib.module", ["test_module.py"]))
    return tmp_path


def test_mutants_die_where_a_test_looks_and_live_where_none_does(work: Path) -> None:
    mutmut = Mutmut(work, "lib.module")
    mutants = mutmut.mutants()
    statuses = mutmut.run(mutants)
    assert set(statuses) == set(mutants)
    of = {
        name: {status for mutant, status in statuses.items() if f"x_{name}__" in mutant}
        for name in ("twice", "grow")
    }
    assert of["twice"] == {"killed"}
    assert of["grow"] == {"killed", "survived"}
    untested = [name for name in mutants if "x_forgotten__" in name]
    assert untested
    assert {statuses[name] for name in untested} == {"no tests"}
    survivors = Score(statuses).survivors
    assert set(untested) < set(survivors)
    patch = mutmut.difference(next(name for name in survivors if "x_grow__" in name))
    assert "-    return number + 10\n+    return number + 11" in patch


def test_tests_that_fail_without_a_mutant_are_an_error(work: Path) -> None:
    (work / "tests/test_module.py").write_text("def test_it():\n    assert False\n")
    mutmut = Mutmut(work, "lib.module")
    with pytest.raises(RuntimeError, match="mutmut failed"):
        mutmut.run(mutmut.mutants())


def test_some_of_the_mutants_can_be_tried(work: Path) -> None:
    mutmut = Mutmut(work, "lib.module")
    (first, *_) = mutmut.mutants()
    assert mutmut.run([first]) == {first: "killed"}
