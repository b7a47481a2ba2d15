"""Flags, modules, toolchains, aspects and Bazel itself: what they name, every target sees."""

import pytest
from graphs import lines, rule

from tools.affected.fingerprints import Fingerprints
from tools.affected.graph import parse_graph
from tools.affected.lock import parse_lock
from tools.affected.seen_by_all import SeenByAll

TEXTS = {
    ".bazelrc": "common --aspects=//tools/python:imports.bzl%aspect\n"
    "try-import %workspace%/tools/ci.bazelrc\n",
    "tools/ci.bazelrc": "build:ci --platforms=//tools/platform\n",
    "MODULE.bazel": 'x = use_extension("//tools/db:db.bzl", "db")\n'
    'pip.parse(lock = "//:requirements_lock.txt", annotations = {"r": "@@//tools/lint:r.json"})\n'
    'register_toolchains("//tools/chain:all")\n',
    "tools/python/BUILD.bazel": "",
    "tools/python/imports.bzl": 'load(":more.bzl", "x")\n'
    'attr.label(default = "//tools/python:check")',
    "tools/python/more.bzl": "",
    "tools/python/check.py": "",
    "tools/db/BUILD.bazel": "",
    "tools/db/db.bzl": "S = [Label(\"//tools/db:unpack.py\"), ':folder/other.py']",
    "tools/db/unpack.py": "",
    "tools/db/folder/other.py": "",
    "tools/lint/r.json": "",
    "tools/bootstrap/launch.py": "",
    "tools/bootstrap/tests/test_launch.py": "",
    "tools/platform/linux.py": "",
    "tools/chain/run.py": "",
    "requirements_lock.txt": "numpy==1\n",
    "bazelw": "",
    "ml/model.py": "",
    "ml/defs.bzl": "",
}
GRAPH = parse_graph(
    lines(
        rule("//tools/python:check", "//tools/python:check.py"),
        rule("//tools/platform:platform", "//tools/platform:linux.py"),
        rule("//tools/chain:java", "//tools/chain:run.py"),
        rule("//ml:model", "//ml:model.py"),
    )
)


def fingerprint(texts: dict[str, str]) -> str:
    files = {path: f"100644 blob {text}" for path, text in texts.items()}
    prints = Fingerprints(GRAPH, files, parse_lock(""))
    return SeenByAll(GRAPH, files, texts.__getitem__, prints).fingerprint()


@pytest.mark.parametrize(
    "path",
    sorted(
        TEXTS.keys()
        - {
            "ml/model.py",
            "ml/defs.bzl",
            "requirements_lock.txt",
            "tools/bootstrap/tests/test_launch.py",
            "tools/python/BUILD.bazel",
            "tools/db/BUILD.bazel",
        }
    ),
)
def test_all_see_it(path: str) -> None:
    assert fingerprint(TEXTS) != fingerprint(TEXTS | {path: TEXTS[path] + "\n# more"})


@pytest.mark.parametrize(
    "path",
    [
        "ml/model.py",
        "ml/defs.bzl",  # the rules that it implements say so themselves
        "requirements_lock.txt",  # package by package
        "tools/bootstrap/tests/test_launch.py",
        "README.md",
    ],
)
def test_not_all_see_it(path: str) -> None:
    more = TEXTS | {path: TEXTS.get(path, "") + "# more"}
    assert fingerprint(TEXTS) == fingerprint(more)


def test_a_file_that_appears_counts() -> None:
    assert fingerprint(TEXTS) != fingerprint(TEXTS | {".bazelignore": "docs"})
