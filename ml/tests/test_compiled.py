import ast
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from numba.core.registry import CPUDispatcher

import fraud_ml
from fraud_ml._compiled import SOURCES

FOLDER = Path(fraud_ml.__file__).parent

USE = """
from pathlib import Path
from fraud_ml import feature_state
from fraud_ml._compiled import cache_folder
from fraud_ml.default_specs import DEFAULT_SPEC
from fraud_ml.scenario import Population, Scenario
from fraud_ml.simulator import simulate

before = {file.name for file in cache_folder().iterdir()}
simulation = simulate(Scenario(n_days=30, population=Population(n_customers=20)))
state = feature_state.FeatureState(DEFAULT_SPEC)
state.update_table(simulation.transactions)
state.apply_labels(simulation.labels)
state = feature_state.FeatureState.from_bytes(state.to_bytes())
state.update_table(simulation.transactions)
print(sorted({file.name for file in cache_folder().iterdir()} - before))
"""


def use(cache: Path) -> str:
    """What has to be compiled to use a running state, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", USE],
        env=os.environ | {"XDG_CACHE_HOME": str(cache), "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout


def test_nothing_is_compiled_that_the_build_has_compiled(tmp_path: Path) -> None:
    assert list((FOLDER / "machine_code").glob("*.nbc"))
    assert use(tmp_path) == "[]\n"


def test_what_is_compiled_is_kept_for_the_next_process(tmp_path: Path) -> None:
    use(tmp_path)
    (kept,) = (tmp_path / "fraud-ml").iterdir()
    for file in kept.glob("_key_histories._update-*"):
        file.unlink()
    assert "_key_histories._update-" in use(tmp_path)
    assert use(tmp_path) == "[]\n"


def test_without_a_cache_each_process_compiles_for_itself() -> None:
    tried = USE.replace("cache_folder().iterdir()", "[]")
    run = subprocess.run(
        [sys.executable, "-c", tried],
        env=os.environ | {"XDG_CACHE_HOME": "/dev/null", "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
    )
    assert run.returncode == 0


@pytest.mark.parametrize("name", [path.stem for path in FOLDER.glob("_*.py")])
def test_code_is_compiled_from_the_sources_alone(name: str) -> None:
    source = (FOLDER / f"{name}.py").read_text()
    if "from fraud_ml._compiled import compiled" not in source:
        return
    assert name in SOURCES
    imported = dict(imports(source))
    for function in vars(importlib.import_module(f"fraud_ml.{name}")).values():
        if isinstance(function, CPUDispatcher):
            for used in function.py_func.__code__.co_names:
                assert imported.get(used, name) in SOURCES, f"{used}, in {function.__name__}"


def imports(source: str) -> Iterator[tuple[str, str]]:
    """Each name that comes from another module of ours, and the module."""
    for statement in ast.walk(ast.parse(source)):
        if isinstance(statement, ast.ImportFrom) and statement.module is not None:
            package, _, inside = statement.module.partition(".")
            if package == "fraud_ml":
                for alias in statement.names:
                    yield alias.asname or alias.name, inside or alias.name
