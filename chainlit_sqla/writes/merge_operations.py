"""Merges operations into segments, without I/O.

A property test checks that executing ``plan(ops)`` leaves the same rows as executing each
operation by itself in order. Therefore

- operations on the same row are merged, later values win, values not given stay;
- a segment ends where merging would change the outcome: after deletions, unless they are in
  other threads, and where a thread is restored after it was written to in the same segment;
- inside a segment users precede threads, threads precede their contents, and deletions come
  last.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import itemgetter
from typing import Any, TypeAlias

from .._internal.json import JsonText
from .operations import (
    Delete,
    DeleteFeedback,
    Op,
    Save,
    SaveElement,
    SaveFeedback,
    SaveStep,
    SaveThread,
    SaveUser,
)

_SaveInThread: TypeAlias = SaveThread | SaveStep | SaveElement | SaveFeedback
Key = tuple[str, str]
"""A thread's id, and the id of a row in it."""
STEP_DEFAULTS: Mapping[str, str | bool] = {
    "name": "",
    "type": "undefined",
    "streaming": False,
    "metadata": JsonText("{}"),
}
"""Columns of a new step with their values where they are not given."""


@dataclass(slots=True)
class ThreadChange:
    """The changes of a segment to the row of one thread.

    ``at`` is the creation time of a new thread: the time of the first operation on it, or of an
    older message in that operation. ``is_named``: an operation was for the thread itself, not for
    its contents. ``author`` is the actor of the first operation, and that of a new thread;
    ``owned_by`` is who asked for a new owner.
    """

    at: datetime
    values: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    restored_at: datetime | None = None
    is_named: bool = False
    author: str | None = None
    owned_by: str | None = None


@dataclass(slots=True)
class RowChange:
    """The changes of a segment to one row in a thread.

    ``ordinal`` is the position of a new row among rows of the same time. ``before_restore``: the
    row was written before its thread was restored in the same segment, and is dropped if the
    thread was deleted.
    """

    at: datetime
    ordinal: int
    values: Mapping[str, Any]
    extra: Mapping[str, Any] = field(default_factory=dict)
    activity: datetime | None = None
    before_restore: bool = False

    def record(self, thread_id: str, key_column: str, id: str) -> dict[str, Any]:
        """Return the row for an insert: its key, the columns of a new row, and the values."""
        record = {"threadId": thread_id, key_column: id, "createdAt": self.at}
        if self.ordinal:
            record["ordinal"] = self.ordinal
        return {**record, **self.values}


@dataclass(slots=True)
class Segment:
    """Changes that can be written kind by kind, then deletions in order of their positions."""

    users: dict[str, SaveUser] = field(default_factory=dict)
    threads: dict[str, ThreadChange] = field(default_factory=dict)
    steps: dict[Key, RowChange] = field(default_factory=dict)
    elements: dict[Key, RowChange] = field(default_factory=dict)
    feedbacks: dict[Key, RowChange] = field(default_factory=dict)
    claims: set[tuple[str, str]] = field(default_factory=set)
    """The ids of threads that clients name, with the identifiers of their users."""
    saves: list[tuple[int, Save]] = field(default_factory=list)
    """The merged operations with their positions in the batch."""
    deletes: list[tuple[int, Delete]] = field(default_factory=list)


def plan(ops: Sequence[Op]) -> list[Segment]:
    """Merge operations into as few segments as possible."""
    return _plan(enumerate(ops))


def plan_without(segments: Iterable[Segment], refused: Container[int]) -> list[Segment]:
    """Plan segments again, without the operations at some positions."""
    ops: list[tuple[int, Op]] = []
    for segment in segments:
        ops += [*segment.saves, *segment.deletes]
    return _plan(
        (position, op) for position, op in sorted(ops, key=itemgetter(0)) if position not in refused
    )


def _plan(ops: Iterable[tuple[int, Op]]) -> list[Segment]:
    segments: list[Segment] = []
    current = Segment()
    for position, op in ops:
        if not isinstance(op, SaveStep):  # Most are.
            if isinstance(op, Delete):
                current.deletes.append((position, op))
                continue
            if isinstance(op, SaveUser):  # Precedes everything: nothing here changes a user.
                first = segments[0] if segments else current
                first.saves.append((position, op))
                _merge_user(first, op)
                continue
        if _must_not_merge(current, op):
            segments.append(current)
            current = Segment()
        current.saves.append((position, op))
        _merge(current, op)
    segments.append(current)
    return segments


def latest_activity(step_rows: Mapping[Key, RowChange]) -> Mapping[str, datetime]:
    """Return the time of the newest message in each thread that has a new one."""
    latest: dict[str, datetime] = {}
    for (thread_id, _), row in step_rows.items():
        if row.activity:
            latest[thread_id] = max(row.activity, latest.get(thread_id, row.activity))
    return latest


def group_by_columns(
    rows: Iterable[tuple[Key, RowChange]],
) -> Mapping[frozenset[str], list[tuple[Key, RowChange]]]:
    """Group rows with values for the same columns, which one statement can write."""
    groups: dict[frozenset[str], list[tuple[Key, RowChange]]] = {}
    for key, row in rows:
        columns = {*row.values, "extra"} if row.extra else row.values
        groups.setdefault(frozenset(columns), []).append((key, row))
    return groups


def _commutes(deletion: Delete, op: _SaveInThread) -> bool:
    """Return whether a save may be written before a deletion that comes before it."""
    if isinstance(deletion, DeleteFeedback):
        return isinstance(op, (SaveStep, SaveElement))
    return deletion.thread_id not in (None, op.thread_id)


def _must_not_merge(segment: Segment, op: _SaveInThread) -> bool:
    if segment.deletes and not all(_commutes(deletion, op) for _, deletion in segment.deletes):
        return True
    if (thread := segment.threads.get(op.thread_id)) is None:
        return False
    if op.actor is not None:
        # The author or owner must be stored before the claim of somebody else is checked.
        if op.actor != thread.author:
            return True
        if op.actor != thread.owned_by and thread.values.get("userId"):
            return True
    if isinstance(op, SaveThread):
        return op.restores and thread.is_named
    rows, key = _rows(segment, op)
    row = rows.get(key)
    # One of two saves of an element may be older than a deletion in another process, and the
    # blob of the first is deleted by means of its row.
    return row is not None and (row.before_restore or isinstance(op, SaveElement))


def _merge_user(segment: Segment, op: SaveUser) -> None:
    if earlier := segment.users.get(op.identifier):
        values = {**earlier.values, **op.values, "id": earlier.values["id"]}
        op = SaveUser(op.identifier, values, earlier.at)
    segment.users[op.identifier] = op


def _merge(segment: Segment, op: _SaveInThread) -> None:
    thread = segment.threads.get(op.thread_id)
    if thread is None:
        begun = op.at
        if isinstance(op, SaveStep) and op.activity and op.activity < begun:
            begun = op.activity
        thread = segment.threads[op.thread_id] = ThreadChange(begun, author=op.actor)
    if op.actor is not None:
        segment.claims.add((op.thread_id, op.actor))
    if isinstance(op, SaveThread):
        thread.is_named = True
        if op.values.get("userId"):
            thread.owned_by = op.actor
        thread.values |= op.values
        thread.metadata |= op.metadata
        if op.restores and not thread.restored_at:
            thread.restored_at = op.at
            for earlier_rows in (segment.steps, segment.elements, segment.feedbacks):
                for (thread_id, _), earlier_row in earlier_rows.items():
                    earlier_row.before_restore |= thread_id == op.thread_id
        return
    rows, key = _rows(segment, op)
    row = rows.get(key)
    if isinstance(op, SaveFeedback):
        values = {"id": op.id, "value": op.value, "comment": op.comment}
        rows[key] = RowChange(row.at if row else op.at, 0, values)
        return
    newer = op.activity if isinstance(op, SaveStep) else None
    if row is None:
        rows[key] = RowChange(op.at, op.ordinal, op.values, op.extra, newer)
        return
    row.values = {**row.values, **op.values}
    row.extra = {**row.extra, **op.extra}
    if newer and (row.activity is None or newer > row.activity):
        row.activity = newer


def _rows(
    segment: Segment, op: SaveStep | SaveElement | SaveFeedback
) -> tuple[dict[Key, RowChange], Key]:
    """Return the rows of the kind that an operation changes, and the key of its row."""
    if isinstance(op, SaveStep):
        return segment.steps, (op.thread_id, op.id)
    if isinstance(op, SaveElement):
        return segment.elements, (op.thread_id, op.id)
    return segment.feedbacks, (op.thread_id, op.for_id)
