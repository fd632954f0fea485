"""What shape does a mesh have: how far apart, how thin, and how much of it can go?

Over links as nodes tell them; a link counts when either end has it. Pure. Do not add where the
links come from.
"""

from collections import deque
from collections.abc import Collection, Iterable, Mapping


class Graph:
    """Hold the links of a mesh, both ways."""

    def __init__(self, links: Mapping[str, Iterable[str]]) -> None:
        self.links: dict[str, set[str]] = {node: set() for node in links}
        for node, others in links.items():
            for other in others:
                if other != node:
                    self.links[node].add(other)
                    self.links.setdefault(other, set()).add(node)

    def only(self, nodes: Collection[str]) -> "Graph":
        """Return the part that has these nodes alone."""
        kept = frozenset(nodes)
        return Graph({node: self.links[node] & kept for node in self.links if node in kept})

    def degrees(self) -> dict[str, int]:
        """Count each node's links."""
        return {node: len(others) for node, others in self.links.items()}

    def components(self, *, without: Collection[str] = ()) -> list[frozenset[str]]:
        """Return the parts that hang together when some nodes are gone, the largest first."""
        left = set(self.links).difference(without)
        found = []
        while left:
            part = frozenset(self._steps(min(left), left))
            found.append(part)
            left -= part
        return sorted(found, key=lambda part: (-len(part), min(part)))

    def diameter(self) -> int | None:
        """Return the most steps between two nodes; None when some cannot reach each other."""
        everybody = set(self.links)
        longest = 0
        for node in self.links:
            steps = self._steps(node, everybody)
            if len(steps) < len(everybody):
                return None
            longest = max(longest, *steps.values())
        return longest

    def _steps(self, start: str, among: Collection[str]) -> dict[str, int]:
        steps = {start: 0}
        queue = deque((start,))
        while queue:
            node = queue.popleft()
            for other in self.links[node]:
                if other in among and other not in steps:
                    steps[other] = steps[node] + 1
                    queue.append(other)
        return steps
