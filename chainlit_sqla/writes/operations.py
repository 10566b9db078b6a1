"""Writes as frozen values, from the deserialized call to the write queue.

``values`` map column names to values that need no more conversion; texts are cleaned and JSON
is serialized before, so a value that cannot be stored is refused in the caller's own task and
not in somebody else's batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from .._internal.timestamps import next_ordinal, now

_LONGEST_ID = 100


def printable_id(id: str) -> str:
    """Return an id in a form for messages: clients choose ids, and a log entry is one line.

    Args:
        id: The id.
    """
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
        thread_id: The thread.
        values: New values of ``name``, ``userId``, ``tags``; others stay.
        metadata: Members to set; those that are None are removed, others stay.
        actor: The identifier of the user whose client chose the thread; a thread of
            somebody else is then refused. None: trusted.
    """

    thread_id: str
    values: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    actor: str | None = None
    at: datetime = field(default_factory=now)

    @property
    def restores(self) -> bool:
        """Only a new owner restores a deleted thread; a session's end does not."""
        return self.values.get("userId") is not None


@dataclass(frozen=True, slots=True)
class SaveStep:
    """Change a step, or create it and its thread.

    Args:
        thread_id: The thread that it lies in.
        id: The step.
        values: New values by column; others stay.
        extra: Members of the ``extra`` document to set; others stay.
        activity: When a new message moves its thread up in the list, the instant.
        actor: See `SaveThread`.
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
    """Change an element, or create it and its thread.

    Args:
        thread_id: The thread that it lies in.
        id: The element.
        values: New values by column; others stay.
        extra: Members of the ``extra`` document to set; others stay.
        actor: See `SaveThread`.
    """

    thread_id: str
    id: str
    values: Mapping[str, Any]
    extra: Mapping[str, Any] = field(default_factory=dict)
    actor: str | None = None
    at: datetime = field(default_factory=now)
    ordinal: int = field(default_factory=next_ordinal)


@dataclass(frozen=True, slots=True)
class SaveFeedback:
    """Give a step its one feedback, replacing the one it had; for ``actor`` see `SaveThread`."""

    thread_id: str
    for_id: str
    id: str
    value: int
    comment: str | None = None
    actor: str | None = None
    at: datetime = field(default_factory=now)


@dataclass(frozen=True, slots=True)
class Scope:
    """In which threads a deletion by id alone may delete; with nothing set, in all.

    Args:
        thread_id: The thread of the session that asks.
        user_id: The user of the session that asks; all threads of that user.
    """

    thread_id: str | None = None
    user_id: str | None = None

    @property
    def everywhere(self) -> bool:
        """Whether there is no limit: a script, not a client, asks."""
        return self.thread_id is None and self.user_id is None


@dataclass(frozen=True, slots=True)
class DeleteThread:
    """Delete a thread and all that is in it, for good.

    Args:
        thread_id: The thread.
        ordinal: Should the thread come back: elements that were sent before this do not.
    """

    thread_id: str
    ordinal: int = field(default_factory=next_ordinal)


@dataclass(frozen=True, slots=True)
class DeleteStep:
    """Delete a step, its descendants, their elements and feedback, for good."""

    id: str
    scope: Scope = Scope()
    thread_id: None = None


@dataclass(frozen=True, slots=True)
class DeleteElement:
    """Delete an element and its blob; one that is sent again later is a new one.

    Args:
        id: The element.
        thread_id: Its thread; None: in whichever it is.
        scope: Where the deletion may reach.
        ordinal: An element that was sent before this is deleted, also when its upload ends
            after it, in another process.
    """

    id: str
    thread_id: str | None = None
    scope: Scope = Scope()
    ordinal: int = field(default_factory=next_ordinal)


@dataclass(frozen=True, slots=True)
class DeleteFeedback:
    """Delete a feedback; the result is whether there was one.

    Args:
        id: The feedback. Clients choose ids, so several threads may have it.
        actor: Only in threads of this user, or of nobody; None: wherever it is.
    """

    id: str
    actor: str | None = None
    thread_id: None = None


Save: TypeAlias = SaveUser | SaveThread | SaveStep | SaveElement | SaveFeedback
Delete: TypeAlias = DeleteThread | DeleteStep | DeleteElement | DeleteFeedback
Op: TypeAlias = Save | Delete


def describe(op: Op) -> str:
    """Name an operation in messages and log lines.

    Args:
        op: The operation.
    """
    match op:
        case SaveUser():
            return f"user {printable_id(op.identifier)}"
        case SaveThread():
            return f"thread {printable_id(op.thread_id)}"
        case SaveStep():
            return f"step {printable_id(op.id)} of thread {printable_id(op.thread_id)}"
        case SaveElement():
            return f"element {printable_id(op.id)} of thread {printable_id(op.thread_id)}"
        case SaveFeedback():
            step = f"step {printable_id(op.for_id)} of thread {printable_id(op.thread_id)}"
            return f"feedback {printable_id(op.id)} for {step}"
        case DeleteThread():
            return f"deletion of thread {printable_id(op.thread_id)}"
        case DeleteStep():
            return f"deletion of step {printable_id(op.id)}"
        case DeleteElement():
            return f"deletion of element {printable_id(op.id)}"
        case DeleteFeedback():
            return f"deletion of feedback {printable_id(op.id)}"
