"""The code of an experiment: `experiment.py`, or the notebook `notebook.py`."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from experiments.study import Study
from experiments.study_folder import StudyError, read_config

CODE, NOTEBOOK = "experiment.py", "notebook.py"


def code_of(folder: Path) -> Callable[[Study], None]:
    """What runs the experiment of a folder.

    It is the function `run` of `experiment.py`, or the notebook `notebook.py` as a whole, whose
    `study` is the given one: the cell that defines it does not run.

    Raises:
        StudyError: there is neither file, or both, or it lacks what runs.
    """
    there = [name for name in (CODE, NOTEBOOK) if (folder / name).exists()]
    if len(there) != 1:
        found = "both are" if there else "neither is"
        raise StudyError(f"{folder}: one of {CODE} and {NOTEBOOK} is to be there; {found}")
    module = _load(folder / there[0], f"experiments.{folder.name}.{Path(there[0]).stem}")
    if there == [CODE]:
        if not callable(run := getattr(module, "run", None)):
            raise StudyError(f"{folder / CODE}: has no function run(study)")
        return cast(Callable[[Study], None], run)
    app: Any = getattr(module, "app", None)
    if app is None:
        raise StudyError(f"{folder / NOTEBOOK}: has no app: it is no marimo notebook")
    return lambda study: app.run(defs={"study": study})


def _load(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise StudyError(f"{path}: cannot be imported")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def open_study(folder: Path | str | None) -> Study:
    """A study on an experiment's small parameters, whose numbers go nowhere: for the lab.

    Args:
        folder: of the experiment; None: the current one.

    Raises:
        StudyError: its `config.toml` is not as it should be.
    """
    config = read_config(Path(folder or ".").absolute())
    return Study(
        name=config.name,
        parameters=config.with_parameters(config.small),
        seed=config.seed,
        small=True,
        folder=Path(tempfile.mkdtemp(prefix="fraud-study-")),
    )
