"""The check that fails a build in which what a target imports is not what it declares."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import check_imports
import pytest

FEATURES = ("fraud_ml.features", "//ml:features")
Check = Callable[..., tuple[int, str]]


def wheel(name: str) -> dict[str, Any]:
    provides = [{"modules": [name], "project": "", "public": None}]
    return {"label": f"@pip//{name}", "provides": provides}


def ours(module: str, label: str, public: list[str] | None = None) -> dict[str, Any]:
    project = label.removeprefix("//").split(":")[0]
    return {
        "label": label,
        "provides": [{"modules": [module], "project": project, "public": public}],
    }


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Check:
    """Checks a file of //batch:job against dependencies; the exit code and what was said."""

    def check(
        source: str,
        *dependencies: dict[str, Any],
        own: str = "batch_proc.job",
        tags: tuple[str, ...] = (),
        elsewhere: bool = False,
    ) -> tuple[int, str]:
        file, report = tmp_path / "job.py", tmp_path / "report"
        file.write_text(source)
        declared = {
            "label": "//batch:job",
            "project": "batch",
            "own": [own],
            "dependencies": dependencies,
            "tags": tags,
            "checked_elsewhere": [str(file)] if elsewhere else [],
        }
        (tmp_path / "declared").write_text(json.dumps(declared))
        status = check_imports.main(str(tmp_path / "declared"), str(report), str(file))
        assert report.exists() == (status == 0)
        return status, capsys.readouterr().err.replace(f"{tmp_path}/", "")

    return check


@pytest.mark.parametrize(
    ("source", "dependencies"),
    [
        ("import os.path, json", []),
        ("from __future__ import annotations", []),
        ("import numpy.linalg", [wheel("numpy")]),
        ("from numpy import linalg", [wheel("numpy")]),
        ("from fraud_ml.features import compute_features", [ours(*FEATURES)]),
        ("from fraud_ml import features", [ours(*FEATURES)]),
        ("import fraud_ml.features as f", [ours(*FEATURES)]),
        # Python imports the package before its module.
        (
            "import fraud_ml.features",
            [ours(*FEATURES), ours("fraud_ml", "//ml:fraud_ml")],
        ),
        ("", [ours("batch_proc", "//batch:batch_proc")]),
        ("if TYPE_CHECKING:\n    import numpy", [wheel("numpy")]),
        # pytest imports it by itself.
        ("", [ours("conftest", "//batch/tests:conftest")]),
    ],
)
def test_imports_that_are_the_dependencies_pass(
    run: Check, source: str, dependencies: list[dict[str, Any]]
) -> None:
    assert run(source, *dependencies) == (0, "")


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("import numpy", "numpy"),
        ("def f():\n    import numpy.linalg", "numpy.linalg"),
        ("from fraud_ml.model import FraudNet", "fraud_ml.model"),
        ("from fraud_ml import model", "fraud_ml"),
        ("from . import sibling", "."),
        ("try:\n    import pandas\nexcept ImportError:\n    pass", "pandas"),
    ],
)
def test_an_undeclared_import_is_named_with_its_place(run: Check, source: str, named: str) -> None:
    status, message = run(source, ours(*FEATURES), wheel("torch"))
    line = len(source.splitlines()) if "try" not in source else 2
    assert status == 1
    assert f"job.py:{line}: imports {named}\n" in message
    assert "//batch:job" in message


def test_a_package_of_ours_does_not_stand_for_its_modules(run: Check) -> None:
    package = ours("fraud_ml", "//ml:fraud_ml")
    status, message = run("import fraud_ml\nfrom fraud_ml.model import FraudNet", package)
    assert (status, message.splitlines()[0]) == (1, "job.py:2: imports fraud_ml.model")


def test_a_dependency_that_nothing_imports_is_named(run: Check) -> None:
    status, message = run("import numpy", wheel("numpy"), wheel("torch"), ours(*FEATURES))
    assert status == 1
    assert "//batch:job: imports nothing of @pip//torch\n" in message
    assert "//batch:job: imports nothing of //ml:features\n" in message
    assert "numpy" not in message


@pytest.mark.parametrize("tag", ["runtime_dep=@pip//torch", "runtime_deps"])
def test_a_tag_says_that_it_is_needed_at_run_time(run: Check, tag: str) -> None:
    assert run("", wheel("torch"), tags=(tag,)) == (0, "")


def test_a_tag_speaks_for_one_dependency(run: Check) -> None:
    status, message = run("", wheel("torch"), wheel("numpy"), tags=("runtime_dep=@pip//torch",))
    assert status == 1
    assert message.startswith("//batch:job: imports nothing of @pip//numpy\n//batch:job: what")


@pytest.mark.parametrize(
    ("source", "dependencies", "named"),
    [
        ("import torch", [wheel("torch")], "is needless, for it imports that"),
        ("", [], "names no dependency of it"),
    ],
)
def test_a_tag_that_is_not_true_is_named(
    run: Check, source: str, dependencies: list[dict[str, Any]], named: str
) -> None:
    status, message = run(source, *dependencies, tags=("runtime_dep=@pip//torch",))
    assert (status, named in message) == (1, True), message


PUBLIC = ["data_connector", "data_connector.command"]


@pytest.mark.parametrize(
    ("source", "module", "named"),
    [
        ("from fraud_ml import _columns", "fraud_ml._columns", "1: imports fraud_ml._columns"),
        ("import fraud_ml._columns", "fraud_ml._columns", "1: imports fraud_ml._columns"),
        ("from fraud_ml._columns import x", "fraud_ml._columns", "1: imports fraud_ml._columns"),
        (
            "from fraud_ml.features import _rate",
            "fraud_ml.features",
            "1: imports fraud_ml.features._rate",
        ),
        (
            "from fraud_ml import features\nfeatures._rate()",
            "fraud_ml.features",
            "2: uses features._rate",
        ),
        (
            "import fraud_ml.features\nprint(fraud_ml.features._rate)",
            "fraud_ml.features",
            "2: uses fraud_ml.features._rate",
        ),
        (
            "from fraud_ml.features import Rate as R\nR._seconds = 1",
            "fraud_ml.features",
            "2: uses R._seconds",
        ),
    ],
)
def test_what_another_project_keeps_to_itself_is_named(
    run: Check, source: str, module: str, named: str
) -> None:
    status, message = run(source, ours(module, "//ml:x"))
    assert status == 1
    assert message.startswith(f"job.py:{named}, "), message
    assert "private to //ml\n" in message


def test_a_module_that_is_not_listed_as_public_is_private(run: Check) -> None:
    library = ours("data_connector.postgresql", "//connectors:data_connector", PUBLIC)
    status, message = run("from data_connector import postgresql", library)
    assert status == 1
    assert "imports data_connector.postgresql, which is private to //connectors" in message


@pytest.mark.parametrize(
    "source",
    [
        "from data_connector.command import run",
        "import data_connector.command\ndata_connector.command.__doc__",
        "from data_connector.command import __doc__",
    ],
)
def test_a_module_that_is_listed_is_public(run: Check, source: str) -> None:
    library = ours("data_connector.command", "//connectors:data_connector", PUBLIC)
    assert run(source, library) == (0, "")


def test_a_project_may_use_what_is_private_to_it(run: Check) -> None:
    source = "from batch_proc._keys import _hash\nfrom batch_proc import job\njob._table"
    assert run(source, ours("batch_proc._keys", "//batch:_keys", ["batch_proc"])) == (0, "")


def test_a_file_of_a_library_is_checked_there_and_counts_as_use_here(run: Check) -> None:
    assert run("import pandas, torch", wheel("torch"), elsewhere=True) == (0, "")
