"""The critical path: the chain of spans that a trace's duration hung on.

Upstream: ``walk``.
Downstream: the card.
Guarantee: every instant between the start of the first span and the end of the last belongs to exactly one span, so
the parts add up to the duration; each span is looked at once.

The way goes backwards from the end. Within a span, of the children that began before now the one that ended last is
gone into; what lies between its end and now is the span's own; then now is where that child began. A span lasts until
the last of what it started has ended, so the way from an announcement leads into the sub-agent it announces.
"""

from typing import NamedTuple

from stream_jobs.core.cards.walk import Tree
from stream_jobs.core.state import Node


class PathPart(NamedTuple):
    """A span on the path and the microseconds in it, without the parts within it."""

    node: Node
    self_us: int


def critical_path(tree: Tree) -> list[PathPart]:
    """Return the spans of the path, in order of time."""
    ends = _ends(tree)
    root = tree.root
    # The host may have worked for the run before the run began.
    start_us = min(node.started_at_us for node in tree.nodes)
    stack = [_Frame(root, start_us, ends[root.ref], _by_end(tree, root, ends))]
    path: list[PathPart] = []
    while stack:
        frame = stack[-1]
        child = frame.next_child(ends)
        if child is None:
            frame.own_us += max(0, frame.now_us - frame.start_us)
            path.append(PathPart(frame.node, frame.own_us))
            stack.pop()
            continue
        end_us = min(ends[child.ref], frame.now_us)
        frame.own_us += frame.now_us - end_us
        frame.now_us = max(child.started_at_us, frame.start_us)
        stack.append(_Frame(child, frame.now_us, end_us, _by_end(tree, child, ends)))
    path = [part for part in path if part.self_us > 0]
    return sorted(path, key=lambda it: (it.node.started_at_us, it.node.ref))


class _Frame:
    def __init__(self, node: Node, start_us: int, now_us: int, children: list[Node]) -> None:
        self.node = node
        self.start_us = start_us
        self.now_us = now_us
        self.own_us = 0
        self._children = iter(children)

    def next_child(self, ends: dict[str, int]) -> Node | None:
        for child in self._children:
            begins_us, ends_us = max(child.started_at_us, self.start_us), min(ends[child.ref], self.now_us)
            if begins_us < ends_us:
                return child
        return None


def _by_end(tree: Tree, node: Node, ends: dict[str, int]) -> list[Node]:
    return sorted(
        tree.children.get(node.ref, ()), key=lambda it: (ends[it.ref], it.started_at_us, it.ref), reverse=True
    )


def _ends(tree: Tree) -> dict[str, int]:
    """When each span and all below it had ended."""
    ends: dict[str, int] = {}
    for node in reversed(tree.nodes):
        own_us = max(node.ended_at_us, node.started_at_us)
        ends[node.ref] = max((ends[it.ref] for it in tree.children.get(node.ref, ())), default=own_us)
        ends[node.ref] = max(ends[node.ref], own_us)
    return ends
