"""The command, on a real git repository, with a Bazel that tells what a file of the tree says."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from graphs import lines, rule

from tools.affected import affected
from tools.affected.ask_bazel import KEPT_ANSWERS, BazelQuery
from tools.affected.errors import AffectedError
from tools.affected.trees import Trees

BAZELW = """\
#!/bin/sh
echo "$@" >> "$ASKED"
[ -f broken ] && { echo "ERROR: ml/BUILD.bazel:3: no such target" >&2; exit 7; }
cat graph.jsonl
"""
MODEL = rule("//ml:model", "//ml:model.py")
TEST = rule("//ml/tests:test_model", "//ml:model", "//ml/tests:test_model.py", kind="py_test")
EDGE = rule("//ml:edge", "//ml:model", tags=["manual"])
SUITE = rule("//ml:suite", "//ml/tests:test_model", kind="test_suite")
APP = rule("//app:app", "//app:app.py", kind="py_binary")
TARGETS = (MODEL, TEST, EDGE, SUITE, APP)

Run = Callable[..., tuple[int, str, str]]


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_py", ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def git(root: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    return subprocess.run(
        ["git", *identity, *arguments], cwd=root, check=True, capture_output=True, text=True
    ).stdout


def commit(root: Path) -> str:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "x")
    return git(root, "rev-parse", "HEAD").strip()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with one commit."""
    root = tmp_path / "workspace"
    root.mkdir()
    write(root, ml__model_py="a", ml__tests__test_model_py="a", app__app_py="a", README="a")
    (root / "bazelw").write_text(BAZELW)
    (root / "bazelw").chmod(0o755)
    (root / ".gitignore").write_text("*.log\n")
    (root / "graph.jsonl").write_text("\n".join(lines(*TARGETS)))
    git(root, "init", "--quiet", "--initial-branch=main")
    commit(root)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("BUILD_WORKSPACE_DIRECTORY", str(root))
    monkeypatch.setenv("ASKED", str(tmp_path / "asked"))
    return root


@pytest.fixture
def run(root: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def ask(*arguments: str) -> tuple[int, str, str]:
        status = affected.main(arguments)
        said = capsys.readouterr()
        return status, said.out, said.err

    return ask


def asked(root: Path) -> int:
    log = root.parent / "asked"
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_without_a_change_nothing_is_affected(run: Run, root: Path) -> None:
    status, out, err = run("main")
    assert (status, out) == (0, "")
    assert err == "0 files differ from main: 0 targets, 0 of them tests, in no project\n"


def test_what_is_not_committed_counts(run: Run, root: Path) -> None:
    write(root, ml__model_py="b")
    status, out, err = run("main")
    assert (status, out) == (0, "//ml/tests:test_model\n//ml:model\n")
    assert err == "1 files differ from main: 4 targets, 1 of them tests, in ml\n"


def test_a_new_file_counts_and_an_ignored_one_does_not(run: Run, root: Path) -> None:
    new = rule("//new:new", "//new:new.py")
    (root / "graph.jsonl").write_text("\n".join(lines(*TARGETS, new)))
    write(root, new__new_py="a")
    (root / "debug.log").write_text("a")
    found = json.loads(run("main", "--json")[1])
    assert found["files"] == ["graph.jsonl", "new/new.py"]
    assert [target["label"] for target in found["targets"]] == ["//new:new"]


def test_only_tests_where_they_are_asked_for(run: Run, root: Path) -> None:
    write(root, ml__model_py="b", app__app_py="b")
    assert run("main", "--tests")[1] == "//ml/tests:test_model\n"


def test_json_tells_all(run: Run, root: Path) -> None:
    write(root, ml__model_py="b")
    (root / "graph.jsonl").write_text("\n".join(lines(MODEL, EDGE, SUITE, APP)))
    found: dict[str, Any] = json.loads(run("HEAD", "--json")[1])
    assert found["base"] == "HEAD"
    assert found["everything"] is None
    assert found["projects"] == ["ml"]
    assert found["removed"] == ["//ml/tests:test_model"]
    assert found["targets"][0] == {
        "label": "//ml:edge",
        "kind": "py_library",
        "project": "ml",
        "test": False,
        "manual": True,
    }


def test_a_file_that_nothing_is_built_from_affects_nothing(run: Run, root: Path) -> None:
    write(root, README="b")
    assert run("main")[1] == ""


def test_what_all_see_affects_all(run: Run, root: Path) -> None:
    (root / ".bazelversion").write_text("7.7.1\n")
    _, out, err = run("main")
    assert out == "//app:app\n//ml/tests:test_model\n//ml:model\n"
    assert "everything, for what all targets see has changed" in err


def test_a_mode_counts(run: Run, root: Path) -> None:
    (root / "app/app.py").chmod(0o755)
    assert run("main")[1] == "//app:app\n"


def test_bazel_is_asked_once_for_a_tree(run: Run, root: Path) -> None:
    write(root, ml__model_py="b")
    first = run("main")
    assert asked(root) == 2
    assert run("main") == first
    git(root, "commit", "--all", "--quiet", "--message", "the same tree")
    assert run("HEAD~1")[1] == first[1]
    assert asked(root) == 2


def test_the_repository_and_the_users_bazel_are_left_alone(run: Run, root: Path) -> None:
    write(root, ml__model_py="b", new_py="a")
    (root / "ml/tests/test_model.py").unlink()

    def state() -> tuple[str, list[Path]]:
        return git(root, "status", "--porcelain"), sorted((root / ".git/objects").rglob("*"))

    before = state()
    run("main")
    assert state() == before
    startup = f"--output_base={root.parent}/cache/fraud-detect/affected/output_base "
    assert (root.parent / "asked").read_text().startswith(startup)


def test_a_base_that_does_not_load_affects_all(run: Run, root: Path) -> None:
    (root / "broken").touch()
    commit(root)
    (root / "broken").unlink()
    status, out, err = run("HEAD")
    assert (status, out.count("\n")) == (0, 3)
    assert "ml/BUILD.bazel:3: no such target" in err
    assert "everything, for the targets of BASE cannot be loaded" in err


def test_a_tree_that_does_not_load_is_an_error_with_what_bazel_said(run: Run, root: Path) -> None:
    (root / "broken").touch()
    status, out, err = run("main")
    assert (status, out) == (1, "")
    assert "ml/BUILD.bazel:3: no such target" in err


@pytest.mark.parametrize("base", ["nowhere", "--help-me-not", "main:README"])
def test_a_base_that_is_no_commit_is_named(run: Run, root: Path, base: str) -> None:
    status, out, err = run("--", base)
    assert (status, out) == (1, "")
    assert f"{base!r} names no commit here" in err


def test_outside_of_a_repository_it_says_so(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUILD_WORKSPACE_DIRECTORY", str(tmp_path))
    status, _, err = run("main")
    assert status == 1
    assert "is not a git repository" in err


def test_wrong_usage_is_exit_code_2(run: Run) -> None:
    with pytest.raises(SystemExit) as exit_:
        run()
    assert exit_.value.code == 2


def test_a_check_out_that_was_interrupted_is_made_anew(root: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    trees = Trees(root, kept)
    folder = kept / "tree"
    old = trees.of_commit("main")
    trees.check_out(old, folder)
    write(folder, left__BUILD="a", ml__model_py="half")
    (kept / "tree.unfinished").touch()
    trees.check_out(old, folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        path.name for path in root.iterdir() if path.name != ".git"
    )
    assert (folder / "ml/model.py").read_text() == "a"


def test_a_check_out_holds_what_its_tree_holds_and_no_more(root: Path, tmp_path: Path) -> None:
    trees = Trees(root, tmp_path / "kept")
    folder = tmp_path / "kept/tree"
    write(root, new__a_py="a")
    new = trees.of_working_tree()
    trees.check_out(new, folder)
    assert (folder / "new/a.py").exists()
    assert os.access(folder / "bazelw", os.X_OK)
    trees.check_out(trees.of_commit("main"), folder)
    assert not (folder / "new").exists()
    assert trees.files(new).keys() - trees.files(trees.of_commit("main")) == {"new/a.py"}
    assert trees.text(new, "new/a.py") == "a"


def test_old_answers_are_forgotten(root: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    trees = Trees(root, kept)
    query = BazelQuery(trees, kept)
    for number in range(KEPT_ANSWERS + 2):
        (kept / f"graphs/{number}.gz").write_bytes(b"")
        os.utime(kept / f"graphs/{number}.gz", (number, number))
    query.graph(trees.of_commit("main"))
    left = {path.name for path in (kept / "graphs").iterdir()}
    assert len(left) == KEPT_ANSWERS
    assert not {"0.gz", "1.gz", "2.gz"} & left


def test_a_tree_without_bazelw_is_named(root: Path, tmp_path: Path) -> None:
    git(root, "rm", "--quiet", "bazelw")
    commit(root)
    trees = Trees(root, tmp_path / "kept")
    with pytest.raises(AffectedError, match="has no bazelw"):
        BazelQuery(trees, tmp_path / "kept").graph(trees.of_commit("main"))
