"""Serializes rows into Chainlit's dicts, without I/O.

A thread may have thousands of steps, which are serialized together. So rows are tuples that
are unpacked in one statement, and each dict is one expression. The columns stand in the
order of `queries.steps.COLUMNS` and its counterparts.

Another program may have written a value that cannot be read. Its row is shown without that value,
since one row must not hide a conversation or a list, and is logged once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Container, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

from .._internal.json import dumps, loads_lenient
from .._internal.timestamps import EPOCH, format_instant, parse_instant
from ..dialects import Dialect, Rows
from ..queries.user_cache import KnownUser
from ..writes.operations import printable_id

log = logging.getLogger(__name__)

Dict = dict[str, Any]

_INSTANTS = ("createdAt", "start", "end")
"""Members of ``extra`` that could not be parsed as timestamps; they are not returned."""
_STEPS_PER_TURN = 500
"""Steps serialized in one turn of the event loop: some milliseconds."""

_MOST_REPORTED = 1_000
_reported: set[str] = set()
"""Rows that were logged, up to a limit."""


class LenientReader:
    """Reads what can be read of the values of one row, and logs the row once."""

    def __init__(self, dialect: Dialect, row: str) -> None:
        self._dialect = dialect
        self._row = row

    def format_timestamp(self, value: Any) -> str | None:
        """Format a timestamp in any form, None if it is none."""
        try:
            return self._dialect.format_timestamp(value)
        except (ValueError, TypeError):
            self._report("timestamp")
            return format_instant(parse_instant(value))

    def load_json(self, value: Any) -> Any:
        """Parse what can be parsed of a document, None if that is nothing."""
        try:
            return self._dialect.load_json(value)
        except (ValueError, TypeError):
            self._report("JSON document")
            text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
            document = loads_lenient(text) if isinstance(text, str) else None
            return None if document is text else document

    def _report(self, kind: str) -> None:
        if self._row not in _reported and len(_reported) < _MOST_REPORTED:
            _reported.add(self._row)
            log.warning(
                "Not shown completely: %s has a %s that cannot be read; correct its row",
                self._row,
                kind,
            )


def lenient(dialect: Dialect, kind: str, id: str, thread_id: str | None = None) -> LenientReader:
    """Return a reader for the values of a row, which is named in the log."""
    of_thread = f" of thread {printable_id(thread_id)}" if thread_id is not None else ""
    return LenientReader(dialect, f"{kind} {printable_id(id)}{of_thread}")


_Reader: TypeAlias = Dialect | LenientReader


def known_user(row: Sequence[Any], dialect: Dialect) -> KnownUser:
    """Read a row of `queries.user_cache.by_identifier`."""
    id, identifier, display_name, metadata, created_at = row
    reader = lenient(dialect, "user", identifier)
    document = dumps(reader.load_json(metadata))
    created = reader.format_timestamp(created_at) or format_instant(EPOCH) or ""
    return KnownUser(id, identifier, display_name, document, created)


class _Flags(dict[Any, bool | None]):
    """Maps database values to flags: SQLite returns numbers."""

    def __missing__(self, value: Any) -> bool:
        return bool(value)


_flags = _Flags({None: None, False: False, True: True})


async def step_dicts(rows: Rows, dialect: Dialect, thread_id: str | None = None) -> list[Dict]:
    """Serialize rows of `queries.steps` into StepDicts, with other tasks between portions.

    ``thread_id`` is the thread of all steps; None to use the first column.
    """
    dicts: list[Dict] = []
    for start in range(0, len(rows), _STEPS_PER_TURN):
        if start:
            await asyncio.sleep(0)
        dicts += _lenient_step_dicts(rows[start : start + _STEPS_PER_TURN], dialect, thread_id)
    return dicts


def _lenient_step_dicts(rows: Rows, dialect: Dialect, thread_id: str | None) -> list[Dict]:
    try:
        return _step_dicts(rows, dialect, thread_id)
    except (ValueError, TypeError):
        readers = [lenient(dialect, "step", row[1], thread_id or row[0]) for row in rows]
        pairs = zip(rows, readers, strict=True)
        return [_step_dicts([row], reader, thread_id)[0] for row, reader in pairs]


def _step_dicts(rows: Rows, reader: _Reader, thread_id: str | None) -> list[Dict]:
    instant, document, flag = reader.format_timestamp, reader.load_json, _flags
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
    try:
        return _element_dicts(rows, dialect, urls)
    except (ValueError, TypeError):
        readers = [lenient(dialect, "element", row[1], row[0]) for row in rows]
        parts = zip(rows, readers, urls, strict=True)
        return [_element_dicts([row], reader, [url])[0] for row, reader, url in parts]


def _element_dicts(rows: Rows, reader: _Reader, urls: Sequence[str | None]) -> list[Dict]:
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
            "props": reader.load_json(props),
            "autoPlay": _flags[auto_play],
            "playerConfig": reader.load_json(player_config),
            "forId": for_id,
            "mime": mime,
        }
        if extra is not None:
            _add_extra(element, reader.load_json(extra), ())
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
    try:
        return _thread_dict(row, dialect, steps, elements)
    except (ValueError, TypeError):
        return _thread_dict(row, lenient(dialect, "thread", row[0]), steps, elements)


def _thread_dict(
    row: Sequence[Any], reader: _Reader, steps: list[Dict] | None, elements: list[Dict] | None
) -> Dict:
    id, created_at, updated_at, name, user_id, user_identifier, tags, metadata = row
    times = (updated_at, created_at) if steps is None else (created_at, updated_at)
    document = reader.load_json(metadata)
    return {
        "id": id,
        "createdAt": next(filter(None, map(reader.format_timestamp, times)), format_instant(EPOCH)),
        "name": name,
        "userId": user_id,
        "userIdentifier": user_identifier,
        "tags": reader.load_json(tags),
        "metadata": document if isinstance(document, dict) else {},  # Chainlit requires a dict.
        "steps": parents_first(steps) if steps else [],
        "elements": elements or [],
    }


def last_activity(rows: Rows, dialect: Dialect) -> tuple[datetime, str]:
    """Return the position in the thread list of the last of some rows whose time can be read.

    Rows after it are on the next page, too. Where none can be read, databases with such times sort
    them as texts, before or after all times.
    """
    for row in reversed(rows):
        try:
            if at := parse_instant(dialect.format_timestamp(row[2])):
                return at, row[0]
        except (ValueError, TypeError):
            pass
    extreme = datetime.max if str(rows[-1][2]) > "9" else datetime.min
    return extreme.replace(tzinfo=UTC), rows[-1][0]


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
