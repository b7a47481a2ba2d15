"""The check that fails a build in which a target imports what it does not declare."""

from pathlib import Path

import check_imports
import pytest


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    def check(source: str, *declared: str) -> tuple[int, str, bool]:
        (tmp_path / "file.py").write_text(source)
        (tmp_path / "declared").write_text("\n".join(declared))
        report = tmp_path / "report"
        status = check_imports.main(
            "//a:b", str(tmp_path / "declared"), str(report), str(tmp_path / "file.py")
        )
        return status, capsys.readouterr().err, report.exists()

    return check


@pytest.mark.parametrize(
    ("source", "declared"),
    [
        ("import os.path, json", []),
        ("from __future__ import annotations", []),
        ("import numpy.linalg", ["numpy"]),
        ("from numpy import linalg", ["numpy"]),
        ("from fraud_ml.features import compute_features", ["fraud_ml.features"]),
        ("from fraud_ml import features", ["fraud_ml.features"]),
        ("import fraud_ml.features as f", ["fraud_ml.features"]),
    ],
)
def test_a_declared_import_passes(run, source, declared) -> None:  # type: ignore[no-untyped-def]
    assert run(source, *declared) == (0, "", True)


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
def test_an_undeclared_import_is_named_with_its_place(run, source, named) -> None:  # type: ignore[no-untyped-def]
    status, message, reported = run(source, "fraud_ml.features", "torch")
    line = len(source.splitlines()) if "try" not in source else 2
    assert (status, reported) == (1, False)
    assert f"file.py:{line}: imports {named}\n" in message
    assert "//a:b" in message
