"""Carries out the saves of a segment on a connection in a transaction.

Invariants against other processes (each statement sees what was committed before it):

1. The rows of the threads are locked first, in the order of their ids. Who deletes from a
   thread holds the lock exclusively, so a save waits and then sees the tombstone.
2. Tombstones are read after the lock. A row whose thread or step has one is not written,
   and the blob of such an element goes to the deletion queue.
3. A thread that vanishes in between makes the foreign key fail; the batch is then planned
   again and meets its tombstone.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, bindparam, delete, select, update

from .._internal import json as _json
from .._internal.timestamps import instant_of
from ..dialects import Dialect
from ..errors import NotTheAuthor, RejectedRow
from ..models import elements, feedbacks, steps, threads, tombstones, users
from . import deletion_queue
from .operations import printable_id
from .planner import Key, RowChange, Segment, ThreadChange, group_by_columns

log = logging.getLogger(__name__)


_EMPTY = _json.JsonText("{}")
STEP_DEFAULTS: Mapping[str, str | bool] = {
    "name": "",
    "type": "undefined",
    "streaming": False,
    "metadata": _EMPTY,
}
_ELEMENT_DEFAULTS = {"name": "", "type": "file"}
_ELEMENT = "element "


@dataclass(slots=True)
class _Threads:
    """What the database knows of the threads of a segment."""

    rows: dict[str, Any]
    dead: Collection[str]
    """Threads that were deleted and stay so."""
    revived: Mapping[str, datetime]
    """Threads that come back in this segment, and when they were deleted."""
    deleted_steps: Collection[Key]
    deleted_elements: Mapping[Key, datetime]
    """Elements that were deleted, and when: what was sent before that is not written."""

    def takes_element(self, key: Key, row: RowChange) -> bool:
        """Whether an element may be written."""
        thread_id, id = key
        for deleted in (
            self.deleted_elements.get((thread_id, element_tombstone_id(id))),
            self.deleted_elements.get((thread_id, element_tombstone_id(""))),
            self.revived.get(thread_id),
        ):
            if deleted is not None and instant_of(row.ordinal) <= deleted:
                return False
        return self.takes(key, row, row.values.get("forId") or "")

    def takes(self, key: Key, row: RowChange, step_id: str | None = None) -> bool:
        """Whether a row may be written: neither its thread nor its step was deleted."""
        thread_id, id = key
        if thread_id in self.dead or (thread_id in self.revived and row.before_revival):
            return False
        return (thread_id, step_id or id) not in self.deleted_steps


def execute_saves(connection: Connection, dialect: Dialect, segment: Segment) -> bool:
    """Write the saves of a segment.

    Args:
        connection: In a transaction.
        dialect: The database's dialect.
        segment: The changes.

    Returns:
        Whether blobs were put into the deletion queue.

    Raises:
        RejectedRow: A thread's new owner is unknown, or a client reached for somebody
            else's thread.
    """
    _save_users(connection, dialect, segment)
    if not segment.threads:
        return False
    known = _look_up(connection, segment)
    _refuse_strangers(segment, known)
    alive_steps = [(key, row) for key, row in segment.steps.items() if known.takes(key, row)]
    _save_threads(connection, dialect, segment, known, dict(alive_steps))
    _refuse_strangers(segment, known)  # Somebody may have made one meanwhile.
    _save_rows(connection, dialect, steps, alive_steps, STEP_DEFAULTS)
    lost = _save_elements(connection, dialect, segment, known)
    alive_feedbacks = [
        (key, row) for key, row in segment.feedbacks.items() if known.takes(key, row)
    ]
    _save_rows(connection, dialect, feedbacks, alive_feedbacks, {}, key="forId")
    return deletion_queue.enqueue(connection, dialect, lost)


def lock_threads(
    connection: Connection, ids: Iterable[str], *, exclusive: bool
) -> Mapping[str, Any]:
    """Lock the rows of threads, always in the same order.

    Args:
        connection: In a transaction.
        ids: The threads; those that do not exist are passed over.
        exclusive: Against saves too, for deletions.

    Returns:
        The rows by id: id, updatedAt and userIdentifier.
    """
    columns = threads.c
    query = (
        select(columns.id, columns.updatedAt, columns.userIdentifier)
        .where(columns.id.in_(sorted(set(ids))))
        .order_by(columns.id)
        .with_for_update(key_share=not exclusive)
    )
    return {row.id: row for row in connection.execute(query)}


def bump_row_versions(connection: Connection, ids: Collection[str]) -> None:
    """Give the rows of locked threads a new version, and no other value.

    A fast batch in another process, whose snapshot may be older than its lock, sees by the version
    that something happened: see `chainlit_sqla.dialects.postgresql.fast_batch`.

    Args:
        connection: In a transaction.
        ids: The threads.
    """
    if ids:
        same = update(threads).values(updatedAt=threads.c.updatedAt)
        connection.execute(same.where(threads.c.id.in_(ids)))


def element_tombstone_id(id: str) -> str:
    """The id of an element's tombstone, which lies among those of the steps.

    Args:
        id: The element.
    """
    return _ELEMENT + id


def batched(ids: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """Cut ids into pieces that one statement can take.

    Args:
        ids: Any number.
        size: The length of a piece at most.
    """
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


def _look_up(connection: Connection, segment: Segment) -> _Threads:
    rows = lock_threads(connection, segment.threads, exclusive=False)
    ids = {id for _, id in segment.steps} | {for_id for _, for_id in segment.feedbacks}
    ids |= {row.values.get("forId") or "" for row in segment.elements.values()} | {""}
    ids |= {element_tombstone_id(id) for _, id in segment.elements} | {element_tombstone_id("")}
    columns = tombstones.c
    query = select(columns.threadId, columns.id, columns.deletedAt).where(
        columns.threadId.in_(list(segment.threads)), columns.id.in_(sorted(ids))
    )
    found = {(thread_id, id): at for thread_id, id, at in connection.execute(query)}
    deleted = {thread_id for thread_id, id in found if not id}
    revived = {id: found[id, ""] for id in deleted if segment.threads[id].revival}
    for id in deleted - revived.keys():
        log.info("Thread %s was deleted: a late write to it is dropped", id)
    of_elements = {key: at for key, at in found.items() if key[1].startswith(_ELEMENT)}
    of_steps = {key for key in found if key[1]} - of_elements.keys()
    return _Threads(dict(rows), deleted - revived.keys(), revived, of_steps, of_elements)


def _save_users(connection: Connection, dialect: Dialect, segment: Segment) -> None:
    groups: dict[frozenset[str], list[dict[str, Any]]] = {}
    for identifier, op in segment.users.items():
        record = {"identifier": identifier, "createdAt": op.at, **op.values}
        groups.setdefault(frozenset(record), []).append(record)
    for names, records in groups.items():
        changed = names - {"id", "identifier", "createdAt"}
        statement = dialect.upsert(users, ["identifier"], sorted(changed))
        connection.execute(statement, records)


def _save_threads(
    connection: Connection,
    dialect: Dialect,
    segment: Segment,
    known: _Threads,
    alive_steps: Mapping[Key, RowChange],
) -> None:
    if known.revived:
        # What was sent before the deletion, and is still uploading, stays deleted.
        of_thread = tombstones.c.threadId.in_(known.revived) & (tombstones.c.id == "")
        rows = [
            {"threadId": id, "id": element_tombstone_id(""), "deletedAt": at}
            for id, at in known.revived.items()
        ]
        bury = dialect.upsert(tombstones, ["threadId", "id"], ["deletedAt"])
        connection.execute(bury, rows)
        connection.execute(delete(tombstones).where(of_thread))
    _make_missing(connection, dialect, segment, known)
    activity = latest_activity(alive_steps)
    identifiers = _identifiers(connection, segment)
    metadata = _metadata(connection, segment)
    groups: dict[frozenset[str], list[dict[str, Any]]] = {}
    for id, row in known.rows.items():
        change = segment.threads[id]
        changes = _thread_changes(change, identifiers, metadata.get(id))
        if (moved := activity.get(id)) and moved > row.updatedAt:
            changes["updatedAt"] = moved
        if changes:
            record = {"the_id": id} | {f"new_{name}": v for name, v in changes.items()}
            groups.setdefault(frozenset(changes), []).append(record)
    for names, rows in groups.items():
        statement = (
            update(threads)
            .where(threads.c.id == bindparam("the_id"))
            .values({name: bindparam(f"new_{name}") for name in names})
        )
        connection.execute(statement, rows)


def _make_missing(
    connection: Connection,
    dialect: Dialect,
    segment: Segment,
    known: _Threads,
) -> None:
    """Insert threads that are not there; another process may do the same."""
    stubs: dict[str, dict[str, Any]] = {}
    for id, change in segment.threads.items():
        if id not in known.rows and id not in known.dead:
            at = (change.revival or change.at) if id in known.revived else change.at
            stubs[id] = {"id": id, "createdAt": at, "updatedAt": at, "metadata": _EMPTY}
    if not stubs:
        return
    statement = dialect.upsert(threads, ["id"], [])
    connection.execute(statement, list(stubs.values()))
    known.rows.update(lock_threads(connection, stubs, exclusive=False))


def latest_activity(alive_steps: Mapping[Key, RowChange]) -> Mapping[str, datetime]:
    """The instant of the newest message in each thread that has one.

    Args:
        alive_steps: Steps that are written.
    """
    latest: dict[str, datetime] = {}
    for (thread_id, _), row in alive_steps.items():
        if row.activity:
            latest[thread_id] = max(row.activity, latest.get(thread_id, row.activity))
    return latest


def _identifiers(connection: Connection, segment: Segment) -> Mapping[str, str]:
    given = (change.values.get("userId") for change in segment.threads.values())
    ids = {id for id in given if id is not None}
    if not ids:
        return {}
    query = select(users.c.id, users.c.identifier).where(users.c.id.in_(ids))
    found = {row.id: row.identifier for row in connection.execute(query)}
    if missing := ids - set(found):
        raise RejectedRow(
            f"There is no user with the id {min(missing)!r}; "
            "call create_user first and pass the id of the user it returns"
        )
    return found


def _metadata(connection: Connection, segment: Segment) -> Mapping[str, Any]:
    """The documents to be changed; they can be large, so only those are read."""
    ids = [id for id, change in segment.threads.items() if change.metadata]
    if not ids:
        return {}
    query = select(threads.c.id, threads.c.metadata).where(threads.c.id.in_(ids))
    return {row.id: row.metadata for row in connection.execute(query)}


def _thread_changes(
    change: ThreadChange, identifiers: Mapping[str, str], metadata: Mapping[str, Any] | None
) -> dict[str, Any]:
    changes = dict(change.values)
    if user_id := changes.get("userId"):
        changes["userIdentifier"] = identifiers[user_id]
    if change.metadata:
        merged = {**(metadata or {}), **change.metadata}
        changes["metadata"] = {name: v for name, v in merged.items() if v is not None}
    return changes


def _save_rows(
    connection: Connection,
    dialect: Dialect,
    table: Table,
    rows: Sequence[tuple[Key, RowChange]],
    defaults: Mapping[str, Any],
    key: str = "id",
) -> None:
    """Upsert rows, one statement for each set of columns given."""
    _merge_extra(connection, table, rows)
    for given, group in group_by_columns(rows).items():
        records = []
        for (thread_id, id), row in group:
            record = {"threadId": thread_id, key: id, "createdAt": row.at, **defaults}
            if row.ordinal:
                record["ordinal"] = row.ordinal
            records.append(record | row.values)
        statement = dialect.upsert(table, ["threadId", key], sorted(given))
        connection.execute(statement, records)


def _merge_extra(
    connection: Connection, table: Table, rows: Sequence[tuple[Key, RowChange]]
) -> None:
    """Complete the ``extra`` documents given with the members stored before."""
    given = {key: row for key, row in rows if row.extra}
    if not given:
        return
    query = select(table.c.threadId, table.c.id, table.c.extra).where(
        table.c.threadId.in_({thread_id for thread_id, _ in given}),
        table.c.id.in_({id for _, id in given}),
    )
    stored = {(thread_id, id): extra for thread_id, id, extra in connection.execute(query)}
    for key, row in given.items():
        row.values["extra"] = {**(stored.get(key) or {}), **row.extra}


def _save_elements(
    connection: Connection, dialect: Dialect, segment: Segment, known: _Threads
) -> list[str]:
    """Write elements; return the keys of blobs that nothing points at any more."""
    alive: list[tuple[Key, RowChange]] = []
    lost: list[str] = []
    for key, row in segment.elements.items():
        if known.takes_element(key, row):
            alive.append((key, row))
        elif object_key := row.values.get("objectKey"):
            lost.append(object_key)
    if alive:
        lost += _replaced_blobs(connection, alive)
        _save_rows(connection, dialect, elements, alive, _ELEMENT_DEFAULTS)
        _keep_blobs(connection, dialect, alive)
    return lost


def _keep_blobs(
    connection: Connection, dialect: Dialect, rows: Sequence[tuple[Key, RowChange]]
) -> None:
    """Take blobs that rows have now out of the deletion queue.

    A batch whose commit was not answered is repeated: an earlier operation of it then meets
    the row of a later one, and takes that one's blob for replaced or deleted.
    """
    keys = [key for _, row in rows if (key := row.values.get("objectKey"))]
    for some in batched(keys, dialect.max_parameters):
        deletion_queue.dequeue(connection, some)


def _refuse_strangers(segment: Segment, known: _Threads) -> None:
    """A client may name any thread; Chainlit does not always check whose it is."""
    for thread_id, actor in sorted(segment.claims):
        owner = known.rows[thread_id].userIdentifier if thread_id in known.rows else None
        if owner is not None and owner != actor:
            raise NotTheAuthor(
                f"{actor!r} is not the author of thread {printable_id(thread_id)}; "
                "nothing was changed in it, log in as its author"
            )


def _replaced_blobs(connection: Connection, rows: Sequence[tuple[Key, RowChange]]) -> list[str]:
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
        old
        for thread_id, id, old in connection.execute(query)
        if (row := replacing.get((thread_id, id))) and row.values["objectKey"] != old
    ]
