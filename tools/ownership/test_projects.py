"""A project is listed wherever projects are listed, and nothing else is."""

import json
import re
from pathlib import Path

import pytest

ROOT = json.loads(Path("root.json").read_text())
PROJECTS = ROOT["projects"]


def test_the_list_is_that_of_the_folders_which_bazel_builds() -> None:
    assert sorted(PROJECTS) == sorted(set(ROOT["packages"]) - {"tools", "docs"})


@pytest.mark.parametrize("folder", PROJECTS)
def test_the_readme_tells_of_it(folder: str) -> None:
    package = PROJECTS[folder][1]
    row = rf"^\| \[`{folder}`\]\({folder}/README\.md\) \| [\w-]+ \| `{package}` \| .+ \|$"
    assert re.search(row, Path("README.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize("folder", PROJECTS)
def test_the_changelog_names_its_own(folder: str) -> None:
    assert f"[{folder}]({folder}/CHANGELOG.md)" in Path("CHANGELOG.md").read_text()


@pytest.mark.parametrize("folder", PROJECTS)
def test_its_imports_are_sorted_as_ours(folder: str) -> None:
    ours = re.search(r"^known-first-party = \[(.*?)\]", Path("ruff.toml").read_text(), re.M | re.S)
    assert ours is not None
    assert f'"{PROJECTS[folder][1]}"' in ours[1]
