"""The spans of a trace as a tree, up to a bound.

Upstream: the workspace.
Downstream: ``critical_path``, ``reread``, ``card``.
Guarantee: parents come before their children; at most ``MAX_SPANS`` are read, whatever the trace holds.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from stream_jobs.core.state import Node, RunState
from stream_jobs.core.workspace import Workspace

MAX_SPANS: Final = 5_000


class Tree(NamedTuple):
    """Nodes with their children, the root first."""

    root: RunState
    nodes: list[Node]
    children: dict[str, list[Node]]
    is_partial: bool


def walk(ws: Workspace, root: RunState, max_spans: int = MAX_SPANS) -> Tree:
    """Read the spans under a root, level by level."""
    nodes: list[Node] = [root]
    children: dict[str, list[Node]] = {}
    seen = {root.ref}
    # Children that are none any more are read too.
    num_left = 2 * max_spans
    for node in nodes:
        for number in range(node.num_children):
            num_left -= 1
            if len(nodes) >= max_spans or num_left < 0:
                return Tree(root, nodes, children, True)
            child = ws.child(node, number)
            if child is None or child.ref in seen or child.parent_ref != node.ref:
                continue
            if not child.is_span or child.trace_id != root.trace_id:
                continue
            seen.add(child.ref)
            nodes.append(child)
            children.setdefault(node.ref, []).append(child)
    return Tree(root, nodes, children, False)


def subtree(tree: Tree, node: Node) -> Iterator[Node]:
    """Go through a node and all below it."""
    waiting = [node]
    while waiting:
        current = waiting.pop()
        yield current
        waiting += tree.children.get(current.ref, ())
