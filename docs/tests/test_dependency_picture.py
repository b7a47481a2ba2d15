"""The picture shows what Bazel says, or refuses what cannot be drawn."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from dependency_picture import draw, levels, project_edges

GRAPH = """
digraph mygraph {
  node [shape=box];
  "//batch:train"
  "//batch:train" -> "//batch:fold"
  "//batch:train" -> "//ml:training"
  "//batch:fold" -> "//ml:splits"
  "//batch:fold" -> "//connectors/more:files"
  "//research:compare" -> "//ml:training"
  "//research:compare" -> "//batch:fold"
  "//ml:training" -> "@pip//torch:pkg"
}
"""
SVG = "{http://www.w3.org/2000/svg}"


def test_edges_are_those_between_projects() -> None:
    assert project_edges(GRAPH) == [
        ("batch", "connectors"),
        ("batch", "ml"),
        ("research", "batch"),
        ("research", "ml"),
    ]


def test_a_project_is_below_all_that_it_depends_on() -> None:
    assert levels(project_edges(GRAPH)) == [["connectors", "ml"], ["batch"], ["research"]]


def test_projects_that_depend_on_each_other_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="depend on each other: a, b"):
        levels([("a", "b"), ("b", "a"), ("a", "c")])


def test_the_picture_has_a_box_a_project_and_an_arrow_an_edge() -> None:
    picture = ElementTree.fromstring(draw(project_edges(GRAPH)))
    texts = [it.text for it in picture.iter(f"{SVG}text")]
    assert sorted(texts) == ["batch", "connectors", "ml", "research"]
    arrows = [it for it in picture.iter(f"{SVG}path") if it.get("marker-end")]
    assert len(arrows) == 4
    assert len(list(picture.iter(f"{SVG}rect"))) == 4


def test_the_picture_in_the_tree_is_of_the_edges_that_there_are() -> None:
    docs = Path(__file__).parents[1]
    kept, drawn = (docs / name for name in ("dependencies.svg", "picture.svg"))
    assert kept.read_text() == drawn.read_text(), "copy bazel-bin/docs/picture.svg to it"
