"""Releases of a small repository, from the first to one that breaks, with real git and pip."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import pytest

from tools.release import cut as command
from tools.release.cut import CutOptions, cut
from tools.release.errors import ReleaseError
from tools.release.git import Git
from tools.release.matrix import read_matrix
from tools.release.store import WheelStore
from tools.release.tests.throwaway import (
    FILES,
    IDENTITY,
    LIBRARY,
    commit,
    git,
    repository,
    write,
)

PASSES = (sys.executable, "-c", "")
FAILS = (sys.executable, "-c", "raise SystemExit(1)")
DATE = "2026-01-31"


@pytest.fixture(autouse=True)
def somebody(monkeypatch):
    for name, value in IDENTITY.items():
        monkeypatch.setenv(name, value)


def options(root: Path, **others) -> CutOptions:
    usual = {"date": DATE, "one_version": False, "tests": PASSES}
    store = WheelStore(root.parent / "wheels")
    return CutOptions(**{"root": root, "store": store, **usual, **others})


def state(root: Path) -> tuple[str, str, str]:
    """Commit, tags, and what is not committed."""
    return git(root, "rev-parse", "HEAD"), git(root, "tag"), git(root, "status", "--porcelain")


@pytest.fixture(scope="module")
def released_once(tmp_path_factory) -> Path:
    """A repository after its first release, with its wheels beside it."""
    root = repository(tmp_path_factory.mktemp("released") / "repository")
    with pytest.MonkeyPatch.context() as environment:
        for name, value in IDENTITY.items():
            environment.setenv(name, value)
        assert cut(options(root)) == ["lib-a-v0.1.0", "app-b-v0.1.0"]
    return root


@pytest.fixture
def released(released_once: Path, tmp_path: Path) -> Path:
    """A copy of it; wheels are not copied: tags make them again."""
    root = tmp_path / "repository"
    git(tmp_path, "clone", "--quiet", str(released_once), str(root))
    return root


def matrix(root: Path):
    return read_matrix((root / "compatibility.json").read_text(encoding="utf-8"))


def test_the_first_release_is_one_commit_with_tags_and_nothing_left_over(released_once):
    root = released_once
    head, _, dirt = state(root)
    assert dirt == ""
    assert git(root, "rev-list", "--count", "HEAD") == "2"
    assert git(root, "rev-parse", "lib-a-v0.1.0", "app-b-v0.1.0").split() == [head, head]
    assert git(root, "log", "-1", "--format=%s") == "Release lib-a 0.1.0, app-b 0.1.0"
    assert (root / "lib/lib_a/__init__.py").read_text() == (
        '"""A library."""\n\n__version__ = "0.1.0"\n'
    )
    assert '"lib-a>=0.1.0,<0.2.0"' in (root / "app/pyproject.toml").read_text()
    assert (root / "lib/CHANGELOG.md").read_text() == FILES["lib/CHANGELOG.md"] + (
        f"\n## 0.1.0 ({DATE})\n\n### Added\n\n- `double`, which doubles.\n"
    )
    assert f"\n## {DATE}\n\n### Added\n\n- A repository.\n" in (root / "CHANGELOG.md").read_text()
    assert not [*root.glob("**/changes")]
    assert "def double(" in (root / "lib/api.json").read_text()
    assert "| 0.1.0 | 2026-01-31 | 0.1.0 |" in (root / "COMPATIBILITY.md").read_text()


def test_the_wheels_that_are_kept_are_those_that_the_matrix_knows(released_once):
    kept = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (released_once.parent / "wheels").iterdir()
    }
    library, application = (one.wheels for one in matrix(released_once))
    assert kept == library | application


def test_right_after_a_release_there_is_nothing_to_release(released):
    with pytest.raises(ReleaseError, match="nothing to release"):
        cut(options(released))


def test_an_old_application_is_tried_with_a_library_that_it_accepts(released):
    added = {
        "lib/lib_a/work.py": f"{LIBRARY}\n\ndef halve(number: float) -> float: ...\n",
        "lib/changes/halve.added.md": "`halve`.\n",
    }
    commit(released, added)
    assert cut(options(released)) == ["lib-a-v0.1.1"]
    (library, application, newer) = matrix(released)
    assert (library.version, newer.version) == ("0.1.0", "0.1.1")
    assert application.works_with == {"lib-a": ["0.1.0", "0.1.1"]}
    # The old wheels were made again from their tags, to the same bytes.
    assert {path.name for path in (released.parent / "wheels").iterdir()} == {
        "app_b-0.1.0-py3-none-any.whl",
        "lib_a-0.1.0-py3-none-any.whl",
        "lib_a-0.1.1-py3-none-any.whl",
    }


def test_a_library_that_breaks_an_old_application_unsaid_is_not_released(released):
    # The same signature, so that only the application's own example can tell.
    broken = LIBRARY.replace("number * times", "number * times + 1")
    readme = FILES["lib/README.md"].replace("== 6", "== 7")
    told = {"lib/changes/more.fixed.md": "One more.\n"}
    commit(released, {"lib/lib_a/work.py": broken, "lib/README.md": readme} | told)
    before = state(released)
    with pytest.raises(ReleaseError) as raised:
        cut(options(released))
    assert "app-b 0.1.0 accepts lib-a 0.1.1, and does not work with it" in str(raised.value)
    assert "AssertionError" in str(raised.value)
    assert state(released) == before
    assert not (released.parent / "wheels/lib_a-0.1.1-py3-none-any.whl").exists()


def test_a_library_that_says_so_is_released_with_who_needs_it(released):
    commit(
        released,
        {
            "lib/lib_a/work.py": LIBRARY.replace("double", "twice"),
            "lib/README.md": FILES["lib/README.md"].replace("double", "twice"),
            "lib/changes/twice.breaking.md": "`double` is called `twice`.\n",
            "app/app_b/main.py": FILES["app/app_b/main.py"].replace("double", "twice"),
        },
    )
    assert cut(options(released)) == ["lib-a-v0.2.0", "app-b-v0.1.1"]
    works = {f"{one.project} {one.version}": one.works_with for one in matrix(released)}
    assert works == {
        "lib-a 0.1.0": {},
        "app-b 0.1.0": {"lib-a": ["0.1.0"]},
        "lib-a 0.2.0": {},
        "app-b 0.1.1": {"lib-a": ["0.2.0"]},
    }
    assert "- Needs lib-a >=0.2.0,<0.3.0." in (released / "app/CHANGELOG.md").read_text()


def test_one_version_releases_all_at_the_same(released):
    commit(released, {"app/changes/x.breaking.md": "All is different.\n"})
    assert cut(options(released, one_version=True)) == ["lib-a-v0.2.0", "app-b-v0.2.0"]
    assert "released with the other projects" in (released / "lib/CHANGELOG.md").read_text()


@pytest.mark.parametrize("file", ["lib/lib_a/work.py", "lib/lib_a/new.py"])
def test_a_tree_with_changes_is_refused(released, file):
    write(released, {file: "X = 1\n"})
    before = state(released)
    with pytest.raises(ReleaseError, match=rf"not committed:\n  - .*{file}"):
        cut(options(released))
    assert state(released) == before


def test_no_branch_is_refused(released):
    git(released, "checkout", "--quiet", "--detach")
    with pytest.raises(ReleaseError, match="no branch is checked out"):
        cut(options(released))


def test_tests_that_fail_stop_it(released):
    commit(released, {"lib/changes/x.fixed.md": "Faster.\n"})
    before = state(released)
    with pytest.raises(ReleaseError, match="fails: nothing was released"):
        cut(options(released, tests=FAILS))
    assert state(released) == before


def test_a_tag_that_is_there_stops_it_before_anything_is_tried(released):
    commit(released, {"lib/changes/x.fixed.md": "Faster.\n"})
    git(released, "tag", "lib-a-v0.1.1")
    before = state(released)
    with pytest.raises(ReleaseError, match=r"tags of these releases: lib-a-v0\.1\.1; pull first"):
        cut(options(released, tests=FAILS))
    assert state(released) == before


def test_branch_and_tags_move_together_or_not_at_all(released):
    repo = Git(released)
    head = repo.head()
    new = repo.commit(repo.tree(head, {"NEW": "x"}), head, "new")
    git(released, "tag", "taken")
    before = state(released)
    with pytest.raises(ReleaseError, match="taken"):
        repo.publish(new, head, repo.branch(), ["fresh", "taken"])
    assert state(released) == before
    with pytest.raises(ReleaseError, match="main"):
        repo.publish(head, new, repo.branch(), ["fresh"])  # as if somebody else had committed
    assert state(released) == before


def test_another_wheel_in_the_place_of_a_released_one_is_found(released):
    write(released.parent / "wheels", {"app_b-0.1.0-py3-none-any.whl": "another"})
    commit(released, {"lib/changes/x.fixed.md": "Faster.\n"})
    with pytest.raises(ReleaseError, match=r"is not of app-b 0\.1\.0 as it was released"):
        cut(options(released))


def test_another_wheel_in_the_place_of_a_new_one_stops_it_before_anything_is_released(released):
    write(released.parent / "wheels", {"lib_a-0.1.1-py3-none-any.whl": "another"})
    commit(released, {"lib/changes/x.fixed.md": "Faster.\n"})
    before = state(released)
    with pytest.raises(
        ReleaseError, match=r"lib_a-0\.1\.1\S* is another wheel of the same version"
    ):
        cut(options(released))
    assert state(released) == before


def test_a_tag_that_was_moved_makes_no_released_wheel(released):
    commit(released, {"app/README.md": "# app-b\n", "lib/changes/x.fixed.md": "Faster.\n"})
    git(released, "tag", "--force", "app-b-v0.1.0")
    with pytest.raises(ReleaseError, match=r"from the tag app-b-v0\.1\.0, is not of app-b"):
        cut(options(released))


def test_without_wheel_and_tag_it_is_told_what_to_fetch(released):
    git(released, "tag", "--delete", "app-b-v0.1.0")
    commit(released, {"lib/changes/x.fixed.md": "Faster.\n"})
    with pytest.raises(ReleaseError, match=r"tag app-b-v0\.1\.0 to make it from: git fetch --tags"):
        cut(options(released))


@pytest.mark.parametrize("step", ["commit", "publish"])
def test_who_stops_it_before_the_last_step_has_stopped_all_of_it(
    released, monkeypatch, capsys, step
):
    commit(released, {"app/changes/x.fixed.md": "Faster.\n"})
    before = state(released)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Git, step, stop)
    monkeypatch.setenv("BUILD_WORKSPACE_DIRECTORY", str(released))
    monkeypatch.setenv("FRAUD_HOME", str(released.parent))
    assert command.main(["--tested"]) == 1
    assert capsys.readouterr().err.endswith("interrupted: nothing was released\n")
    assert state(released) == before
    # That of lib-a was needed, and made of its tag.
    kept = {path.name for path in (released.parent / "releases").iterdir()}
    assert kept == {"lib_a-0.1.0-py3-none-any.whl"}


def test_who_stops_it_after_the_last_step_is_told_how_to_go_on(released, monkeypatch, capsys):
    commit(released, {"app/changes/x.fixed.md": "Faster.\n"})

    keep = WheelStore.keep

    def stop(store: WheelStore, wheel: Path) -> None:
        if wheel.name.startswith("app_b-0.1.1"):
            raise KeyboardInterrupt
        keep(store, wheel)

    monkeypatch.setattr(WheelStore, "keep", stop)
    monkeypatch.setenv("BUILD_WORKSPACE_DIRECTORY", str(released))
    assert command.main(["--tested"]) == 1
    assert "after all was released: git reset --hard" in capsys.readouterr().err
    assert "app-b-v0.1.1" in git(released, "tag").split()


def test_a_dry_run_shows_and_changes_nothing(released, monkeypatch, capsys):
    commit(released, {"lib/changes/x.fixed.md": "Faster.\n"})
    before = state(released)
    monkeypatch.setenv("BUILD_WORKSPACE_DIRECTORY", str(released))
    assert command.main(["--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "lib-a 0.1.1 (was 0.1.0): fix" in shown
    assert "would write lib/CHANGELOG.md\n" in shown
    assert "would remove lib/changes/x.fixed.md\n" in shown
    assert "would tag lib-a-v0.1.1\n" in shown
    assert state(released) == before


def test_the_command_says_what_is_wrong_and_fails(released, monkeypatch, capsys):
    monkeypatch.setenv("BUILD_WORKSPACE_DIRECTORY", str(released))
    assert command.main(["--tested"]) == 1
    assert capsys.readouterr().err.startswith("error: there is nothing to release")
    with pytest.raises(SystemExit, match="2"):
        command.main(["--unknown"])


def test_the_matrix_is_readable_json(released_once):
    read = json.loads((released_once / "compatibility.json").read_text())
    assert [one["project"] for one in read["releases"]] == ["lib-a", "app-b"]
