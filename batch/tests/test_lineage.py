"""What a model records of where it comes from changes when that changes, and only then."""

import subprocess
from pathlib import Path

import pyarrow as pa
import pytest

from batch_proc.lineage import commit, fingerprint, versions

TABLE = pa.table({"id": [1, 2, 3], "amount": [1.0, 2.0, 3.0]})


def test_a_fingerprint_does_not_depend_on_how_rows_lie_in_memory() -> None:
    pieces = pa.concat_tables([TABLE.slice(0, 1), TABLE.slice(1)])
    tagged = TABLE.replace_schema_metadata({"made": "today"})
    assert fingerprint([TABLE]) == fingerprint([pieces]) == fingerprint([tagged])


@pytest.mark.parametrize(
    "other",
    [
        pa.table({"id": [1, 2, 3], "amount": [1.0, 2.0, 3.5]}),
        pa.table({"id": [1, 2, 3], "price": [1.0, 2.0, 3.0]}),
        pa.table({"id": [1, 2, 3], "amount": [1, 2, 3]}),
        pa.table({"id": [1, 3, 2], "amount": [1.0, 2.0, 3.0]}),
        TABLE.slice(0, 2),
    ],
)
def test_other_rows_have_another_fingerprint(other: pa.Table) -> None:
    assert fingerprint([other]) != fingerprint([TABLE])
    assert fingerprint([TABLE, other]) != fingerprint([other, TABLE])


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    done = subprocess.run(
        ["git", *identity, "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_the_commit_is_the_workspaces_and_says_when_files_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUILD_WORKSPACE_DIRECTORY", str(tmp_path))
    assert commit() == "unknown"  # no repository
    git(tmp_path, "init", "--quiet")
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "--quiet", "--message", "one")
    head = git(tmp_path, "rev-parse", "HEAD")
    git(tmp_path, "tag", "v1")
    assert commit() == head
    (tmp_path / "file").write_text("two")
    assert commit() == f"{head}-dirty"


def test_without_git_the_commit_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert commit() == "unknown"


def test_the_versions_are_of_all_that_has_a_part_in_the_numbers() -> None:
    assert set(versions()) == {"python", "numpy", "pyarrow", "scikit-learn", "torch"}
