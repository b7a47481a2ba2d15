"""What of a document is found to be dead, and what is let pass."""

import pytest

from tools.docs.build_targets import targets
from tools.docs.check import Tree, problems
from tools.docs.references import anchors

GUIDE = """\
# Guide to `it`

## The loop

## The loop
"""
BUILD = """\
py_library(name = "metrics", srcs = ["fraud_ml/metrics.py"])
checks(name = "checks", srcs = [])
released(name = "all", package = "a")
exports_files(["README.md"])
[pytest_test(name = name) for name in ["test_one", "test_two"]]
"""


def found(text: str) -> list[str]:
    tree = Tree(
        files=frozenset(
            ["README.md", "ml/BUILD.bazel", "ml/README.md", "ml/fraud_ml/metrics.py", "ml/guide.md"]
        ),
        documents={"ml/README.md": text, "ml/guide.md": GUIDE},
        build_files={"ml/BUILD.bazel": BUILD, "ml/tests/BUILD.bazel": ""},
        bazelrc="test:debug --test_output=streamed\n",
    )
    return list(problems(tree))


@pytest.mark.parametrize(
    "text",
    [
        "[guide](guide.md)",
        "[guide](guide.md#the-loop-1) and [the root](../README.md)",
        "[by reference][1]\n\n[1]: guide.md#guide-to-it",
        "# Here\n\n[above](#here)",
        "[folder](fraud_ml)",
        "[from the root](/README.md)",
        "<https://example.org/a?b=c#d> [mail](mailto:a@example.org)",
        '<a href="guide.md">guide</a>',
        "`./bazelw test //ml:metrics //ml:test_two //ml/... //... //ml:lint`",
        "//ml:fraud_ml/metrics.py and //ml:README.md, //ml:all.",
        "postgresql://ann@host//x, @pip//numpy, file:///tmp, // a comment",
        "`./bazelw --where`, `./bazelw`, `./bazelw test --config=debug //...`",
        "`fraud_ml/metrics.py` `ml/fraud_ml/` `metrics.py` `pay.parquet` `a/b` `approve/review`",
        "`python x.md`",  # a command, not a path
    ],
)
def test_what_is_there_passes(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[guide](guid.md)", "links to guid.md, and there is no ml/guid.md"),
        ("![picture](../a.png)", "links to ../a.png, and there is no a.png"),
        ("[b](../../README.md)", "links to ../../README.md, and there is no ../README.md"),
        ("[b](guide.md#loop)", "links to guide.md#loop, and ml/guide.md has no such heading"),
        ("[b](#loop)", "links to #loop, and ml/README.md has no such heading"),
        ('<img src="a.svg">', "links to a.svg, and there is no ml/a.svg"),
        ("[b](htp://example.org)", "htp://example.org is no address"),
        ("[b](https:///path)", "https:///path is no address"),
        ("//ml:metric.", "//ml:metric: ml/BUILD.bazel declares no metric"),
        ("//mll:lint", "//mll:lint: mll has no BUILD.bazel"),
        ("//:lint", "//:lint: / has no BUILD.bazel"),
        ("//mll/...", "//mll/... has no package"),
        ("`./bazelw tset`", "./bazelw tset: no command of Bazel"),
        ("`./bazelw test --config=dbg`", "--config=dbg: .bazelrc defines none"),
        ("`fraud_ml/metric.py`", "`fraud_ml/metric.py` is not there"),
        ("`ml/README.txt`", "`ml/README.txt` is not there"),
        ("`metric.py`", "`metric.py` is not there"),
    ],
)
def test_what_is_not_there_is_named_with_its_line(text: str, problem: str) -> None:
    assert found(f"# Title\n\n{text}\n") == [f"ml/README.md:3: {problem}"]


def test_code_blocks_are_searched_for_targets_and_commands() -> None:
    assert found("```\n./bazelw run //ml:gone\n```\n") == [
        "ml/README.md:2: //ml:gone: ml/BUILD.bazel declares no gone"
    ]


def test_headings_become_the_fragments_that_github_makes() -> None:
    assert anchors(GUIDE) == {"guide-to-it", "the-loop", "the-loop-1"}
    assert anchors("## What's *new*: in 3.0 _now_\n") == {"whats-new-in-30-now"}


def test_targets_are_names_macros_lists_and_exported_files() -> None:
    declared = {"metrics", "checks", "lint", "types", "wheel", "README.md", "test_one"}
    assert targets(BUILD) >= declared
    assert "fraud_ml/metrics.py" not in targets(BUILD)
