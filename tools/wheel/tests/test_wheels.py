"""What is in the wheels and what they say of themselves; the same files give the same bytes."""

from __future__ import annotations

import ast
import base64
import csv
import hashlib
import importlib.metadata
import importlib.util
import io
import os
import random
import re
import sys
import time
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from twine.commands.check import check

from tools.release.projects import read_projects, written_version
from tools.wheel import build_wheel as command
from tools.wheel.build_wheel import WheelError, build_wheel
from tools.wheel.installed import examples, metadata
from tools.wheel.machine_code import tag_of
from tools.wheel.tests.tree import PROJECTS, ROOT, files_of, wheel_of

# Needed though no file of ours imports them, and why.
NOT_IMPORTED = {
    "adlfs": "fsspec opens abfs:// with it",
    "gcsfs": "fsspec opens gs:// with it",
    "onnx": "torch exports to ONNX with it",
    "onnxscript": "torch exports to ONNX with it",
    "pandas": "Spark asks for it",
    "s3fs": "fsspec opens s3:// with it",
}
COMES_WITH = {"py4j": "pyspark"}  # asks for exactly one version of it
CODE = {
    "connectors": ["data_connector/native_rows.so"],
    "ml": ["fraud_ml/native_hash.so", "fraud_ml/native_net.so"],
}
CALENDAR = {"adlfs", "fsspec", "gcsfs", "s3fs"}  # versions are years, so that none says it breaks

folders = pytest.mark.parametrize("folder", PROJECTS)


def project_table(folder: str) -> dict:
    return tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]


def needed(folder: str) -> list[Requirement]:
    table = project_table(folder)
    extras = table.get("optional-dependencies", {}).values()
    return [Requirement(text) for texts in (table["dependencies"], *extras) for text in texts]


def names_in(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


@folders
def test_the_same_files_give_the_same_bytes_whatever_surrounds_them(folder, tmp_path, monkeypatch):
    files = list(files_of(folder).items())
    random.Random(1).shuffle(files)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    monkeypatch.chdir(tmp_path)
    before = os.umask(0o077)
    try:
        again = build_wheel(dict(files), tmp_path)
    finally:
        os.umask(before)
    assert again.name == wheel_of(folder).name
    assert again.read_bytes() == wheel_of(folder).read_bytes()
    assert os.environ["SOURCE_DATE_EPOCH"] == "1700000000"


def test_times_and_permissions_of_files_do_not_count(tmp_path):
    lines = []
    for number, (name, content) in enumerate(files_of("ml").items()):
        path = tmp_path / "files" / str(number)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o700)
        os.utime(path, (10**9 + number, 10**9 + number))
        lines.append(f"{name}\t{path}")
    manifest = tmp_path / "manifest"
    manifest.write_text("\n".join(reversed(lines)) + "\n")
    out = tmp_path / "out"
    out.mkdir()
    assert command.main(["--out", str(out), "--manifest", str(manifest)]) == 0
    (made,) = out.iterdir()
    assert made.read_bytes() == wheel_of("ml").read_bytes()


@folders
def test_the_wheel_has_all_of_the_package_and_nothing_else(folder):
    package, wheel = PROJECTS[folder], wheel_of(folder)
    version = written_version((ROOT / folder / package / "__init__.py").read_text(), "it")
    assert wheel.name == f"{package}-{version}-{tag_of(files_of(folder))}.whl"
    about = f"{package}-{version}.dist-info"
    names = names_in(wheel)
    ours = {name for name in files_of(folder) if name.startswith(f"{package}/")}
    assert {name for name in names if not name.startswith(f"{about}/")} == ours
    assert {f"{package}/py.typed", f"{about}/licenses/LICENSE"} <= set(names)
    assert [name for name in names if name.endswith(".so")] == CODE.get(folder, [])
    # Of the running state, the build's is for one kind of processor: it is compiled at first use.
    assert not [name for name in names if "machine_code" in name]


@folders
def test_each_file_is_recorded_in_a_fixed_order_with_its_checksum_and_no_time(folder):
    with zipfile.ZipFile(wheel_of(folder)) as archive:
        entries = archive.infolist()
        assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
        assert {oct(entry.external_attr >> 16) for entry in entries} == {"0o100644"}
        record = archive.read(entries[-1].filename).decode()
        rows = list(csv.reader(io.StringIO(record)))
        assert [row[0] for row in rows] == [entry.filename for entry in entries]
        for name, hashed, size in rows[:-1]:
            content = archive.read(name)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode()
            assert (hashed, size) == (f"sha256={digest.rstrip('=')}", str(len(content)))


@folders
def test_twine_finds_nothing_wrong(folder, capsys):
    failed = check([str(wheel_of(folder))], strict=True)
    assert not failed, capsys.readouterr().out


@folders
def test_the_wheel_says_what_the_project_says(folder):
    said, table = metadata(wheel_of(folder)), project_table(folder)
    assert said["Name"] == table["name"] == PROJECTS[folder].replace("_", "-")
    assert said["Summary"] == table["description"]
    assert said["License-Expression"] == "Apache-2.0"
    assert said["License-File"] == "LICENSE"
    assert said["Requires-Python"] == ">=3.11"
    assert said["Description-Content-Type"].startswith("text/markdown")
    readme = (ROOT / folder / "README.md").read_text(encoding="utf-8")
    assert said.get_payload(decode=True).decode().strip() == readme.strip()
    assert examples(wheel_of(folder))


@folders
def test_commands_are_functions_of_the_package(folder):
    for module, _, function in (
        target.partition(":") for target in project_table(folder).get("scripts", {}).values()
    ):
        tree = ast.parse((ROOT / folder / f"{module.replace('.', '/')}.py").read_text())
        assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def distribution_of(module: str) -> str:
    """The distribution that brings a module, as PEP 503 writes it."""
    if module in PROJECTS.values():
        return canonicalize_name(module)
    spec = importlib.util.find_spec(module)
    (folder, *_) = spec.submodule_search_locations or [spec.origin]
    site = next(path for path in Path(folder).parents if path.name == "site-packages")
    # In a build each has a folder of its own, and no list of its files.
    alone = [path.name.split("-")[0] for path in site.glob("*.dist-info")]
    known = alone if len(alone) == 1 else importlib.metadata.packages_distributions()[module]
    return canonicalize_name(known[0])


@folders
def test_what_the_package_imports_is_what_it_needs(folder):
    imported = set()
    for path in (ROOT / folder / PROJECTS[folder]).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Import(names=names):
                    imported |= {one.name.split(".")[0] for one in names}
                case ast.ImportFrom(module=str(module), level=0):
                    imported.add(module.split(".")[0])
    others = imported - set(sys.stdlib_module_names) - {PROJECTS[folder]}
    distributions = {distribution_of(module) for module in others}
    said = {canonicalize_name(one.name) for one in needed(folder)}
    assert {COMES_WITH.get(name, name) for name in distributions} <= said
    assert said - distributions <= NOT_IMPORTED.keys()


def locked() -> dict[str, str]:
    lock = (ROOT / "requirements_lock.txt").read_text()
    return dict(re.findall(r"^([\w.-]+)(?:\[.*\])?==([^ ]+)", lock, re.MULTILINE))


@folders
def test_ranges_have_a_start_an_end_and_the_version_that_the_tests_run_with(folder):
    lock = locked()
    for one in needed(folder):
        name = canonicalize_name(one.name)
        if name in {project.name for project in read_projects(ROOT)}:
            continue
        operators = {part.operator for part in one.specifier}
        wanted = {">="} if name in CALENDAR else {">=", "<"}
        assert operators in (wanted, {"=="}), one
        if name in lock:  # the file systems of clouds are not: no test reaches one
            assert lock[name] in one.specifier, one
        else:
            assert name in NOT_IMPORTED, one


def test_projects_ask_for_each_other_as_they_are():
    projects = {project.name: project for project in read_projects(ROOT)}
    asked = [(one, name) for one in projects.values() for name in one.ranges]
    assert {(one.name, name) for one, name in asked} == {
        (user, library)
        for user in ("fraud-detect", "batch-proc")
        for library in ("fraud-ml", "data-connector")
    }
    for one, name in asked:
        assert projects[name].version in one.ranges[name]


@pytest.mark.parametrize("missing", ["pyproject.toml", "LICENSE"])
def test_without_a_file_that_it_must_have_there_is_no_wheel(missing, tmp_path):
    files = files_of("connectors")
    del files[missing]
    with pytest.raises(WheelError, match=missing):
        build_wheel(files, tmp_path)
    assert not list(tmp_path.iterdir())


def test_without_a_python_that_it_requires_there_is_no_wheel(tmp_path):
    files = files_of("connectors")
    said = b'requires-python = ">=3.11"\n'
    assert said in files["pyproject.toml"]
    files["pyproject.toml"] = files["pyproject.toml"].replace(said, b"")
    with pytest.raises(WheelError, match="data_connector: requires-python is missing"):
        build_wheel(files, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_description_that_says_something_wrong_makes_no_wheel(tmp_path, capsys):
    files = files_of("connectors")
    text = files["pyproject.toml"].decode().replace('license = "Apache-2.0"', 'license = "Mine"')
    path = tmp_path / "pyproject.toml"
    path.write_text(text)
    lines = [f"pyproject.toml\t{path}", f"LICENSE\t{ROOT / 'LICENSE'}"]
    lines += [
        f"{name}\t{ROOT / 'connectors' / name}"
        for name in files
        if name not in ("pyproject.toml", "LICENSE")
    ]
    manifest = tmp_path / "manifest"
    manifest.write_text("\n".join(lines))
    out = tmp_path / "out"
    out.mkdir()
    assert command.main(["--out", str(out), "--manifest", str(manifest)]) == 1
    assert capsys.readouterr().err.startswith("error: the wheel of data_connector: ")
    assert not list(out.iterdir())


def test_a_local_build_of_a_locked_package_counts_as_its_version():
    assert "2.13.0+cpu" in SpecifierSet(">=2.13,<3")  # torch, as it is locked
