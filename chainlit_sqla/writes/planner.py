"""From operations to segments: pure, so that its one law can be tested as a property.

The law: carrying out ``plan(ops)`` leaves the same rows as carrying out each operation
by itself in order. To keep it

- operations on the same row are merged, later values win, values not given stay;
- a segment ends where merging would change the outcome: after deletions, and where a
  thread is brought back to life after it was written to in the same segment;
- inside a segment users come before threads, threads before what lies in them, and
  deletions come last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .operations import Delete, Op, SaveElement, SaveFeedback, SaveStep, SaveThread, SaveUser

Key = tuple[str, str]


@dataclass(slots=True)
class ThreadChange:
    """All that a segment does to the row of one thread.

    Args:
        at: When a new thread begins: with the first operation on it, or with the older
            message that this brings.
        revival: When a deleted thread comes back, the instant.
        named: Whether an operation was for the thread itself, not for what lies in it.
    """

    at: datetime
    values: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    revival: datetime | None = None
    named: bool = False


@dataclass(slots=True)
class RowChange:
    """All that a segment does to one row below a thread.

    Args:
        at: When the first operation on it was made.
        ordinal: The place of a new row among those of the same instant.
        before_revival: It was written before its thread was brought back in the same
            segment, so it is lost with a thread that was deleted.
    """

    at: datetime
    ordinal: int
    values: dict[str, Any]
    extra: dict[str, Any]
    activity: datetime | None = None
    before_revival: bool = False


@dataclass(slots=True)
class Segment:
    """Changes that can be written kind by kind; then deletions, in order.

    ``claims`` are the threads that clients reach for, with the users who ask. ``deletes``
    carry the position of their operation, under which the result is returned.
    """

    users: dict[str, SaveUser] = field(default_factory=dict)
    threads: dict[str, ThreadChange] = field(default_factory=dict)
    steps: dict[Key, RowChange] = field(default_factory=dict)
    elements: dict[Key, RowChange] = field(default_factory=dict)
    feedbacks: dict[Key, RowChange] = field(default_factory=dict)
    claims: set[tuple[str, str]] = field(default_factory=set)
    deletes: list[tuple[int, Delete]] = field(default_factory=list)


def plan(ops: Sequence[Op]) -> list[Segment]:
    """Merge operations into as few segments as the law allows.

    Args:
        ops: Operations in the order in which they were asked for.

    Returns:
        Segments to be carried out in order, in one transaction.

    Example:
        >>> [segment] = plan([SaveThread("t", {"name": "a"}), SaveThread("t", {"name": "b"})])
        >>> segment.threads["t"].values
        {'name': 'b'}
    """
    segments: list[Segment] = []
    current = Segment()
    for position, op in enumerate(ops):
        if isinstance(op, Delete):
            current.deletes.append((position, op))
            continue
        if current.deletes or _must_not_merge(current, op):
            segments.append(current)
            current = Segment()
        if isinstance(op, SaveUser):
            _merge_user(current, op)
        else:
            _merge(current, op)
    segments.append(current)
    return segments


def group_by_columns(
    rows: Iterable[tuple[Key, RowChange]],
) -> Mapping[frozenset[str], list[tuple[Key, RowChange]]]:
    """Group rows that give the same columns: one statement can write a group.

    Args:
        rows: Keys and changes.
    """
    groups: dict[frozenset[str], list[tuple[Key, RowChange]]] = {}
    for key, row in rows:
        groups.setdefault(frozenset(row.values), []).append((key, row))
    return groups


def _must_not_merge(segment: Segment, op: Op) -> bool:
    if isinstance(op, SaveUser):
        return False
    if isinstance(op, SaveThread):
        known = segment.threads.get(op.thread_id)
        return op.revives and known is not None and known.named
    row = _rows(segment, op).get(_key(op))
    # One of two saves of an element may be older than a deletion in another process; and
    # the blob of the first is found, and deleted, by its row.
    return row is not None and (row.before_revival or isinstance(op, SaveElement))


def _merge_user(segment: Segment, op: SaveUser) -> None:
    if known := segment.users.get(op.identifier):
        values = {**known.values, **op.values, "id": known.values["id"]}
        op = SaveUser(op.identifier, values, known.at)
    segment.users[op.identifier] = op


def _merge(segment: Segment, op: SaveThread | SaveStep | SaveElement | SaveFeedback) -> None:
    thread = segment.threads.get(op.thread_id)
    if thread is None:
        begun = op.at
        if isinstance(op, SaveStep) and op.activity and op.activity < begun:
            begun = op.activity
        thread = segment.threads[op.thread_id] = ThreadChange(begun)
    if op.actor is not None:
        segment.claims.add((op.thread_id, op.actor))
    if isinstance(op, SaveThread):
        thread.named = True
        thread.values |= op.values
        thread.metadata |= op.metadata
        if op.revives and not thread.revival:
            thread.revival = op.at
            _mark_earlier_rows(segment, op.thread_id)
        return
    rows, key = _rows(segment, op), _key(op)
    row = rows.get(key)
    if row is None:
        row = rows[key] = RowChange(op.at, getattr(op, "ordinal", 0), {}, {})

    row.values |= _values(op)
    if isinstance(op, SaveFeedback):
        return
    row.extra |= op.extra
    newer = isinstance(op, SaveStep) and op.activity
    if newer and (row.activity is None or newer > row.activity):
        row.activity = newer


def _mark_earlier_rows(segment: Segment, thread_id: str) -> None:
    for rows in (segment.steps, segment.elements, segment.feedbacks):
        for (thread, _), row in rows.items():
            row.before_revival |= thread == thread_id


def _rows(segment: Segment, op: Op) -> dict[Key, RowChange]:
    if isinstance(op, SaveStep):
        return segment.steps
    return segment.elements if isinstance(op, SaveElement) else segment.feedbacks


def _key(op: Op) -> Key:
    if isinstance(op, (SaveStep, SaveElement)):
        return op.thread_id, op.id
    assert isinstance(op, SaveFeedback)
    return op.thread_id, op.for_id


def _values(op: SaveStep | SaveElement | SaveFeedback) -> Mapping[str, Any]:
    if isinstance(op, SaveFeedback):
        return {"id": op.id, "value": op.value, "comment": op.comment}
    return op.values
