"""Files from Bazel's runfiles become one folder of packages."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.python_environment.make_environment import main, read_manifest
from tools.python_environment.packages import (
    PackagesError,
    distributions,
    is_left_out,
    package_files,
)

ROOTS = ["_main/ml", "pip_numpy/site-packages", "pip_spark/site-packages"]


def gather(*names: str, folder: Path, roots: list[str] = ROOTS) -> dict[str, Path]:
    paths = {}
    for name in names:
        paths[name] = folder / name
        paths[name].parent.mkdir(parents=True, exist_ok=True)
        paths[name].write_text(name)
    return package_files(paths, roots, provided=frozenset({"pyspark"}))


def test_ours_and_others_lie_side_by_side(tmp_path: Path) -> None:
    files = gather(
        "_main/ml/fraud_ml/__init__.py",
        "pip_numpy/site-packages/numpy/__init__.py",
        "pip_numpy/site-packages/numpy.libs/libblas.so",
        folder=tmp_path,
    )
    assert sorted(files) == ["fraud_ml/__init__.py", "numpy.libs/libblas.so", "numpy/__init__.py"]


def test_the_longest_root_counts(tmp_path: Path) -> None:
    files = gather("_main/ml/deep/x.py", folder=tmp_path, roots=["_main/ml", "_main/ml/deep"])
    assert list(files) == ["x.py"]


def test_what_spark_brings_stays_out(tmp_path: Path) -> None:
    files = gather(
        "pip_spark/site-packages/pyspark/jars/a.jar",
        "pip_spark/site-packages/pyspark_not/x.py",
        folder=tmp_path,
    )
    assert list(files) == ["pyspark_not/x.py"]


def test_what_is_no_module_stays_out(tmp_path: Path) -> None:
    assert not gather("pip_numpy/bin/f2py", "_main/ml_data/a.csv", folder=tmp_path)


def test_a_file_of_ours_that_nothing_could_import_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PackagesError, match="_main/lost/x.py is in no folder"):
        gather("_main/lost/x.py", folder=tmp_path)


def test_two_packages_may_share_a_file_but_not_a_name(tmp_path: Path) -> None:
    names = ["pip_numpy/site-packages/ns/x.py", "pip_spark/site-packages/ns/x.py"]
    with pytest.raises(PackagesError, match=r"ns/x.py is in two packages: .* differ"):
        gather(*names, folder=tmp_path)
    for name in names:
        (tmp_path / name).write_text("same")
    paths = {name: tmp_path / name for name in names}
    assert list(package_files(paths, ROOTS, provided=frozenset())) == ["ns/x.py"]


@pytest.mark.parametrize(
    ("name", "left_out"),
    [
        ("numpy/_core/tests/test_x.py", True),
        ("numpy/testing/__init__.py", False),
        ("numpy/__pycache__/x.cpython-311.pyc", True),
        ("distutils-precedence.pth", True),
        ("torch/bin/protoc", True),
        ("torch/bin/torch_shm_manager", False),
        ("torch/include/ATen/ATen.h", True),
        ("torch/lib/libtorch_cpu.so", False),
    ],
)
def test_what_only_a_developer_needs_stays_out(name: str, *, left_out: bool) -> None:
    assert is_left_out(name) == left_out


def test_versions_are_told() -> None:
    names = ["numpy/x.py", "numpy-2.4.6.dist-info/METADATA", "PyYAML-6.0.dist-info/METADATA"]
    assert distributions(names) == {"numpy": "2.4.6", "pyyaml": "6.0"}


def test_a_manifest_names_files_as_the_runfiles_do(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest"
    manifest.write_text("ml/fraud_ml/x.py\tml/fraud_ml/x.py\n../pip_a/b c.py\texternal/b c.py\n")
    assert read_manifest(manifest) == {
        "_main/ml/fraud_ml/x.py": Path("ml/fraud_ml/x.py"),
        "pip_a/b c.py": Path("external/b c.py"),
    }


def test_a_mistake_is_one_message_and_no_archive(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "manifest").write_text("lost/x.py\tlost/x.py\n")
    arguments = ["--out", str(tmp_path / "out"), "--manifest", str(tmp_path / "manifest")]
    assert main(arguments) == 1
    assert capsys.readouterr().err == (
        "error: _main/lost/x.py is in no folder that imports start from\n"
    )
    assert not (tmp_path / "out").exists()
