"""The folder that mutmut works in has the module and its tests."""

import ast
import tomllib
from pathlib import Path

import pytest

from tools.mutation.copied import MODULES, copy


@pytest.mark.parametrize("module", MODULES)
def test_the_library_the_tests_and_the_settings_are_copied(module: str, tmp_path: Path) -> None:
    work = copy(Path.cwd(), module, tmp_path / "work")
    settings = tomllib.loads((work / "pyproject.toml").read_text())["tool"]["mutmut"]
    (mutated,) = settings["only_mutate"]
    assert mutated == module.replace(".", "/") + ".py"
    for path in [mutated, "tests/conftest.py", *settings["also_copy"]]:
        assert (work / path).exists()
    for test in settings["pytest_add_cli_args_test_selection"]:
        text = (work / test).read_text()
        assert module in text
        # A fixture of another file would be missing.
        ours = {path.stem for path in Path("ml/tests").glob("*.py")}
        for node in ast.walk(ast.parse(text)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in set(names) & ours:
                assert (work / "tests" / f"{name}.py").exists()
