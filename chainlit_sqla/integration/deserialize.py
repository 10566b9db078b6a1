"""From Chainlit's dicts to our operations: pure, no I/O, no Chainlit.

The rules, on all databases alike:

- A key with a column goes into it, in the column's type. A key without one goes into the
  JSON document ``extra`` and comes back from there, so a new Chainlit release loses nothing.
- A value that does not fit its column: text columns take other values as their JSON;
  flags take "true"/"false" in any form; an instant or a page number that cannot be read
  is kept in ``extra`` and the column stays empty (``createdAt``: the time of writing).
- Text and JSON are made storable as `chainlit_sqla._internal.json` says.
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from .._internal import json as _json
from .._internal.timestamps import next_ordinal, now, parse_instant
from ..errors import RejectedRow
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

STEP_KINDS: Mapping[str, str] = {
    "name": _TEXT,
    "type": _TEXT,
    "parentId": _TEXT,
    "command": _TEXT,
    "modes": _JSON,
    "streaming": _FLAG,
    "waitForAnswer": _FLAG,
    "isError": _FLAG,
    "metadata": _JSON,
    "tags": _JSON,
    "input": _TEXT,
    "output": _TEXT,
    "createdAt": _INSTANT,
    "start": _INSTANT,
    "end": _INSTANT,
    "generation": _JSON,
    "showInput": _JSON,
    "defaultOpen": _FLAG,
    "autoCollapse": _FLAG,
    "language": _TEXT,
}
"""The columns of a step by the kind of their values."""

ELEMENT_KINDS: Mapping[str, str] = {
    "type": _TEXT,
    "chainlitKey": _TEXT,
    "url": _TEXT,
    "objectKey": _TEXT,
    "name": _TEXT,
    "display": _TEXT,
    "size": _TEXT,
    "language": _TEXT,
    "page": _INTEGER,
    "props": _JSON,
    "autoPlay": _FLAG,
    "playerConfig": _JSON,
    "forId": _TEXT,
    "mime": _TEXT,
}
"""The same for elements."""

_REQUIRED = {"name", "type", "streaming", "metadata", "createdAt"}
"""Columns that are never empty: None for them says nothing and changes nothing."""
_KEYS_OF_STEP = {"id", "threadId", "feedback"}
_KEYS_OF_ELEMENT = {"id", "threadId", "objectKey"}
"""What is given, but not as a value of a column or a member of ``extra``."""
_FALSE = {"false", "0", "no", "off", "none", ""}


def step_operation(step: Mapping[str, Any], *, new: bool, actor: str | None = None) -> SaveStep:
    """Read what Chainlit sends to create or update a step.

    Args:
        step: A StepDict of any release, complete or not; ``feedback`` is not read.
        new: Whether it is being created: a new message is activity in its thread.
        actor: See `SaveThread`.

    Raises:
        RejectedRow: An id is missing, or a value cannot be stored.

    Example:
        >>> step_operation({"id": "s", "threadId": "t", "output": ""}, new=False).values
        {'output': ''}
    """
    id, thread_id = _id(step.get("id"), "step"), _id(step.get("threadId"), "step's thread")
    values, extra = _columns(step, STEP_KINDS, lambda: _label("step", id, thread_id), _KEYS_OF_STEP)
    activity = None
    if "message" in str(step.get("type")):
        created = values.get("createdAt")
        if new:
            activity = min(created or now(), now())
        elif created and created <= now():
            activity = created  # It may be the first that arrives: then it is a new message.
    return SaveStep(thread_id, id, values, extra, activity, actor)


def element_operation(
    element: Mapping[str, Any],
    *,
    object_key: str | None,
    byte_size: int | None,
    actor: str | None = None,
    ordinal: int | None = None,
) -> SaveElement:
    """Read what Chainlit sends to create an element.

    Args:
        element: An ElementDict of any release.
        object_key: Where its bytes were stored; None for one that lives elsewhere.
        byte_size: The number of those bytes.
        actor: See `SaveThread`.
        ordinal: Its place among the elements, from before its upload; None: now.

    Raises:
        RejectedRow: An id is missing, or a value cannot be stored.
    """
    id = _id(element.get("id"), "element")
    thread_id = _id(element.get("threadId"), "element's thread")
    given = dict(element)
    if object_key is not None:
        given["url"] = None  # A fresh one is signed at each reading.
    values, extra = _columns(
        given, ELEMENT_KINDS, lambda: _label("element", id, thread_id), _KEYS_OF_ELEMENT
    )
    values |= {"objectKey": object_key, "byteSize": byte_size}
    place = next_ordinal() if ordinal is None else ordinal
    return SaveElement(thread_id, id, values, extra, actor, ordinal=place)


def thread_operation(
    thread_id: str,
    name: str | None = None,
    user_id: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    tags: Sequence[str] | None = None,
    actor: str | None = None,
) -> SaveThread:
    """Read the arguments of ``update_thread``; None changes nothing.

    Args:
        thread_id: The thread.
        name: The new title.
        user_id: The id of its owner.
        metadata: Members to set; those that are None are removed.
        tags: All tags.
        actor: See `SaveThread`.

    Raises:
        RejectedRow: The id is missing, or a value cannot be stored.
    """
    thread_id = _id(thread_id, "thread")
    what = functools.partial(_label, "thread", thread_id)
    given = {"name": name, "userId": user_id, "tags": tags}
    kinds = {"name": _TEXT, "userId": _TEXT, "tags": _JSON}
    values, _ = _columns({k: v for k, v in given.items() if v is not None}, kinds, what)
    return SaveThread(thread_id, values, _document(metadata or {}, what), actor)


def user_operation(
    identifier: str, metadata: Mapping[str, Any], display_name: str | None
) -> SaveUser:
    """Read what Chainlit sends when somebody logs in; a known user keeps the id.

    Args:
        identifier: The name under which the user logs in.
        metadata: Replaces what was stored.
        display_name: Replaces what was stored unless None.

    Raises:
        RejectedRow: The identifier is empty, or a value cannot be stored.
    """
    identifier = _id(identifier, "user's identifier")
    what = functools.partial(_label, "user", identifier)
    values: Dict = {"id": str(uuid.uuid4()), "metadata": _serialized(metadata or {}, what)}
    if display_name is not None:
        values["displayName"] = _text(display_name, what)
    return SaveUser(identifier, values)


def feedback_operation(
    thread_id: str,
    for_id: str,
    id: str | None,
    value: int,
    comment: str | None,
    actor: str | None = None,
) -> SaveFeedback:
    """Read a feedback; without an id it is given one.

    Args:
        thread_id: The thread of the step.
        for_id: The step.
        id: The id of the feedback, if the client knows it.
        value: 0 or 1.
        comment: What the user says.
        actor: See `SaveThread`.

    Raises:
        RejectedRow: The step's id is missing, or the value is neither 0 nor 1.
    """
    for_id = _id(for_id, "feedback's step")
    what = functools.partial(_label, "feedback for step", for_id)
    if value not in (0, 1):
        raise RejectedRow(
            f"Feedback {value!r} for step {printable_id(for_id)} is refused; send 0 or 1"
        )
    return SaveFeedback(
        _id(thread_id, "feedback's thread"),
        for_id,
        _json.clean_text(id) if id else str(uuid.uuid4()),
        int(value),
        None if comment is None else _text(comment, what),
        actor,
    )


# Values


def _columns(
    given: Mapping[str, Any],
    kinds: Mapping[str, str],
    what: Callable[[], str],
    keys: Collection[str] = (),
) -> tuple[Dict, Dict]:
    """Split into values of columns and members of ``extra``, without the keys."""
    values: Dict = {}
    extra: Dict = {}
    for name, value in given.items():
        if name in keys:
            continue
        kind = kinds.get(name)
        if kind is None:
            extra[str(name)] = value
        elif value is None:
            if name not in _REQUIRED:
                values[name] = None
        elif (fitting := fit(kind, value, what)) is not None:
            values[name] = fitting
        else:
            extra[name] = value
            if name not in _REQUIRED:
                values[name] = None
    return values, _document(extra, what) if extra else {}


def fit(kind: str, value: Any, what: Callable[[], str] = lambda: "a value") -> Any:
    """The value as a column of this kind takes it, None where it cannot.

    Args:
        kind: One of those in `STEP_KINDS`.
        value: Anything.
        what: Names the row, for an error.

    Raises:
        RejectedRow: It cannot be written as JSON.
    """
    if kind == _TEXT:
        return _text(value, what)
    if kind == _FLAG:
        return value.strip().lower() not in _FALSE if isinstance(value, str) else bool(value)
    if kind == _JSON:
        document = _serialized(value, what)
        return None if document == "null" else document  # NaN is nothing.
    if kind == _INSTANT:
        return parse_instant(value)
    try:
        number = int(value)
    except (ValueError, TypeError, OverflowError):
        return None
    return number if number == value and abs(number) < 2**31 else None


def _text(value: Any, what: Callable[[], str]) -> str:
    return _json.clean_text(value) if isinstance(value, str) else str(_serialized(value, what))


def _serialized(value: Any, what: Callable[[], str]) -> _json.JsonText:
    try:
        return _json.dumps(value)
    except (ValueError, TypeError, RecursionError) as error:
        raise RejectedRow(f"{what()} is refused: {error}") from error


def _document(value: Mapping[str, Any], what: Callable[[], str]) -> Dict:
    """The members as they will be read back."""
    document: Dict = _json.loads(_serialized(value, what)) if value else {}
    return document


def _label(kind: str, id: str, thread_id: str | None = None) -> str:
    """A row for people; made only where it is told."""
    place = f" of thread {printable_id(thread_id)}" if thread_id is not None else ""
    return f"{kind} {printable_id(id)}{place}"


def _id(value: Any, what: str) -> str:
    if isinstance(value, uuid.UUID):
        value = str(value)
    if not isinstance(value, str) or not value:
        raise RejectedRow(f"The {what} has no id ({value!r}); give it a text that is not empty")
    return _json.clean_text(value)
