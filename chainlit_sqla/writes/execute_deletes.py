"""Carries out deletions: rows, tombstones and the deletion queue of blobs in one transaction."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, delete, or_, select, true

from .._internal.timestamps import instant_of, now
from ..dialects import Dialect
from ..errors import NotTheAuthor
from ..models import elements, feedbacks, steps, threads, tombstones
from . import deletion_queue
from .execute_saves import batched, bump_row_versions, element_tombstone_id, lock_threads
from .operations import (
    Delete,
    DeleteElement,
    DeleteFeedback,
    DeleteStep,
    DeleteThread,
    Scope,
    printable_id,
)


def execute_delete(connection: Connection, dialect: Dialect, op: Delete) -> tuple[bool, bool]:
    """Carry out one deletion.

    Args:
        connection: In a transaction.
        dialect: The database's dialect.
        op: The deletion.

    Returns:
        Whether there was anything to delete, and whether blobs went to the deletion queue.
    """
    match op:
        case DeleteThread():
            return _erase_thread(connection, dialect, op)
        case DeleteStep():
            return _erase_step(connection, dialect, op)
        case DeleteElement():
            return _erase_element(connection, dialect, op)
        case DeleteFeedback():
            return _erase_feedback(connection, op), False


def delete_rows(
    connection: Connection, dialect: Dialect, thread_id: str, rows: Collection[tuple[str, str]]
) -> None:
    """Delete just these rows of a thread: what lies below a step stays.

    Args:
        connection: In a transaction.
        dialect: The database's dialect.
        thread_id: The thread.
        rows: For each ``step`` or ``element`` its id, for a ``feedback`` that of its step.
    """
    lock_threads(connection, [thread_id], exclusive=True)
    bump_row_versions(connection, [thread_id])
    dead = [
        element_tombstone_id(id) if kind == "element" else id
        for kind, id in rows
        if kind != "feedback"
    ]
    if dead:
        _bury(connection, dialect, thread_id, dead)
    columns = {"feedback": feedbacks.c.forId, "element": elements.c.id, "step": steps.c.id}
    for kind, column in columns.items():
        ids = [id for one, id in rows if one == kind]
        for some in batched(ids, dialect.max_parameters - 1):
            where = (column.table.c.threadId == thread_id) & column.in_(some)
            if kind == "element":
                _blobs(connection, dialect, where)
            connection.execute(delete(column.table).where(where))


def _erase_thread(connection: Connection, dialect: Dialect, op: DeleteThread) -> tuple[bool, bool]:
    thread_id = op.thread_id
    lock_threads(connection, [thread_id], exclusive=True)
    _bury(connection, dialect, thread_id, [""], instant_of(op.ordinal))
    blobs = _blobs(connection, dialect, elements.c.threadId == thread_id)
    for table in (feedbacks, elements, steps):  # Also where an adopted table has no cascade.
        connection.execute(delete(table).where(table.c.threadId == thread_id))
    result = connection.execute(delete(threads).where(threads.c.id == thread_id))
    return result.rowcount > 0, blobs


def _erase_step(connection: Connection, dialect: Dialect, op: DeleteStep) -> tuple[bool, bool]:
    query = select(steps.c.threadId).where(steps.c.id == op.id, _within(steps, op.scope))
    found = sorted(connection.scalars(query))
    # Where it is not there yet, its creation may still come: Chainlit flushes queued calls
    # method by method.
    places = found or [id for id in (op.scope.thread_id,) if id]
    lock_threads(connection, places, exclusive=True)
    bump_row_versions(connection, places)
    blobs = False
    for thread_id in places:
        ids = _with_descendants(connection, thread_id, op.id)
        _bury(connection, dialect, thread_id, ids)
        for some in batched(ids, dialect.max_parameters - 1):
            of_steps = (elements.c.threadId == thread_id) & elements.c.forId.in_(some)
            blobs |= _blobs(connection, dialect, of_steps)
            connection.execute(delete(elements).where(of_steps))
            for table, column in ((feedbacks, feedbacks.c.forId), (steps, steps.c.id)):
                where = (table.c.threadId == thread_id) & column.in_(some)
                connection.execute(delete(table).where(where))
    return bool(found), blobs


def _erase_element(
    connection: Connection, dialect: Dialect, op: DeleteElement
) -> tuple[bool, bool]:
    where = (elements.c.id == op.id) & _within(elements, op.scope)
    if op.thread_id:
        where &= elements.c.threadId == op.thread_id
    found = set(connection.scalars(select(elements.c.threadId).where(where)))
    # An upload under way has no row yet, perhaps in another process.
    if op.scope.everywhere or op.thread_id in (None, op.scope.thread_id):
        found |= {id for id in (op.thread_id or op.scope.thread_id,) if id}
    lock_threads(connection, found, exclusive=True)
    for thread_id in sorted(found):
        ids, at = [element_tombstone_id(op.id)], instant_of(op.ordinal)
        _bury(connection, dialect, thread_id, ids, at)
    blobs = _blobs(connection, dialect, where)
    result = connection.execute(delete(elements).where(where))
    return result.rowcount > 0, blobs


def _erase_feedback(connection: Connection, op: DeleteFeedback) -> bool:
    where = feedbacks.c.id == op.id
    if op.actor is None:
        return (connection.execute(delete(feedbacks).where(where))).rowcount > 0
    theirs = or_(threads.c.userIdentifier == op.actor, threads.c.userIdentifier.is_(None))
    within = feedbacks.c.threadId.in_(select(threads.c.id).where(theirs))
    result = connection.execute(delete(feedbacks).where(where, within))
    if result.rowcount == 0 and connection.scalar(select(feedbacks.c.id).where(where)):
        raise NotTheAuthor(
            f"{op.actor!r} is not the author of the thread with feedback {printable_id(op.id)}; "
            "it was not deleted, log in as its author"
        )
    return result.rowcount > 0


def _with_descendants(connection: Connection, thread_id: str, step_id: str) -> Sequence[str]:
    """The step and all below it: one scan of the thread, however deep it is."""
    query = select(steps.c.id, steps.c.parentId).where(steps.c.threadId == thread_id)
    children: dict[str | None, list[str]] = {}
    for id, parent_id in connection.execute(query):
        children.setdefault(parent_id, []).append(id)
    found = {step_id: None}  # In order, and a circle of parents ends.
    waiting = [step_id]
    while waiting:
        below = [id for id in children.get(waiting.pop(), ()) if id not in found]
        found.update(dict.fromkeys(below))
        waiting.extend(below)
    return list(found)


def _bury(
    connection: Connection,
    dialect: Dialect,
    thread_id: str,
    ids: Collection[str],
    at: datetime | None = None,
) -> None:
    rows: list[dict[str, Any]] = [
        {"threadId": thread_id, "id": id, "deletedAt": at or now()} for id in ids
    ]
    statement = dialect.upsert(tombstones, ["threadId", "id"], ["deletedAt"])
    connection.execute(statement, rows)


def _blobs(connection: Connection, dialect: Dialect, where: ColumnElement[bool]) -> bool:
    query = select(elements.c.objectKey).where(where, elements.c.objectKey.is_not(None))
    keys = list(connection.scalars(query))
    return deletion_queue.enqueue(connection, dialect, keys)


def _within(table: Table, scope: Scope) -> ColumnElement[bool]:
    """Limit a deletion by id to what the session that asks may touch."""
    if scope.everywhere:
        return true()
    reach = []
    if scope.thread_id:
        reach.append(table.c.threadId == scope.thread_id)
    if scope.user_id:
        own = select(threads.c.id).where(threads.c.userId == scope.user_id)
        reach.append(table.c.threadId.in_(own))
    return or_(*reach)
