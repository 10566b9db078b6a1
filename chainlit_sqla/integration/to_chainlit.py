"""Serializes rows into Chainlit's dicts, without I/O.

A thread may have thousands of steps, which are serialized together. So rows are tuples that
are unpacked in one statement, and each dict is one expression. The columns stand in the
order of `queries.steps.COLUMNS` and its counterparts.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import Any

from ..dialects import Dialect, Rows

Dict = dict[str, Any]

_INSTANTS = ("createdAt", "start", "end")
"""Members of ``extra`` that could not be parsed as timestamps; they are not returned."""


class _Flags(dict[Any, bool | None]):
    """Maps database values to flags: SQLite returns numbers."""

    def __missing__(self, value: Any) -> bool:
        return bool(value)


_flags = _Flags({None: None, False: False, True: True})


def step_dicts(rows: Rows, dialect: Dialect, thread_id: str | None = None) -> list[Dict]:
    """Serialize rows of `queries.steps` into StepDicts.

    ``thread_id`` is the thread of all steps; None to use the first column.
    """
    instant, document, flag = dialect.format_timestamp, dialect.load_json, _flags
    step_dicts = []
    for row in rows:
        (
            row_thread_id, id, name, type_, parent_id, command, modes, streaming, wait_for_answer,
            is_error, metadata, tags, input_, output, created_at, start, end, generation,
            show_input, default_open, auto_collapse, language, extra,
            feedback_id, feedback_value, feedback_comment,
        ) = row  # fmt: skip
        step = {
            "id": id,
            "threadId": thread_id or row_thread_id,
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
            _add_extra(step, document(extra), _INSTANTS)
        step_dicts.append(step)
    return step_dicts


def element_dicts(rows: Rows, dialect: Dialect, urls: Sequence[str | None]) -> list[Dict]:
    """Serialize rows of `queries.elements` into ElementDicts with their current URLs."""
    element_dicts = []
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
        element_dicts.append(element)
    return element_dicts


def thread_dict(
    row: Sequence[Any],
    dialect: Dialect,
    steps: list[Dict] | None = None,
    elements: list[Dict] | None = None,
) -> Dict:
    """Serialize a row of `queries.threads` into a ThreadDict.

    ``steps`` are sorted by time. None makes an entry of the thread list: without steps, and with
    the last activity as ``createdAt``, by which the frontend sorts and groups.
    """
    id, created_at, updated_at, name, user_id, user_identifier, tags, metadata = row
    document = dialect.load_json(metadata)
    return {
        "id": id,
        "createdAt": dialect.format_timestamp(updated_at if steps is None else created_at),
        "name": name,
        "userId": user_id,
        "userIdentifier": user_identifier,
        "tags": dialect.load_json(tags),
        "metadata": document if isinstance(document, dict) else {},  # Chainlit requires a dict.
        "steps": parents_first(steps) if steps else [],
        "elements": elements or [],
    }


def parents_first(steps: list[Dict]) -> list[Dict]:
    """Move parents before their children and keep the order by time otherwise."""
    if _are_in_order(steps):
        return steps
    remaining = {step["id"]: step for step in steps}
    ordered: list[Dict] = []
    for step in steps:
        branch: list[Dict] = []  # The step and its ancestors that are not ordered yet.
        node: Dict | None = step
        while node is not None and remaining.pop(node["id"], None) is not None:
            branch.append(node)
            node = remaining.get(node.get("parentId") or "")
        ordered.extend(reversed(branch))
    return ordered


def _are_in_order(steps: Iterable[Dict]) -> bool:
    """Return whether no child precedes its parent, as is nearly always the case."""
    seen: set[str] = set()
    missing: set[str] = set()
    for step in steps:
        parent_id = step.get("parentId")
        if parent_id and parent_id not in seen:
            missing.add(parent_id)
        seen.add(step["id"])
    return missing.isdisjoint(seen)


def _add_extra(target: Dict, extra: Any, skip: Container[str]) -> None:
    """Add the members of ``extra`` to a dict; columns with a value win."""
    if not isinstance(extra, dict):
        return  # Written by another program.
    for name, value in extra.items():
        if target.get(name) is None and name not in skip:
            target[name] = value
