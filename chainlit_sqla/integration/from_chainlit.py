"""Deserializes Chainlit's dicts into write operations, without I/O.

The rules are the same on all databases:

- A key that has a column is stored there, converted to the column's type. Other keys are
  stored in the JSON document ``extra`` and returned from it, so that keys of a new Chainlit
  release are not lost.
- None means that a value is not known, and changes nothing: Chainlit's objects forget some when
  they are rebuilt from the database, and a step's creation may come after an update of it.
- A value that does not match its column: text columns store the JSON of other types; flags
  accept "true" and "false" in any case; a timestamp or page number that cannot be parsed is
  kept in ``extra``, and its column is NULL (``createdAt``: the time of the write).
- `chainlit_sqla._internal.json` replaces what databases cannot store in text and JSON.

A missing id or a value that cannot be stored raises `RejectedRow`, in the caller's task. For
``actor`` see `chainlit_sqla.writes.operations.SaveThread`.
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Boolean, Integer, Table

from .._internal import json as _json
from .._internal.timestamps import next_ordinal, now, parse_instant
from ..dialects.column_types import JsonDocument, UtcDateTime
from ..errors import RejectedRow
from ..models import elements, steps
from ..writes.operations import (
    SaveElement,
    SaveFeedback,
    SaveStep,
    SaveThread,
    SaveUser,
    printable_id,
)

Dict = dict[str, Any]

_TEXT, _FLAG, _JSON, _INSTANT, _INTEGER = "text", "flag", "json", "instant", "integer"

_COLUMN_KINDS: Mapping[type, str] = {
    Boolean: _FLAG,
    JsonDocument: _JSON,
    UtcDateTime: _INSTANT,
    Integer: _INTEGER,
}


def _kinds(table: Table, excluded: Collection[str]) -> Mapping[str, str]:
    """Return the columns that hold a value of Chainlit's dict, with the kind of their values."""
    return {
        column.name: _COLUMN_KINDS.get(type(column.type), _TEXT)
        for column in table.columns
        if column.name not in excluded
    }


STEP_KINDS = _kinds(steps, ("threadId", "id", "extra", "ordinal"))
ELEMENT_KINDS = _kinds(elements, ("threadId", "id", "byteSize", "extra", "createdAt", "ordinal"))
"""The columns of steps and of elements, with the kind of their values."""
_REQUIRED = {
    column.name for table in (steps, elements) for column in table.columns if not column.nullable
}
"""Columns that are never NULL: a value that does not match them leaves them unchanged."""
_HANDLED_STEP_KEYS = {"id", "threadId", "feedback"}
_HANDLED_ELEMENT_KEYS = {"id", "threadId", "objectKey"}
"""Keys that are neither values of a column nor members of ``extra``."""
_FALSE = {"false", "0", "no", "off", "none", ""}


def step_operation(step: Mapping[str, Any], *, new: bool, actor: str | None = None) -> SaveStep:
    """Return the operation that creates or updates a step, of a StepDict of any release.

    A new message is activity in its thread. ``feedback`` is ignored.
    """
    id, thread_id = _id(step.get("id"), "step"), _id(step.get("threadId"), "step's thread")
    label = functools.partial(_label, "step", id, thread_id)
    values, extra = _columns(step, STEP_KINDS, label, _HANDLED_STEP_KEYS)
    activity, present = None, now()
    if "message" in str(step.get("type")):
        created = values.get("createdAt")
        if new:
            activity = created if created and created < present else present
        elif created and created <= present:
            activity = created  # The update of a new message may arrive before its create.
    return SaveStep(thread_id, id, values, extra, activity, actor, present)


def element_operation(
    element: Mapping[str, Any],
    *,
    object_key: str | None,
    byte_size: int | None,
    actor: str | None = None,
    ordinal: int | None = None,
) -> SaveElement:
    """Return the operation that creates an element, of an ElementDict of any release.

    ``object_key`` is that of new bytes; None keeps those that are stored, unless the element is a
    link. ``ordinal`` is the position that was assigned before the upload.
    """
    id = _id(element.get("id"), "element")
    thread_id = _id(element.get("threadId"), "element's thread")
    label = functools.partial(_label, "element", id, thread_id)
    values, extra = _columns(element, ELEMENT_KINDS, label, _HANDLED_ELEMENT_KEYS)
    if object_key is not None:  # Each read signs a fresh URL.
        values |= {"url": None, "objectKey": object_key, "byteSize": byte_size}
    elif "url" in values:
        values |= {"objectKey": None, "byteSize": None}
    if ordinal is None:
        ordinal = next_ordinal()
    return SaveElement(thread_id, id, values, extra, actor, ordinal=ordinal)


def thread_operation(
    thread_id: str,
    name: str | None = None,
    user_id: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    tags: Sequence[str] | None = None,
    actor: str | None = None,
) -> SaveThread:
    """Return the operation for the arguments of ``update_thread``; None changes nothing.

    Members of ``metadata`` are set, or removed where they are None; ``tags`` are replaced.
    """
    thread_id = _id(thread_id, "thread")
    label = functools.partial(_label, "thread", thread_id)
    columns = {"name": name, "userId": user_id, "tags": tags}
    kinds = {"name": _TEXT, "userId": _TEXT, "tags": _JSON}
    changes = {column: value for column, value in columns.items() if value is not None}
    values, _ = _columns(changes, kinds, label)
    return SaveThread(thread_id, values, _document(metadata or {}, label), actor)


def user_operation(
    identifier: str, metadata: Mapping[str, Any], display_name: str | None
) -> SaveUser:
    """Return the operation for a login: an existing user keeps its id and gets new metadata."""
    identifier = _id(identifier, "user's identifier")
    label = functools.partial(_label, "user", identifier)
    values: Dict = {"id": str(uuid.uuid4()), "metadata": _to_json(metadata or {}, label)}
    if display_name is not None:
        values["displayName"] = _to_text(display_name, label)
    return SaveUser(identifier, values)


def feedback_operation(
    thread_id: str,
    for_id: str,
    id: str | None,
    value: int,
    comment: str | None,
    actor: str | None = None,
) -> SaveFeedback:
    """Return the operation that sets the feedback of a step."""
    for_id = _id(for_id, "feedback's step")
    label = functools.partial(_label, "feedback for step", for_id)
    if value not in (0, 1):
        raise RejectedRow(
            f"Feedback for step {printable_id(for_id)} has the value {value!r}; send 0 or 1"
        )
    return SaveFeedback(
        _id(thread_id, "feedback's thread"),
        for_id,
        _json.clean_text(id) if id else str(uuid.uuid4()),
        int(value),
        None if comment is None else _to_text(comment, label),
        actor,
    )


# Values


def _columns(
    row: Mapping[str, Any],
    kinds: Mapping[str, str],
    label: Callable[[], str],
    skip: Collection[str] = (),
) -> tuple[Dict, Dict]:
    """Split a dict into values of columns and members of ``extra``."""
    values: Dict = {}
    extra: Dict = {}
    for name, value in row.items():
        if value is None or name in skip:
            continue
        kind = kinds.get(name)
        if kind is None:
            extra[str(name)] = value
        elif type(value) is str and kind == _TEXT:  # Most are.
            is_clean = value.isascii() and "\0" not in value
            values[name] = value if is_clean else _json.clean_text(value)
        elif type(value) is bool and kind == _FLAG:
            values[name] = value
        elif (column_value := fit(kind, value, label)) is not None:
            values[name] = column_value
        else:
            extra[name] = value
            if name not in _REQUIRED:
                values[name] = None
    return values, _document(extra, label) if extra else {}


def fit(kind: str, value: Any, label: Callable[[], str] = lambda: "A value") -> Any:
    """Convert a value to one of the kinds in `STEP_KINDS`, None if that is impossible.

    ``label`` returns the name of the row, for the error of a value that JSON cannot represent.
    """
    if kind == _TEXT:
        return _to_text(value, label)
    if kind == _FLAG:
        return value.strip().lower() not in _FALSE if isinstance(value, str) else bool(value)
    if kind == _JSON:
        document = _to_json(value, label)
        return None if document == "null" else document  # NaN, for instance.
    if kind == _INSTANT:
        return parse_instant(value)
    try:
        number = int(value)
    except (ValueError, TypeError, OverflowError):
        return None
    return number if number == value and abs(number) < 2**31 else None


def _to_text(value: Any, label: Callable[[], str]) -> str:
    return _json.clean_text(value) if isinstance(value, str) else str(_to_json(value, label))


def _to_json(value: Any, label: Callable[[], str]) -> _json.JsonText:
    try:
        return _json.dumps(value)
    except (ValueError, TypeError, RecursionError) as error:
        raise RejectedRow(f"{label()} cannot be stored: {error}") from error


def _document(value: Mapping[str, Any], label: Callable[[], str]) -> Dict:
    """Return a document with the values that a later read returns."""
    document: Dict = _json.loads(_to_json(value, label)) if value else {}
    return document


def _label(kind: str, id: str, thread_id: str | None = None) -> str:
    """Name a row in a message; called only for an error."""
    of_thread = f" of thread {printable_id(thread_id)}" if thread_id is not None else ""
    return f"{kind} {printable_id(id)}{of_thread}"


def _id(value: Any, owner: str) -> str:
    if type(value) is str and value:  # Most are.
        return _json.clean_text(value)
    if isinstance(value, uuid.UUID):
        value = str(value)
    if not isinstance(value, str) or not value:
        raise RejectedRow(f"The {owner} has no id ({value!r}); pass a non-empty string")
    return _json.clean_text(value)
