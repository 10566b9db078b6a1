"""Executes deletions: rows, tombstones and the deletion queue in one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, delete, select

from .._internal.timestamps import instant_of, now
from ..dialects import Dialect
from ..models import elements, feedbacks, steps, threads
from . import deletion_queue
from .authorization import (
    delete_own_feedback,
    error_of_deletion,
    pending_thread,
    refuse_foreign_row,
    within_scope,
)
from .operations import Delete, DeleteElement, DeleteFeedback, DeleteStep, DeleteThread
from .tombstones import (
    add_tombstones,
    batched,
    bump_row_versions,
    element_tombstone_id,
    lock_threads,
)


def execute_delete(connection: Connection, dialect: Dialect, op: Delete) -> tuple[bool, bool]:
    """Execute a deletion; return whether it deleted anything, and whether blobs were queued."""
    match op:
        case DeleteThread():
            return _delete_thread(connection, dialect, op)
        case DeleteStep():
            return _delete_step(connection, dialect, op)
        case DeleteElement():
            return _delete_element(connection, dialect, op)
        case DeleteFeedback():
            return delete_own_feedback(connection, op), False


def _delete_thread(connection: Connection, dialect: Dialect, op: DeleteThread) -> tuple[bool, bool]:
    rows = lock_threads(connection, [op.thread_id], exclusive=True)
    owner = rows[op.thread_id].userIdentifier if op.thread_id in rows else None
    if op.actor is not None and owner not in (None, op.actor):
        raise error_of_deletion(op)
    deleted = delete_locked_threads(connection, dialect, [op.thread_id], instant_of(op.ordinal))
    return deleted["threads"] > 0, deleted["blobs"] > 0


def delete_locked_threads(
    connection: Connection, dialect: Dialect, ids: Sequence[str], at: datetime
) -> Counter[str]:
    """Delete threads with their contents; return the numbers of rows by table, and of blobs."""
    add_tombstones(connection, dialect, dict.fromkeys(ids, at), [""])
    deleted = Counter(blobs=_queue_blobs(connection, dialect, elements.c.threadId.in_(ids)))
    for table in (feedbacks, elements, steps):  # Also where an adopted table has no cascade.
        of_threads = delete(table).where(table.c.threadId.in_(ids))
        deleted[table.name] = connection.execute(of_threads).rowcount
    deleted["threads"] = connection.execute(delete(threads).where(threads.c.id.in_(ids))).rowcount
    return deleted


def _delete_step(connection: Connection, dialect: Dialect, op: DeleteStep) -> tuple[bool, bool]:
    with_id = steps.c.id == op.id
    query = select(steps.c.threadId).where(with_id, within_scope(steps, op.scope))
    thread_ids = sorted(connection.scalars(query))
    exists = bool(thread_ids)
    if not exists:
        refuse_foreign_row(connection, op.scope, op, with_id, op.id)
        # Another process, which the session was connected to before, may create it later.
        pending_id = pending_thread(connection, op.scope)
        thread_ids = [pending_id] if pending_id else []
    lock_threads(connection, thread_ids, exclusive=True)
    bump_row_versions(connection, thread_ids)
    has_blobs = False
    for thread_id in thread_ids:
        step_ids = _with_descendants(connection, thread_id, op.id)
        add_tombstones(connection, dialect, {thread_id: now()}, step_ids)
        for portion in batched(step_ids, dialect.max_parameters - 1):
            of_steps = (elements.c.threadId == thread_id) & elements.c.forId.in_(portion)
            has_blobs |= _queue_blobs(connection, dialect, of_steps) > 0
            connection.execute(delete(elements).where(of_steps))
            for table, column in ((feedbacks, feedbacks.c.forId), (steps, steps.c.id)):
                where = (table.c.threadId == thread_id) & column.in_(portion)
                connection.execute(delete(table).where(where))
    return exists, has_blobs


def _delete_element(
    connection: Connection, dialect: Dialect, op: DeleteElement
) -> tuple[bool, bool]:
    anywhere = elements.c.id == op.id
    if op.thread_id:
        anywhere &= elements.c.threadId == op.thread_id
    where = anywhere & within_scope(elements, op.scope)
    thread_ids = set(connection.scalars(select(elements.c.threadId).where(where)))
    if not thread_ids:
        refuse_foreign_row(connection, op.scope, op, anywhere, element_tombstone_id(op.id))
    pending_id = op.pending_thread_id
    if pending_id and not op.scope.everywhere:
        pending_id = pending_thread(connection, op.scope)
    if pending_id:
        thread_ids.add(pending_id)
    lock_threads(connection, thread_ids, exclusive=True)
    if thread_ids:
        deleted_at: dict[str, datetime] = dict.fromkeys(sorted(thread_ids), instant_of(op.ordinal))
        add_tombstones(connection, dialect, deleted_at, [element_tombstone_id(op.id)])
    has_blobs = _queue_blobs(connection, dialect, where) > 0
    result = connection.execute(delete(elements).where(where))
    return result.rowcount > 0, has_blobs


def _with_descendants(connection: Connection, thread_id: str, step_id: str) -> Sequence[str]:
    """Return the ids of a step and its descendants, by one scan of the thread."""
    query = select(steps.c.id, steps.c.parentId).where(steps.c.threadId == thread_id)
    children: dict[str | None, list[str]] = {}
    for id, parent_id in connection.execute(query):
        children.setdefault(parent_id, []).append(id)
    step_ids = {step_id: None}  # An ordered set, so that a cycle of parents ends.
    unvisited = [step_id]
    while unvisited:
        below = [id for id in children.get(unvisited.pop(), ()) if id not in step_ids]
        step_ids.update(dict.fromkeys(below))
        unvisited.extend(below)
    return list(step_ids)


def _queue_blobs(connection: Connection, dialect: Dialect, where: ColumnElement[bool]) -> int:
    """Queue the blobs of elements for deletion; return how many there are."""
    query = select(elements.c.objectKey).where(where, elements.c.objectKey.is_not(None))
    keys = connection.scalars(query).all()
    deletion_queue.enqueue(connection, dialect, keys)
    return len(keys)
