"""Executes the saves of a segment in a transaction.

Invariants against other processes (each statement sees what was committed before it):

1. The rows of the threads are locked first, in the order of their ids. A deletion in a thread
   holds an exclusive lock, so a save waits and then sees the tombstone.
2. Tombstones are read after the lock. A row whose thread or step has one is not written, and the
   blob of such an element goes to the deletion queue.
3. A thread that vanishes in between makes the foreign key fail; the batch is then repeated and
   finds its tombstone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, bindparam, select, update

from .._internal.json import JsonText
from ..dialects import Dialect
from ..errors import RejectedRow
from ..models import elements, feedbacks, steps, threads, users
from . import deletion_queue
from .authorization import refused_claims, refused_owners
from .merge_operations import (
    STEP_DEFAULTS,
    Key,
    RowChange,
    Segment,
    ThreadChange,
    group_by_columns,
    latest_activity,
)
from .tombstones import StoredThreads, batched, lock_stored_threads, lock_threads, restore_threads

ELEMENT_DEFAULTS: Mapping[str, str | bool] = {"name": "", "type": "file"}


def execute_saves(
    connection: Connection, dialect: Dialect, segment: Segment
) -> tuple[bool, dict[int, RejectedRow], Collection[str]]:
    """Write the saves of a segment; return whether blobs were queued for deletion.

    The second result are operations that are refused, by position. If there are any, the others
    are not written yet: locks are taken, and users and threads may be inserted. The third are the
    threads that were deleted, whose operations are dropped until they are restored.
    """
    _save_users(connection, dialect, segment)
    if not segment.threads:
        return False, {}, ()
    stored = lock_stored_threads(connection, segment)
    if refused := refused_claims(segment, stored.rows):
        return False, refused, ()
    identifiers = _identifiers(connection, segment)
    if refused := refused_owners(segment, identifiers):
        return False, refused, ()
    _insert_missing_threads(connection, dialect, segment, stored)
    # Another process may have inserted a thread meanwhile.
    if refused := refused_claims(segment, stored.rows):
        return False, refused, ()
    restore_threads(connection, dialect, stored.restored)
    accepted_steps = [item for item in segment.steps.items() if stored.accepts(*item)]
    activity = latest_activity(dict(accepted_steps))
    _change_threads(connection, segment, stored, identifiers, activity)
    _save_rows(connection, dialect, steps, accepted_steps, STEP_DEFAULTS)
    unused_keys = _save_elements(connection, dialect, segment, stored)
    accepted_feedbacks = [item for item in segment.feedbacks.items() if stored.accepts(*item)]
    _save_rows(connection, dialect, feedbacks, accepted_feedbacks, {}, key_column="forId")
    has_blobs = deletion_queue.enqueue(connection, dialect, unused_keys)
    return has_blobs, {}, {*stored.tombstoned, *stored.restored}


def _save_users(connection: Connection, dialect: Dialect, segment: Segment) -> None:
    groups: dict[frozenset[str], list[dict[str, Any]]] = {}
    for identifier, op in segment.users.items():
        record = {"identifier": identifier, "createdAt": op.at, **op.values}
        groups.setdefault(frozenset(record), []).append(record)
    for names, records in groups.items():
        changed = names - {"id", "identifier", "createdAt"}
        statement = dialect.upsert(users, ["identifier"], sorted(changed))
        connection.execute(statement, records)


def _change_threads(
    connection: Connection,
    segment: Segment,
    stored: StoredThreads,
    identifiers: Mapping[str, str],
    activity: Mapping[str, datetime],
) -> None:
    metadata = _metadata(connection, segment)
    groups: dict[frozenset[str], list[dict[str, Any]]] = {}
    for id, row in stored.rows.items():
        changes = _thread_changes(segment.threads[id], identifiers, metadata.get(id))
        if (active_at := activity.get(id)) and active_at > row.updatedAt:
            changes["updatedAt"] = active_at
        if changes:
            record = {"the_id": id} | {f"new_{name}": value for name, value in changes.items()}
            groups.setdefault(frozenset(changes), []).append(record)
    for names, records in groups.items():
        statement = (
            update(threads)
            .where(threads.c.id == bindparam("the_id"))
            .values({name: bindparam(f"new_{name}") for name in names})
        )
        connection.execute(statement, records)


def _insert_missing_threads(
    connection: Connection, dialect: Dialect, segment: Segment, stored: StoredThreads
) -> None:
    """Insert threads that do not exist; another process may do the same."""
    new_threads: dict[str, dict[str, Any]] = {}
    for id, change in segment.threads.items():
        if id not in stored.rows and id not in stored.tombstoned:
            at = (change.restored_at or change.at) if id in stored.restored else change.at
            new_threads[id] = {
                "id": id,
                "createdAt": at,
                "updatedAt": at,
                "userIdentifier": change.author,
                "metadata": JsonText("{}"),
            }
    if new_threads:
        connection.execute(dialect.upsert(threads, ["id"], []), list(new_threads.values()))
        stored.rows.update(lock_threads(connection, new_threads, exclusive=False))


def _identifiers(connection: Connection, segment: Segment) -> Mapping[str, str]:
    """Return the identifiers of those of the threads' new owners that exist, by their ids."""
    owner_ids = {
        owner_id
        for change in segment.threads.values()
        if (owner_id := change.values.get("userId")) is not None
    }
    if not owner_ids:
        return {}
    query = select(users.c.id, users.c.identifier).where(users.c.id.in_(owner_ids))
    return {row.id: row.identifier for row in connection.execute(query)}


def _metadata(connection: Connection, segment: Segment) -> Mapping[str, Any]:
    """Return the documents to change; they can be large, so only those are read."""
    ids = [id for id, change in segment.threads.items() if change.metadata]
    if not ids:
        return {}
    query = select(threads.c.id, threads.c.metadata).where(threads.c.id.in_(ids))
    return {row.id: row.metadata for row in connection.execute(query)}


def _thread_changes(
    change: ThreadChange, identifiers: Mapping[str, str], metadata: Any
) -> dict[str, Any]:
    changes = dict(change.values)
    if user_id := changes.get("userId"):
        changes["userIdentifier"] = identifiers[user_id]
    if change.metadata:
        merged = {**_object(metadata), **change.metadata}
        changes["metadata"] = {name: v for name, v in merged.items() if v is not None}
    return changes


def _save_rows(
    connection: Connection,
    dialect: Dialect,
    table: Table,
    rows: Sequence[tuple[Key, RowChange]],
    defaults: Mapping[str, Any],
    key_column: str = "id",
) -> None:
    """Upsert rows, one statement for each set of columns."""
    _merge_extra(connection, table, rows)
    for columns, group in group_by_columns(rows).items():
        records = [
            {**defaults, **row.record(thread_id, key_column, id)} for (thread_id, id), row in group
        ]
        statement = dialect.upsert(table, ["threadId", key_column], sorted(columns))
        connection.execute(statement, records)


def _merge_extra(
    connection: Connection, table: Table, rows: Sequence[tuple[Key, RowChange]]
) -> None:
    rows_with_extra = {key: row for key, row in rows if row.extra}
    if not rows_with_extra:
        return
    query = select(table.c.threadId, table.c.id, table.c.extra).where(
        table.c.threadId.in_({thread_id for thread_id, _ in rows_with_extra}),
        table.c.id.in_({id for _, id in rows_with_extra}),
    )
    stored = {(thread_id, id): extra for thread_id, id, extra in connection.execute(query)}
    for key, row in rows_with_extra.items():
        row.values = {**row.values, "extra": {**_object(stored.get(key)), **row.extra}}


def _object(document: Any) -> Mapping[str, Any]:
    """Return a JSON object; another program may have written other JSON."""
    return document if isinstance(document, dict) else {}


def _save_elements(
    connection: Connection, dialect: Dialect, segment: Segment, stored: StoredThreads
) -> list[str]:
    """Write elements; return the keys of blobs that no row references any more."""
    accepted: list[tuple[Key, RowChange]] = []
    unused_keys: list[str] = []
    for key, row in segment.elements.items():
        if stored.accepts_element(key, row):
            accepted.append((key, row))
        elif object_key := row.values.get("objectKey"):
            unused_keys.append(object_key)
    if accepted:
        unused_keys += _replaced_keys(connection, accepted)
        _save_rows(connection, dialect, elements, accepted, ELEMENT_DEFAULTS)
        # A batch whose commit had no answer is repeated: an earlier operation of it then finds the
        # row of a later one, and queues that row's blob as replaced or deleted.
        used_keys = [row.values["objectKey"] for _, row in accepted if row.values.get("objectKey")]
        for portion in batched(used_keys, dialect.max_parameters):
            deletion_queue.dequeue(connection, portion)
    return unused_keys


def _replaced_keys(connection: Connection, rows: Sequence[tuple[Key, RowChange]]) -> list[str]:
    """Return the keys of stored blobs that these rows replace."""
    replacing = {key: row for key, row in rows if "objectKey" in row.values}
    if not replacing:
        return []
    columns = elements.c
    query = select(columns.threadId, columns.id, columns.objectKey).where(
        columns.threadId.in_({thread_id for thread_id, _ in replacing}),
        columns.id.in_({id for _, id in replacing}),
        columns.objectKey.is_not(None),
    )
    return [
        stored_key
        for thread_id, id, stored_key in connection.execute(query)
        if (row := replacing.get((thread_id, id))) and row.values["objectKey"] != stored_key
    ]
