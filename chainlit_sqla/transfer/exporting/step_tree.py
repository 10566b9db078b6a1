"""Puts the steps of a conversation in display order.

Chainlit stores a tree: a run below the message that it answers, tools and answers below the run.
Only ids and parents are needed, so a long conversation is ordered without its texts.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import NamedTuple

MESSAGE_TYPES = frozenset({"user_message", "assistant_message", "system_message"})
_ANSWER = "assistant_message"

# The runs that Chainlit wraps around the application's functions.
_WRAPPERS = frozenset({"on_chat_start", "on_message", "on_audio_end"})


class StepNode(NamedTuple):
    """What the order of a step depends on.

    Args:
        id: The step's id.
        parent_id: The id of the step that it lies in.
        type: Chainlit's type of the step.
        is_wrapper: Whether it is a run that only wraps others and has no output.
        is_error: Whether it reports an error.
        characters: The length of its texts.
    """

    id: str
    parent_id: str | None
    type: str
    is_wrapper: bool
    is_error: bool = False
    characters: int = 0


class StepPosition(NamedTuple):
    """Where a step is shown.

    Args:
        id: The step's id.
        depth: The number of steps that it is shown inside of; 0 for messages.
        in_tool: Whether one of these is a tool.
        feedback_ids: The ids whose feedback is shown with the step: its own, and those of the
            runs that end with it, since Chainlit stores feedback for an answer at its run.
    """

    id: str
    depth: int
    in_tool: bool
    feedback_ids: tuple[str, ...]


def is_wrapper(type_: str, name: str, output: str | None) -> bool:
    """Whether a step is a run that Chainlit wraps around the application's functions.

    Example:
        >>> is_wrapper("run", "on_message", "")
        True
    """
    return type_ == "run" and name in _WRAPPERS and not output


def order_steps(nodes: Sequence[StepNode], rated: Container[str] = ()) -> list[StepPosition]:
    """Put steps in display order: children after their parent, else in the given order.

    Args:
        nodes: All steps of a conversation by time.
        rated: The ids of steps with feedback.

    Returns:
        The steps that are shown. A step inside itself or inside a step that does not exist is
        shown at the top level.

    Example:
        >>> run, tool = StepNode("a", None, "run", False), StepNode("b", "a", "tool", False)
        >>> [position.id for position in order_steps([tool, run])]
        ['a', 'b']
    """
    walked = list(_walk(nodes))
    last_answers: dict[str, str] = {}
    for node, _, _, run_id in walked:
        if node.type == _ANSWER and run_id is not None:
            if node.is_error and run_id in last_answers:
                continue  # An error ends a run only where it has no other answer.
            last_answers[run_id] = node.id
    rated_runs: dict[str, list[str]] = {}
    for run_id, answer_id in last_answers.items():
        if run_id in rated:
            rated_runs.setdefault(answer_id, []).append(run_id)
    positions = []
    for node, depth, in_tool, _ in walked:
        is_answered_run = node.id in last_answers
        if node.is_wrapper and (is_answered_run or node.id not in rated):
            continue
        own = () if is_answered_run else (node.id,)
        shown_depth = 0 if node.type in MESSAGE_TYPES else depth
        feedback_ids = (*own, *rated_runs.get(node.id, ()))
        positions.append(StepPosition(node.id, shown_depth, in_tool, feedback_ids))
    return positions


_Visit = tuple[StepNode, int, bool, str | None]


def _walk(nodes: Sequence[StepNode]) -> Iterator[_Visit]:
    """Yield each node with its depth, whether it is inside a tool, and its innermost run."""
    children: dict[str, list[StepNode]] = {}
    ids = {node.id for node in nodes}
    roots = []
    for node in nodes:
        if node.parent_id and node.parent_id in ids and node.parent_id != node.id:
            children.setdefault(node.parent_id, []).append(node)
        else:
            roots.append(node)
    visited: set[str] = set()
    for start in (*roots, *nodes):  # The nodes after the roots: cycles are reached from no root.
        stack: list[_Visit] = [(start, 0, False, None)]
        while stack:
            node, depth, in_tool, run_id = visit = stack.pop()
            if node.id in visited:
                continue
            visited.add(node.id)
            yield visit
            inner_depth = depth if node.is_wrapper or node.type in MESSAGE_TYPES else depth + 1
            inside_tool = in_tool or node.type == "tool"
            inner_run = node.id if node.type == "run" else run_id
            stack += [
                (child, inner_depth, inside_tool, inner_run)
                for child in reversed(children.get(node.id, ()))
            ]
