"""Every file of the tree has an owner, and so has the file that says so."""

import json
from pathlib import Path

import pytest

from tools.ownership.owners import owners_of, parse_owners, problems

OWNERS = """\
# Comment
*            @org/platform
/ml/         @org/modelling  # a reason
/serving/    @org/serving someone@example.org
/CODEOWNERS  @org/platform
"""
FOLDERS = ["ml", "serving"]


def test_every_file_of_the_tree_has_an_owner() -> None:
    root = json.loads(Path("root.json").read_text())
    assert {"ml", "tools", ".ci"} <= set(root["folders"])
    assert {"README.md", ".bazelrc", "CODEOWNERS"} <= set(root["files"])
    text = Path("CODEOWNERS").read_text()
    assert list(problems(text, root["folders"], root["files"])) == []


def test_the_owners_of_this_tree_are_those_of_the_last_line_that_matches() -> None:
    lines = parse_owners(Path("CODEOWNERS").read_text())
    assert owners_of("ml/fraud_ml/model.py", lines) == ("@fraud-detect/modelling",)
    assert owners_of("README.md", lines) == ("@fraud-detect/platform",)
    assert owners_of("ml/CODEOWNERS", lines) == ("@fraud-detect/modelling",)


def test_a_tree_whose_owners_are_told_passes() -> None:
    assert list(problems(OWNERS, FOLDERS, ["CODEOWNERS", "README.md"])) == []


@pytest.mark.parametrize(
    ("text", "folders", "named"),
    [
        (OWNERS, [*FOLDERS, "console"], "has no line for /console/"),
        (OWNERS, ["ml"], "there is no folder /serving/"),
        (OWNERS.replace("/ml/         @org/modelling", "/ml/"), FOLDERS, "3: /ml/ has no owner"),
        (OWNERS.replace("*  ", "*.md "), FOLDERS, "nobody owns CODEOWNERS_not"),
        (OWNERS + "/ml/x/\n", FOLDERS, "6: /ml/x/ has no owner"),
        (OWNERS + "/serving/x @org/a\n", FOLDERS, "last line must say who owns /CODEOWNERS"),
        (OWNERS.replace("@org/serving", "org/serving"), FOLDERS, "4: org/serving is neither"),
        (OWNERS.replace("/serving/", "/ml/"), FOLDERS, "/ml/ is there twice"),
        (OWNERS.replace("/ml/  ", "!/ml/ "), FOLDERS, "!/ml/: such a pattern does not work"),
        ("", [], "last line must say"),
    ],
)
def test_what_is_wrong_is_named(text: str, folders: list[str], named: str) -> None:
    found = list(problems(text, folders, ["CODEOWNERS_not"]))
    assert any(named in line for line in found), found


@pytest.mark.parametrize(
    ("pattern", "matched", "not_matched"),
    [
        ("*", ["a", "a/b/c.py"], []),
        ("*.py", ["a.py", "a/b/c.py"], ["a.pyi"]),
        ("/ml/", ["ml/a", "ml/b/c"], ["x/ml/a", "ml", "mls/a"]),
        ("ml/", ["ml/a", "x/ml/a"], ["ml"]),
        ("/docs/*", ["docs/a.md"], ["docs/b/a.md"]),
        ("docs/a.md", ["docs/a.md"], ["x/docs/a.md"]),
        ("/docs/**/a.md", ["docs/a.md", "docs/b/c/a.md"], ["docs/b.md"]),
        ("**/logs", ["logs/a", "x/logs", "x/logs/a"], ["catalogs/a"]),
        ("/apps/**", ["apps/a/b"], ["app/a"]),
    ],
)
def test_patterns_are_those_of_gitignore(
    pattern: str, matched: list[str], not_matched: list[str]
) -> None:
    (line,) = parse_owners(f"{pattern} @org/team")
    assert [path for path in matched if not line.matches(path)] == []
    assert [path for path in not_matched if line.matches(path)] == []
