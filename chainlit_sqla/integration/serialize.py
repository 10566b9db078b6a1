"""From rows to Chainlit's dicts: pure, no I/O, no Chainlit.

A thread may have thousands of steps, and all of them are made in one go: so rows are
tuples that are taken apart in one line, and each dict is written out in one expression.
The order of the columns is `queries.steps.COLUMNS` and its sisters.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import Any

from ..dialects import Dialect, Rows

Dict = dict[str, Any]

_UNREAD = ("createdAt", "start", "end")
"""What could not be read as an instant stays in ``extra``: a date must be one."""


class _Flags(dict[Any, bool | None]):
    """What a database gives for a flag, as a flag: SQLite gives numbers."""

    def __missing__(self, value: Any) -> bool:
        return bool(value)


_flags = _Flags({None: None, False: False, True: True})


def step_dicts(rows: Rows, dialect: Dialect, thread_id: str | None = None) -> list[Dict]:
    """Make Chainlit's StepDicts.

    Args:
        rows: Rows of `queries.steps`.
        dialect: The dialect that they were read with.
        thread_id: The thread of all of them; None: the first column says it.
    """
    instant, document, flag = dialect.format_timestamp, dialect.load_json, _flags
    found = []
    for row in rows:
        (
            place, id, name, type_, parent_id, command, modes, streaming, wait_for_answer,
            is_error, metadata, tags, input_, output, created_at, start, end, generation,
            show_input, default_open, auto_collapse, language, extra,
            feedback_id, feedback_value, feedback_comment,
        ) = row  # fmt: skip
        step = {
            "id": id,
            "threadId": thread_id or place,
            "icon": None,
            "name": name,
            "type": type_,
            "parentId": parent_id,
            "command": command,
            "modes": None if modes is None else document(modes),
            "streaming": flag[streaming],
            "waitForAnswer": flag[wait_for_answer],
            "isError": flag[is_error],
            "metadata": document(metadata),
            "tags": None if tags is None else document(tags),
            "input": input_ or "",
            "output": output or "",
            "createdAt": instant(created_at),
            "start": None if start is None else instant(start),
            "end": None if end is None else instant(end),
            "generation": None if generation is None else document(generation),
            "showInput": None if show_input is None else document(show_input),
            "defaultOpen": flag[default_open],
            "autoCollapse": flag[auto_collapse],
            "language": language,
            "feedback": None
            if feedback_id is None
            else {
                "forId": id,
                "id": feedback_id,
                "value": feedback_value,
                "comment": feedback_comment,
            },
        }
        if extra is not None:
            _add_extra(step, document(extra), _UNREAD)
        found.append(step)
    return found


def element_dicts(rows: Rows, dialect: Dialect, urls: Sequence[str | None]) -> list[Dict]:
    """Make Chainlit's ElementDicts.

    Args:
        rows: Rows of `queries.elements`.
        dialect: The dialect that they were read with.
        urls: Where each element can be read now.
    """
    found = []
    for row, url in zip(rows, urls, strict=True):
        (
            thread_id, id, type_, chainlit_key, _, object_key, name, display, size, language,
            page, props, auto_play, player_config, for_id, mime, extra,
        ) = row  # fmt: skip
        element = {
            "id": id,
            "threadId": thread_id,
            "type": type_,
            "chainlitKey": chainlit_key,
            "url": url,
            "objectKey": object_key,
            "name": name,
            "display": display,
            "size": size,
            "language": language,
            "page": page,
            "props": dialect.load_json(props),
            "autoPlay": _flags[auto_play],
            "playerConfig": dialect.load_json(player_config),
            "forId": for_id,
            "mime": mime,
        }
        if extra is not None:
            _add_extra(element, dialect.load_json(extra), ())
        found.append(element)
    return found


def thread_dict(
    row: Sequence[Any],
    dialect: Dialect,
    steps: list[Dict] | None = None,
    elements: list[Dict] | None = None,
) -> Dict:
    """Make Chainlit's ThreadDict.

    Args:
        row: A row of `queries.threads`.
        dialect: The dialect that it was read with.
        steps: Its steps, by time; None: as the list shows it, without them, and with the
            last activity as ``createdAt``, because the frontend sorts and groups by it.
        elements: Its elements.
    """
    id, created_at, updated_at, name, user_id, user_identifier, tags, metadata = row
    described = dialect.load_json(metadata)
    return {
        "id": id,
        "createdAt": dialect.format_timestamp(updated_at if steps is None else created_at),
        "name": name,
        "userId": user_id,
        "userIdentifier": user_identifier,
        "tags": dialect.load_json(tags),
        "metadata": described if isinstance(described, dict) else {},  # Chainlit copies it.
        "steps": parents_first(steps) if steps else [],
        "elements": elements or [],
    }


def parents_first(steps: list[Dict]) -> list[Dict]:
    """Move parents before their children and leave the order alone otherwise.

    Args:
        steps: Steps by time.

    Example:
        >>> [s["id"] for s in parents_first([{"id": "b", "parentId": "a"}, {"id": "a"}])]
        ['a', 'b']
    """
    if _are_in_order(steps):
        return steps
    waiting = {step["id"]: step for step in steps}
    ordered: list[Dict] = []
    for step in steps:
        line: list[Dict] = []
        node: Dict | None = step
        while node is not None and waiting.pop(node["id"], None) is not None:
            line.append(node)
            node = waiting.get(node.get("parentId") or "")
        ordered.extend(reversed(line))
    return ordered


def _are_in_order(steps: Iterable[Dict]) -> bool:
    """Whether each parent that is there comes first, as it nearly always does."""
    seen: set[str] = set()
    absent: set[str] = set()
    for step in steps:
        parent = step.get("parentId")
        if parent and parent not in seen:
            absent.add(parent)
        seen.add(step["id"])
    return absent.isdisjoint(seen)


def _add_extra(known: Dict, extra: Any, unread: Container[str]) -> None:
    """Add the members of ``extra``; a column that has a value wins."""
    if not isinstance(extra, dict):
        return  # Not ours.
    for name, value in extra.items():
        if known.get(name) is None and name not in unread:
            known[name] = value
