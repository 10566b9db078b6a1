"""`outline`: the steps of a conversation in the order in which people read them.

Chainlit keeps a tree: a run below the message that it answers, tools and answers below the run.
Only what makes the tree is looked at, so a conversation of 100,000 steps can be put in order
without holding its texts.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import NamedTuple

MESSAGES = frozenset({"user_message", "assistant_message", "system_message"})
"""Types of steps that somebody says."""
ANSWER = "assistant_message"

# Chainlit's names for what calls the application.
_WRAPPERS = frozenset({"on_chat_start", "on_message", "on_audio_end"})


class Node(NamedTuple):
    """What makes the tree.

    Args:
        id: Of the step.
        parent: The id of the step that it lies in.
        type: As Chainlit names it.
        empty: Whether it is a run that only wraps others, and has nothing to show.
        failed: Whether it tells of an error.
        weight: How many characters of text it has.
    """

    id: str
    parent: str | None
    type: str
    empty: bool
    failed: bool = False
    weight: int = 0


class Place(NamedTuple):
    """Where a step is shown.

    Args:
        id: Of the step.
        depth: How many steps it is shown in; messages are in none.
        in_tool: Whether one of them is a tool.
        judged: Ids whose feedback is shown with it: its own, and those of the runs that end with
            it, for Chainlit's page gives the feedback for an answer to the run.
    """

    id: str
    depth: int
    in_tool: bool
    judged: tuple[str, ...]


def is_wrapper(type_: str, name: str, output: str | None) -> bool:
    """Whether a step is a run that Chainlit makes around the application's functions.

    Example:
        >>> is_wrapper("run", "on_message", "")
        True
    """
    return type_ == "run" and name in _WRAPPERS and not output


def outline(nodes: Sequence[Node], judged: Container[str] = ()) -> list[Place]:
    """Put steps in order: children after their parent, else as given.

    Args:
        nodes: All steps of a conversation by time.
        judged: Ids of those that have a feedback.

    Returns:
        Those that are shown. What lies in itself, or in a step that is not there, is shown as
        if it lay in none.

    Example:
        >>> [p.id for p in outline([Node("b", "a", "tool", False), Node("a", None, "run", False)])]
        ['a', 'b']
    """
    last: dict[str, str] = {}
    """The last answer of each run; an error only where there is no other."""
    walked = list(_walk(nodes))
    for node, _, _, run in walked:
        if node.type == ANSWER and run is not None and not (node.failed and run in last):
            last[run] = node.id
    ends: dict[str, list[str]] = {}
    for run, answer in last.items():
        if run in judged:
            ends.setdefault(answer, []).append(run)
    places = []
    for node, depth, in_tool, _ in walked:
        if node.empty and (node.id not in judged or node.id in last):
            continue
        own = () if node.id in last else (node.id,)
        shown = 0 if node.type in MESSAGES else depth
        places.append(Place(node.id, shown, in_tool, (*own, *ends.get(node.id, ()))))
    return places


_Walked = tuple[Node, int, bool, str | None]


def _walk(nodes: Sequence[Node]) -> Iterator[_Walked]:
    """Each node with its depth, whether it is in a tool, and the run it is in."""
    children: dict[str, list[Node]] = {}
    known = {node.id for node in nodes}
    roots = []
    for node in nodes:
        if node.parent and node.parent in known and node.parent != node.id:
            children.setdefault(node.parent, []).append(node)
        else:
            roots.append(node)
    seen: set[str] = set()
    for start in (*roots, *nodes):  # After the roots: what lies in itself over others.
        stack: list[_Walked] = [(start, 0, False, None)]
        while stack:
            node, depth, in_tool, run = item = stack.pop()
            if node.id in seen:
                continue
            seen.add(node.id)
            yield item
            inner = depth if node.empty or node.type in MESSAGES else depth + 1
            below = in_tool or node.type == "tool"
            of_run = node.id if node.type == "run" else run
            stack += [(c, inner, below, of_run) for c in reversed(children.get(node.id, ()))]
