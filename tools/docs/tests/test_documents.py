"""What the documents of this repository name is there."""

from dataclasses import replace
from pathlib import Path

import pytest

from tools.docs.check import Tree, problems
from tools.release.fragments import MARK
from tools.tree.listed import listed


@pytest.fixture(scope="module")
def tree() -> Tree:
    files = listed(Path("tools/tree/files.txt"))
    documents = _texts([path for path in files if path.endswith(".md")])
    # A release tells of what there was then.
    current = {path: text.partition(MARK)[0] for path, text in documents.items()}
    return Tree(
        files=frozenset(files),
        documents=current,
        build_files=_texts([path for path in files if path.endswith("BUILD.bazel")]),
        bazelrc="".join(_texts([".bazelrc", "tools/cache/cache.bazelrc"]).values()),
    )


def _texts(paths: list[str]) -> dict[str, str]:
    # One that is missing here is one that this test's target has to name.
    return {path: Path(path).read_text(encoding="utf-8") for path in paths}


def test_every_link_heading_target_command_and_path_is_there(tree: Tree) -> None:
    assert "\n".join(problems(tree)) == ""


def test_all_is_still_there_after_a_release(tree: Tree) -> None:
    # `:cut` makes a changelog of the fragments, and git knows no empty folders.
    def stays(path: str) -> bool:
        return Path(path).parent.name != "changes"

    released = replace(
        tree,
        files=frozenset(filter(stays, tree.files)),
        documents={path: text for path, text in tree.documents.items() if stays(path)},
    )
    assert "\n".join(problems(released)) == ""


def test_the_documents_and_build_files_were_read(tree: Tree) -> None:
    assert {"README.md", "ml/README.md", "serving/production/README.md"} <= set(tree.documents)
    assert len(tree.build_files) > 30
