"""Who uses what, as `bazel query --output=graph` tells it: Bazel's own idea of a dependency."""

from __future__ import annotations

import re
from collections import defaultdict

from tools.affected.graph import short

EDGE = re.compile(r'  "(?P<user>[^"]+)" -> "(?P<used>[^"]+)"')


class Users:
    """The edges of a graph, backwards."""

    def __init__(self, graph: str) -> None:
        self._users = defaultdict(set)
        for edge in EDGE.finditer(graph):
            self._users[short(edge["used"])].add(short(edge["user"]))

    def of(self, label: str) -> set[str]:
        """The labels of all that is built from what a label names, at whatever distance."""
        reached: set[str] = set()
        queue = [label]
        while queue:
            for user in self._users.get(queue.pop(), ()):
                if user not in reached:
                    reached.add(user)
                    queue.append(user)
        return reached
