"""An old fraud-detect with every fraud-ml that it accepts, by wheels: ours, in several versions.

There is one state of the tree, so later versions of fraud-ml are made of it here, with a change.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from tools.release.api import Interface
from tools.release.errors import ReleaseError
from tools.release.git import Git
from tools.release.matrix import Released
from tools.release.plan import Release
from tools.release.projects import Project, read_projects
from tools.release.store import WheelStore, checksums
from tools.release.together import Shelf, asked_for, tried_together
from tools.release.versions import compatible
from tools.release.written import with_ranges
from tools.wheel.build_wheel import build_wheel
from tools.wheel.installed import InstallError, install, run_examples
from tools.wheel.tests.tree import ROOT, files_of

PROJECTS = {project.name: project for project in read_projects(ROOT)}
FIRST = compatible(Version("0.1.0"))
LOAD = b"def load_artifact("
QUICK = b"# fraud-ml\n\n```python\nimport fraud_ml.artifact\n```\n"  # its own example trains


def wheel(
    project: Project, version: str, out: Path, changes: dict[str, bytes] | None = None
) -> Path:
    """The wheel of the tree as another version, with other contents of some files."""
    files = {**files_of(project.folder), **(changes or {})}
    file = project.version_file.removeprefix(f"{project.folder}/")
    files[file] = files[file].replace(str(project.version).encode(), version.encode())
    about = files["pyproject.toml"].decode()
    ranges: dict[str, SpecifierSet] = dict.fromkeys(project.ranges, FIRST)
    files["pyproject.toml"] = with_ranges(about, ranges, "it").encode()
    return build_wheel(files, out)


def artifact_module(old: bytes, new: bytes) -> dict[str, bytes]:
    text = files_of("ml")["fraud_ml/artifact.py"]
    assert old in text
    return {"fraud_ml/artifact.py": text.replace(old, new), "README.md": QUICK}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> Path:
    """fraud-detect 0.1.0, and what there is of the others."""
    folder = tmp_path_factory.mktemp("wheels")
    ml = PROJECTS["fraud-ml"]
    for name in ("fraud-detect", "data-connector", "fraud-ml"):
        wheel(PROJECTS[name], "0.1.0", folder)
    addition = b"def newest_artifact(): ...\n\n\n" + LOAD
    wheel(ml, "0.1.1", folder, artifact_module(LOAD, addition))
    wheel(ml, "0.2.0", folder, artifact_module(LOAD, b"def read_artifact("))
    return folder


@pytest.fixture(scope="module", autouse=True)
def _compiled_once(tmp_path_factory) -> Iterator[None]:
    """What the first environment compiles, packages and running state, serves all of them."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        environment.setenv("PYTHONPYCACHEPREFIX", str(tmp_path_factory.mktemp("bytecode")))
        yield


def test_the_service_asks_for_versions_that_cannot_break_it(wheels):
    (service,) = wheels.glob("fraud_detect-*")
    asked = asked_for(service)
    assert asked["fraud-ml"] == asked["data-connector"] == FIRST


@pytest.mark.parametrize("version", ["0.1.0", "0.1.1"])
def test_the_old_service_works_with_each_library_that_it_accepts(wheels, tmp_path, version):
    wanted = ["fraud-detect==0.1.0"] + ([f"fraud-ml=={version}"] if version == "0.1.0" else [])
    environment = install(tmp_path / "environment", wheels, wanted)
    ask = "import importlib.metadata as m; print(m.version('fraud-ml'))"
    assert environment.run("python", "-c", ask).stdout.strip() == version  # the newest, unless said
    (service,) = wheels.glob("fraud_detect-*")
    (tmp_path / "example").mkdir()
    (printed,) = run_examples(environment, service, tmp_path / "example")
    assert '"score":' in printed


def test_a_library_that_breaks_it_is_refused_by_what_the_wheels_say(wheels, tmp_path):
    with pytest.raises(InstallError, match=r"fraud-detect 0\.1\.0 depends on fraud-ml.*<0\.2\.0"):
        install(tmp_path / "environment", wheels, ["fraud-detect==0.1.0", "fraud-ml==0.2.0"])


def test_a_library_that_breaks_it_and_says_nothing_is_not_released(wheels, tmp_path):
    ml = PROJECTS["fraud-ml"]
    (tmp_path / "new").mkdir()
    broken = artifact_module(LOAD, b"def read_artifact(")
    shelf = Shelf(
        git=Git(tmp_path),
        store=WheelStore(wheels),
        projects=PROJECTS,
        new={"fraud-ml": [wheel(ml, "0.1.2", tmp_path / "new", broken)]},
    )
    new = Release(
        project=ml,
        version=Version("0.1.2"),
        fragments=(),
        differences=(),
        interface=Interface({}, {}),
        ranges={},
    )
    (tmp_path / "work").mkdir()
    with pytest.raises(ReleaseError) as raised:
        tried_together(shelf, [new], matrix(wheels), date="2026-01-31", work=tmp_path / "work")
    told = str(raised.value)
    assert "fraud-detect 0.1.0 accepts fraud-ml 0.1.2, and does not work with it" in told
    assert "cannot import name 'load_artifact'" in told


def matrix(wheels: Path) -> list[Released]:
    works = {"data-connector": ["0.1.0"], "fraud-ml": ["0.1.0", "0.1.1"]}
    return [
        Released(
            project=name,
            version=version,
            date="2026-01-30",
            wheels=checksums(wheels.glob(f"{name.replace('-', '_')}-{version}-*.whl")),
            works_with=works if name == "fraud-detect" else {},
        )
        for name, version in [
            ("fraud-ml", "0.1.0"),
            ("data-connector", "0.1.0"),
            ("fraud-detect", "0.1.0"),
            ("fraud-ml", "0.1.1"),
        ]
    ]
