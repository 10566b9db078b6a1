"""The operations of the write queue, as frozen values.

``values`` maps column names to values that need no further conversion. Texts are cleaned and JSON
is serialized beforehand, so that a value that cannot be stored fails in the caller's task.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from .._internal.timestamps import next_ordinal, now
from ..errors import RejectedRow, TooLarge

_LONGEST_ID = 100


def printable_id(id: Any) -> str:
    """Return an id for messages: clients choose ids, and a log entry is one line."""
    if not isinstance(id, str):
        return repr(id)
    return id if len(id) < _LONGEST_ID and id.isprintable() else repr(id[:_LONGEST_ID])


@dataclass(frozen=True, slots=True)
class SaveUser:
    """Create a user, or replace the metadata of the one with the same identifier."""

    identifier: str
    values: Mapping[str, Any]
    at: datetime = field(default_factory=now)
    thread_id: None = None


@dataclass(frozen=True, slots=True)
class SaveThread:
    """Change a thread, or create it.

    Args:
        values: New values of ``name``, ``userId``, ``tags``; others stay.
        metadata: Members to set; those that are None are removed, others stay.
        actor: The identifier of the user whose client chose the thread; another user's thread
            is refused, a new one is this user's from its first row on. None: trusted.
    """

    thread_id: str
    values: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    actor: str | None = None
    at: datetime = field(default_factory=now)

    @property
    def restores(self) -> bool:
        """Whether a deleted thread is restored: by a new owner, not by the end of a session."""
        return self.values.get("userId") is not None


@dataclass(frozen=True, slots=True)
class SaveStep:
    """Change a step, or create it and its thread; for ``actor`` see `SaveThread`.

    Values by column that are not given stay, as do members of the ``extra`` document.
    ``activity`` is the time of a new message, which moves its thread up in the list.
    """

    thread_id: str
    id: str
    values: Mapping[str, Any]
    extra: Mapping[str, Any] = field(default_factory=dict)
    activity: datetime | None = None
    actor: str | None = None
    at: datetime = field(default_factory=now)
    ordinal: int = field(default_factory=next_ordinal)


@dataclass(frozen=True, slots=True)
class SaveElement:
    """Change an element, or create it and its thread, as `SaveStep` does with steps."""

    thread_id: str
    id: str
    values: Mapping[str, Any]
    extra: Mapping[str, Any] = field(default_factory=dict)
    actor: str | None = None
    at: datetime = field(default_factory=now)
    ordinal: int = field(default_factory=next_ordinal)


@dataclass(frozen=True, slots=True)
class SaveFeedback:
    """Set the feedback of a step, replacing an earlier one; for ``actor`` see `SaveThread`."""

    thread_id: str
    for_id: str
    id: str
    value: int
    comment: str | None = None
    actor: str | None = None
    at: datetime = field(default_factory=now)


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a deletion by id may delete: everywhere if nothing is set, as for scripts.

    Args:
        thread_id: The thread of a browser's session, unless it is another user's.
        user: The identifier of the session's user, all of whose threads it reaches; None: the
            app has no login, and nobody's threads are another's.
    """

    thread_id: str | None = None
    user: str | None = None

    @property
    def everywhere(self) -> bool:
        """Whether there is no limit."""
        return self.thread_id is None and self.user is None


@dataclass(frozen=True, slots=True)
class DeleteThread:
    """Delete a thread and its contents.

    Elements that were sent before its ordinal stay deleted if the thread is restored. For
    ``actor`` see `SaveThread`.
    """

    thread_id: str
    ordinal: int = field(default_factory=next_ordinal)
    actor: str | None = None


@dataclass(frozen=True, slots=True)
class DeleteStep:
    """Delete a step, its descendants, their elements and feedback."""

    id: str
    scope: Scope = Scope()
    thread_id: None = None


@dataclass(frozen=True, slots=True)
class DeleteElement:
    """Delete an element and its blob in its thread, or in any thread of the scope.

    An element that was sent before the ordinal is deleted even if its upload, in another process,
    ends later. One that is sent again after it is a new element.
    """

    id: str
    thread_id: str | None = None
    scope: Scope = Scope()
    ordinal: int = field(default_factory=next_ordinal)

    @property
    def pending_thread_id(self) -> str | None:
        """The thread to which an upload, perhaps of another process, may add the element yet."""
        if self.scope.everywhere or self.thread_id in (None, self.scope.thread_id):
            return self.thread_id or self.scope.thread_id
        return None


@dataclass(frozen=True, slots=True)
class DeleteFeedback:
    """Delete feedback; the result is whether there was any.

    Clients choose ids, so several threads may have it. The actor limits the deletion to threads
    of this user and threads without a user; None: no limit.
    """

    id: str
    actor: str | None = None
    thread_id: None = None


Save: TypeAlias = SaveUser | SaveThread | SaveStep | SaveElement | SaveFeedback
Delete: TypeAlias = DeleteThread | DeleteStep | DeleteElement | DeleteFeedback
Op: TypeAlias = Save | Delete


def describe(op: Op) -> str:
    """Name an operation in messages and log lines."""
    match op:
        case SaveUser():
            return f"user {printable_id(op.identifier)}"
        case SaveThread():
            return f"thread {printable_id(op.thread_id)}"
        case SaveStep() | SaveElement():
            kind = "step" if isinstance(op, SaveStep) else "element"
            return f"{kind} {printable_id(op.id)} of thread {printable_id(op.thread_id)}"
        case SaveFeedback():
            step = f"step {printable_id(op.for_id)} of thread {printable_id(op.thread_id)}"
            return f"feedback {printable_id(op.id)} for {step}"
        case DeleteThread():
            return f"deletion of thread {printable_id(op.thread_id)}"
        case DeleteStep() | DeleteElement() | DeleteFeedback():
            kind = type(op).__name__.removeprefix("Delete").lower()
            return f"deletion of {kind} {printable_id(op.id)}"


_ID_BYTES = 1_024
"""The largest id: two of them fit into an index of every database."""
_ID_FIELDS: Mapping[type, tuple[str, ...]] = {
    SaveThread: ("thread_id",),
    SaveStep: ("thread_id", "id"),
    SaveElement: ("thread_id", "id"),
    SaveFeedback: ("thread_id", "for_id", "id"),
    DeleteThread: ("thread_id",),
    DeleteStep: ("id",),
    DeleteElement: ("thread_id", "id"),
    DeleteFeedback: ("id",),
}


def check_ids(op: Op, longest_id: int, longest_identifier: int) -> None:
    """Raise `RejectedRow` for an id that cannot be stored, before it fails among other rows."""
    if isinstance(op, SaveUser):
        return _check_id(op, "identifier", op.identifier, longest_identifier, 2 * _ID_BYTES)
    for name in _ID_FIELDS[type(op)]:
        id = getattr(op, name)
        if type(id) is str and id.isascii() and 0 < len(id) <= longest_id:
            continue  # Most are.
        if id or name != "thread_id" or not isinstance(op, DeleteElement):
            _check_id(op, name, id, longest_id, _ID_BYTES)
    return None


def _check_id(op: Op, name: str, id: Any, characters: int, size: int) -> None:
    if not isinstance(id, str) or not id:
        raise RejectedRow(f"{type(op).__name__} without {name} ({id!r}); pass a non-empty string")
    if len(id) > characters or (not id.isascii() and len(id.encode("utf-8", "replace")) > size):
        raise RejectedRow(
            f"{describe(op)}: its {name} has {len(id):,} characters, "
            f"{characters:,} characters at most are stored; use a shorter one"
        )


_OVERHEAD = 500
"""What an operation takes besides its texts, about."""


def size_of(op: Op) -> int:
    """Return the approximate size of an operation in memory, which is also that of its row."""
    match op:
        case SaveStep() | SaveElement():
            size = _size_of(op.values)
            return _OVERHEAD + (size + _size_of(op.extra) if op.extra else size)
        case SaveThread():
            return _OVERHEAD + _size_of(op.values) + _size_of(op.metadata)
        case SaveUser():
            return _OVERHEAD + _size_of(op.values)
        case SaveFeedback():
            return _OVERHEAD + len(op.comment or "")
    return _OVERHEAD


def too_large(op: Op, size: int, most: int) -> TooLarge:
    """Return the error for an operation beyond the limit of a row."""
    return TooLarge(
        f"{describe(op)} has {size / 1e6:,.1f} MB, {most / 1e6:,.1f} MB at most are stored; "
        "store a file instead, or raise CHAINLIT_SQLA_MAX_ROW_BYTES"
    )


def _size_of(document: Any) -> int:
    """Return the size of the texts in a document."""
    size = 0
    for value in document.values() if isinstance(document, dict) else document:
        if isinstance(value, str):
            # Known without reading the text; it has 1, 2 or 4 bytes a character.
            size += len(value) if len(value) < _OVERHEAD else sys.getsizeof(value)
        elif isinstance(value, (dict, list, tuple)):
            size += _size_of(value)
    return size
