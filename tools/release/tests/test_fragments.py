"""One file a change, and the changelog that they become."""

from __future__ import annotations

import pytest

from tools.release.errors import ReleaseError
from tools.release.fragments import (
    MARK,
    Fragment,
    greatest,
    read_fragments,
    release_notes,
    with_release,
)
from tools.release.tests.throwaway import write
from tools.release.versions import Change


def test_fragments_are_read_in_order_of_their_names(tmp_path):
    write(tmp_path, {"changes/b.fixed.md": "Later.\n", "changes/a-1.added.md": "Sooner.\n\n"})
    assert read_fragments(tmp_path) == (
        Fragment("a-1.added.md", "added", "Sooner."),
        Fragment("b.fixed.md", "fixed", "Later."),
    )


def test_a_project_without_changes_has_none(tmp_path):
    write(tmp_path, {"changes/README.md": "# How to write them\n"})
    assert read_fragments(tmp_path) == ()


def test_a_project_without_the_folder_has_none(tmp_path):
    assert read_fragments(tmp_path) == ()


def test_all_that_is_wrong_is_told_at_once(tmp_path):
    wrong = {
        "changes/a.unknown.md": "x",
        "changes/no-kind.md": "x",
        "changes/Upper.added.md": "x",
        "changes/empty.added.md": " \n",
        "changes/bullet.added.md": "- x",
        "changes/fine.added.md": "x",
    }
    write(tmp_path, wrong)
    with pytest.raises(ReleaseError) as raised:
        read_fragments(tmp_path)
    told = str(raised.value)
    assert [name for name in wrong if name in told] == list(wrong)[:-1]
    assert "breaking, added, changed, fixed" in told


def test_notes_tell_what_breaks_first_and_keep_long_entries_together():
    fragments = [
        Fragment("a.fixed.md", "fixed", "Nothing is lost."),
        Fragment("b.breaking.md", "breaking", "`old` is gone:\nuse `new`."),
    ]
    assert release_notes("1.0.0 (2026-01-31)", fragments) == (
        "## 1.0.0 (2026-01-31)\n\n"
        "### Breaking\n\n- `old` is gone:\n  use `new`.\n\n"
        "### Fixed\n\n- Nothing is lost.\n"
    )


def test_a_release_comes_before_those_that_are_there():
    first = with_release(f"# Log\n\n{MARK}", release_notes("1", []), where="LOG")
    second = with_release(first, release_notes("2", []), where="LOG")
    assert [line for line in second.splitlines() if line.startswith("#")] == [
        "# Log",
        "## 2",
        "## 1",
    ]
    assert second.count(MARK) == 1
    assert "\n\n\n" not in second


@pytest.mark.parametrize(
    ("changelog", "problem"),
    [("# Log\n", "exactly one line"), (f"# Log\n{MARK}\n## Unreleased\n- x\n", "make each a file")],
)
def test_a_changelog_without_a_place_for_it_is_refused(changelog, problem):
    with pytest.raises(ReleaseError, match=f"^LOG: .*{problem}"):
        with_release(changelog, "## 1\n", where="LOG")


def test_the_greatest_change_counts():
    kinds = ("fixed", "breaking", "added")
    assert greatest(Fragment("x", kind, "x") for kind in kinds) is Change.BREAK
    assert greatest([]) is Change.NONE
