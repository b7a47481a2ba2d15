"""A fingerprint differs for exactly what is built from what changed."""

from typing import Any

import pytest
from graphs import generated, group, lines, rule, source

from tools.affected.errors import AffectedError
from tools.affected.fingerprints import Fingerprints, path_of
from tools.affected.graph import parse_graph
from tools.affected.lock import parse_lock

HUB = "@@rules_python~~pip~pip//numpy:numpy"
SPOKE = "@@rules_python~~pip~pip_ruff//:bin/ruff"
LOCK = "numpy==1\n    # via torch\nruff==1\ntorch==1\n"
FILES = {"ml/a.py": "1", "ml/b.py": "1", "ml/data/x": "1", "ml/data/y/z": "1", "app/t.py": "1"}


def targets(**changes: dict[str, Any]) -> list[dict[str, Any]]:
    made = {
        "a": rule("//ml:a", "//ml:a.py"),
        "b": rule("//ml:b", "//ml:b.py", "//ml:a", HUB),
        "gen": rule("//ml:gen", "//ml:data", kind="genrule", outputs=["//ml:out.txt"]),
        "out": generated("//ml:out.txt", "//ml:gen"),
        "users": group("//ml:users", "//app/..."),
        "c": rule("//ml:c", "//ml:out.txt", visibility=["@@//ml:users"]),
        "test": rule("//app:test", "//app:t.py", "//ml:c", SPOKE, kind="py_test"),
        "file": source("//app:t.py"),
    }
    return [*(made | changes).values()]


def prints(
    made: list[dict[str, Any]], files: dict[str, str] = FILES, lock: str = LOCK
) -> dict[str, str]:
    return Fingerprints(parse_graph(lines(*made)), files, parse_lock(lock)).of_rules()


def changed(new: dict[str, str]) -> set[str]:
    old = prints(targets())
    return {label for label in new if old.get(label) != new[label]}


def test_nothing_changed() -> None:
    assert changed(prints(targets())) == set()


@pytest.mark.parametrize(
    ("path", "labels"),
    [
        ("ml/a.py", {"//ml:a", "//ml:b"}),
        ("ml/b.py", {"//ml:b"}),
        # Through a folder, a generated file and its users.
        ("ml/data/y/z", {"//ml:gen", "//ml:c", "//app:test"}),
        ("app/t.py", {"//app:test"}),
        ("ml/unused.md", set()),
    ],
)
def test_a_file_changes_what_is_built_from_it(path: str, labels: set[str]) -> None:
    assert changed(prints(targets(), FILES | {path: "2"})) == labels


def test_a_file_that_is_new_in_a_folder_counts() -> None:
    assert changed(prints(targets(), FILES | {"ml/data/new": "1"})) >= {"//ml:gen"}


@pytest.mark.parametrize("identity", ["120000 blob 1", None])
def test_where_a_file_leads_or_is_cannot_be_told_any_change_counts(identity: str | None) -> None:
    files = FILES | {"ml/a.py": identity} if identity else FILES.copy()
    if not identity:
        del files["ml/a.py"]  # the label leads through a link
    made = targets()
    old, new = prints(made, files), prints(made, files | {"elsewhere.py": "2"})
    assert {label for label in new if old[label] != new[label]} == {"//ml:a", "//ml:b"}


def test_a_folder_is_not_one_whose_name_goes_on() -> None:
    assert changed(prints(targets(), FILES | {"ml/data.py": "1"})) == set()


@pytest.mark.parametrize(
    ("line", "labels"),
    [("numpy==2", {"//ml:b"}), ("ruff==2", {"//app:test"}), ("torch==2", set())],
)
def test_a_package_changes_what_depends_on_it(line: str, labels: set[str]) -> None:
    lock = LOCK.replace(line.replace("2", "1"), line)
    assert changed(prints(targets(), lock=lock)) == labels


@pytest.mark.parametrize(
    "other",
    [
        rule("//ml:a", "//ml:a.py", size="large"),
        rule("//ml:a", "//ml:a.py", starlark="other"),
        rule("//ml:a", "//ml:a.py", "//ml:b.py"),
        rule("//ml:a", "//ml:a.py", kind="py_binary"),
        rule("//ml:a", "//ml:a.py", visibility=["//visibility:private"]),
    ],
)
def test_a_definition_changes_the_target_and_its_users(other: dict[str, Any]) -> None:
    assert changed(prints(targets(a=other))) == {"//ml:a", "//ml:b"}


def test_where_a_target_is_written_changes_nothing() -> None:
    assert changed(prints(targets(a=rule("//ml:a", "//ml:a.py", location="B:9:9")))) == set()


def test_who_may_look_in_changes_those_who_look() -> None:
    other = group("//ml:users", "//other/...")
    assert changed(prints(targets(users=other))) == {"//ml:c", "//app:test"}


def test_who_may_read_a_file_changes_those_who_read() -> None:
    assert changed(prints(targets(file=source("//app:t.py", "//visibility:private")))) == {
        "//app:test"
    }


def test_a_loop_is_named() -> None:
    loop = [rule("//ml:a", "//ml:b"), rule("//ml:b", "//ml:a")]
    with pytest.raises(AffectedError, match="//ml:[ab] depends on itself"):
        prints(loop)


def test_labels_are_paths() -> None:
    assert path_of("//ml:fraud_ml/model.py") == "ml/fraud_ml/model.py"
    assert path_of("//:bazelw") == "bazelw"


def test_only_what_runs_is_a_test() -> None:
    graph = parse_graph(
        lines(
            rule("//a:t", kind="_edge_fails_test", tags=["manual"]),
            rule("//a:s", kind="test_suite"),
        )
    )
    assert (graph.rules["//a:t"].is_test, graph.rules["//a:t"].is_manual) == (True, True)
    assert (graph.rules["//a:s"].is_test, graph.rules["//a:s"].is_manual) == (False, False)
