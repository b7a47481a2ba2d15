"""A picture of which project depends on which, from what Bazel says of all targets."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection
from pathlib import Path

Edge = tuple[str, str]
"""A project, and one that it depends on."""

# A line of `bazel query --output=graph --nograph:factored`.
_EDGE = re.compile(r'^\s*"//([\w-]+)[/:][^"]*" -> "//([\w-]+)[/:][^"]*"', re.MULTILINE)

_WIDTH, _HEIGHT, _BOX = 720, 120, (170, 52)


def project_edges(graph: str) -> list[Edge]:
    """The edges between projects, sorted.

    Args:
        graph: Graphviz's language, as Bazel writes it.
    """
    return sorted({edge for edge in _EDGE.findall(graph) if edge[0] != edge[1]})


def levels(edges: Collection[Edge]) -> list[list[str]]:
    """Projects, those first that depend on none, and each below all that it depends on.

    Raises:
        ValueError: they depend on each other.
    """
    left = {project for edge in edges for project in edge}
    found: list[list[str]] = []
    while left:
        free = sorted(it for it in left if not any(a == it and b in left for a, b in edges))
        if not free:
            raise ValueError(f"these depend on each other: {', '.join(sorted(left))}")
        found.append(free)
        left -= set(free)
    return found


def draw(edges: Collection[Edge]) -> str:
    """The picture, as SVG, readable on light and on dark."""
    rows = levels(edges)
    place = {
        project: (_WIDTH * (at + 0.5) / len(row), _HEIGHT * (level + 0.5))
        for level, row in enumerate(rows)
        for at, project in enumerate(row)
    }
    level_of = {project: level for level, row in enumerate(rows) for project in row}
    parts = [
        _arrow(place[above], place[below], around=level_of[below] - level_of[above] > 1)
        for below, above in edges
    ]
    parts += [_box(project, *where) for project, where in place.items()]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT * len(rows)}"'
        ' role="img" aria-label="Which project depends on which"'
        ' font-family="sans-serif" font-size="16">'
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8"'
        ' markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z" fill="#7a86b8"/></marker></defs>'
        f"{''.join(parts)}</svg>\n"
    )


def _box(project: str, x: float, y: float) -> str:
    width, height = _BOX
    return (
        f'<rect x="{x - width / 2:g}" y="{y - height / 2:g}" width="{width}" height="{height}"'
        ' rx="8" fill="#3f51b5"/>'
        f'<text x="{x:g}" y="{y + 6:g}" text-anchor="middle" fill="#fff">{project}</text>'
    )


def _arrow(start: tuple[float, float], end: tuple[float, float], *, around: bool) -> str:
    """From one box down to another, ``around`` those of the levels between."""
    (x, y), (to_x, to_y) = start, end
    y, to_y = y + _BOX[1] / 2, to_y - _BOX[1] / 2
    side = 0 if x < _WIDTH / 2 else _WIDTH
    bend = (side, to_y) if around else ((x + to_x) / 2, (y + to_y) / 2)
    return (
        f'<path d="M{x:g} {y:g}Q{bend[0]:g} {bend[1]:g} {to_x:g} {to_y:g}" fill="none"'
        ' stroke="#7a86b8" stroke-width="2" marker-end="url(#head)"/>'
    )


if __name__ == "__main__":  # GRAPH PICTURE
    Path(sys.argv[2]).write_text(draw(project_edges(Path(sys.argv[1]).read_text())))
