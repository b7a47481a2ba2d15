"""Which versions work together, as it is kept, shown and checked."""

from __future__ import annotations

import pytest

from tools.release.errors import ReleaseError
from tools.release.matrix import (
    Released,
    latest,
    matrix_problems,
    read_matrix,
    to_json,
    to_page,
)
from tools.release.projects import read_projects
from tools.release.tests.throwaway import FILES, write


def release(project: str, version: str, **works_with: list[str]) -> Released:
    needed = {name.replace("_", "-"): versions for name, versions in works_with.items()}
    return Released(
        project=project, version=version, date="2026-01-31", wheels={}, works_with=needed
    )


RELEASES = [
    release("lib-a", "0.1.0"),
    release("app-b", "0.1.0", lib_a=["0.1.0", "0.1.1"]),
    release("lib-a", "0.1.1"),
]


def projects(root, *, lib: str, app: str, range_: str = ">=0.1.0,<0.2"):
    description = FILES["app/pyproject.toml"].replace(">=0.0.0,<0.1", range_)
    versions = {
        "lib/lib_a/__init__.py": f'__version__ = "{lib}"\n',
        "app/app_b/__init__.py": f'__version__ = "{app}"\n',
        "app/pyproject.toml": description,
    }
    write(root, FILES | versions)
    return read_projects(root)


def test_it_is_read_as_it_was_written():
    assert read_matrix(to_json(RELEASES)) == RELEASES


@pytest.mark.parametrize("text", ["", "[]", '{"releases": [{"version": "1"}]}'])
def test_another_file_is_refused(text):
    with pytest.raises(ReleaseError, match="is not what :cut writes"):
        read_matrix(text)


def test_the_page_shows_the_newest_first():
    lines = to_page([*RELEASES, release("app-b", "0.1.1", lib_a=["0.1.1"])]).splitlines()
    assert [line for line in lines if line.startswith(("##", "| 0"))] == [
        "## lib-a",
        "| 0.1.1 | 2026-01-31 |",
        "| 0.1.0 | 2026-01-31 |",
        "## app-b",
        "| 0.1.1 | 2026-01-31 | 0.1.1 |",
        "| 0.1.0 | 2026-01-31 | 0.1.0, 0.1.1 |",
    ]
    assert "Nothing was released yet." in to_page([])


def test_the_latest_release_of_a_project():
    assert latest(RELEASES, "lib-a") == RELEASES[2]
    assert latest(RELEASES, "other") is None


def test_a_matrix_that_fits_the_projects_has_no_problem(tmp_path):
    assert matrix_problems(RELEASES, projects(tmp_path, lib="0.1.1", app="0.1.0")) == []


def test_a_project_that_has_changed_may_ask_for_something_else(tmp_path):
    there = projects(tmp_path, lib="0.1.1", app="0.1.0", range_=">=0.1.1,<0.2")
    assert matrix_problems(RELEASES, there)
    assert matrix_problems(RELEASES, there, changed={"app-b"}) == []


def test_projects_that_were_never_released_need_no_matrix(tmp_path):
    assert matrix_problems([], projects(tmp_path, lib="0.0.0", app="0.0.0")) == []


@pytest.mark.parametrize(
    ("releases", "versions", "problem"),
    [
        (RELEASES[:2], {"lib": "0.1.0"}, "works with lib-a 0.1.1, which is no release"),
        (RELEASES, {"lib": "0.1.2"}, "lib-a is 0.1.2, and its last release is 0.1.1"),
        ([], {}, "app-b 0.1.0 is not in it"),
        ([RELEASES[0], *RELEASES], {}, "there twice"),
        (
            RELEASES,
            {"range_": ">=0.1.1,<0.2"},
            "asks for lib-a >=0.1.1,<0.2, and was tested with 0.1.0",
        ),
        ([RELEASES[2], release("app-b", "0.1.0")], {}, "needs other projects"),
    ],
)
def test_what_contradicts_is_told(tmp_path, releases, versions, problem):
    there = projects(tmp_path, **{"lib": "0.1.1", "app": "0.1.0", **versions})
    assert any(problem in told for told in matrix_problems(releases, there))
