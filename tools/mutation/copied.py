"""The folder that mutmut works in: a copy of a library, and of the tests of one module."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Tested:
    """A module, and the tests that must notice when it changes."""

    tests: tuple[str, ...]
    helpers: tuple[str, ...] = ()
    """Files beside the tests, which they import."""


MODULES: Mapping[str, Tested] = {
    "fraud_ml.features": Tested(("test_features.py", "test_column_features.py")),
    "fraud_ml.metrics": Tested(("test_metrics.py",)),
    "fraud_ml.policy": Tested(("test_policy.py",)),
}

# The tests run under the settings of //tools/pytest. A fork server, for torch is not fork-safe.
_SETTINGS = """\
[tool.mutmut]
source_paths = ["{package}"]
only_mutate = ["{file}"]
also_copy = ["tests", "pytest.ini"]
pytest_add_cli_args = ["-c", "pytest.ini", "-p", "no:cacheprovider"]
pytest_add_cli_args_test_selection = [{tests}]
process_isolation = "forkserver"
use_git_change_detection = false
track_dependencies = false
use_setproctitle = false
"""

# Nobody wants to know the smallest example that a mutant fails for, and to find it takes longer
# than all else.
_WITHOUT_SHRINKING = """

from hypothesis import Phase

settings.register_profile(
    "mutation", parent=settings.get_profile("hermetic"), phases=[Phase.explicit, Phase.generate]
)
settings.load_profile("mutation")
"""


def copy(root: Path, module: str, work: Path) -> Path:
    """Fills a folder with what mutmut needs, and returns it.

    Args:
        root: the workspace.
        module: one of :data:`MODULES`.
        work: is made where there is none.
    """
    package = module.split(".")[0]
    project = root / "ml"
    tested = MODULES[module]
    shutil.copytree(
        project / package,
        work / package,
        symlinks=False,
        ignore=shutil.ignore_patterns("__pycache__", "*.pyc"),
    )
    (work / "tests").mkdir(parents=True)
    for name in ("conftest.py", *tested.helpers, *tested.tests):
        shutil.copyfile(project / "tests" / name, work / "tests" / name)
    with (work / "tests/conftest.py").open("a", encoding="utf-8") as conftest:
        conftest.write(_WITHOUT_SHRINKING)
    shutil.copyfile(root / "tools/pytest/pytest.ini", work / "pytest.ini")
    (work / "pyproject.toml").write_text(settings(module, tested.tests), encoding="utf-8")
    return work


def settings(module: str, tests: Sequence[str]) -> str:
    """What mutmut reads from pyproject.toml: mutate this module, run these files of `tests`."""
    return _SETTINGS.format(
        package=module.split(".")[0],
        file=module.replace(".", "/") + ".py",
        tests=", ".join(f'"tests/{name}"' for name in tests),
    )
