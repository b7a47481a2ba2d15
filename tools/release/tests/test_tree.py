"""The repository as it is could be released: every change is told, and the matrix fits."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.release.api import read_interface
from tools.release.fragments import changelog_problem, read_fragments
from tools.release.matrix import DATA, PAGE, matrix_problems, read_matrix, to_page
from tools.release.plan import plan_releases
from tools.release.projects import folders_with_changelog, read_projects

ROOT = Path.cwd()
PROJECTS = read_projects(ROOT)

projects = pytest.mark.parametrize("project", PROJECTS, ids=lambda project: project.name)


def test_there_are_four_projects_and_each_comes_after_those_that_it_needs():
    order = [project.name for project in PROJECTS]
    assert sorted(order) == ["batch-proc", "data-connector", "fraud-detect", "fraud-ml"]
    for project in PROJECTS:
        assert set(project.ranges) <= set(order[: order.index(project.name)])


def test_what_changed_since_the_last_release_is_told():
    plan_releases(ROOT)


def test_what_has_no_versions_tells_its_changes_too():
    folders = list(folders_with_changelog(ROOT, PROJECTS))
    assert {".", "research"} <= set(folders)
    for folder in folders:
        read_fragments(ROOT / folder)
        assert changelog_problem((ROOT / folder / "CHANGELOG.md").read_text()) is None


def test_the_matrix_fits_the_projects_and_its_page():
    matrix = read_matrix((ROOT / DATA).read_text())
    changed = {one.name for one in PROJECTS if read_fragments(ROOT / one.folder)}
    assert matrix_problems(matrix, PROJECTS, changed=changed) == []
    assert (ROOT / PAGE).read_text() == to_page(matrix)


@projects
def test_an_interface_is_found(project):
    interface = read_interface(ROOT, project)
    assert bool(interface.options) == (project.folder in ("batch", "serving"))
    assert any(interface.modules.values())
