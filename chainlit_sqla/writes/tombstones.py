"""Tombstones and the locks of threads: what was deleted stays deleted, whoever writes to it later.

Each deleted thread, step and element has a tombstone. They are read after the thread's row is
locked, so a deletion in another process is either seen or waits. Only a write that names the
owner of a deleted thread restores it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, select, update

from .._internal.timestamps import instant_of
from ..dialects import Dialect
from ..errors import ThreadDeleted
from ..models import threads, tombstones
from .merge_operations import Key, RowChange, Segment
from .operations import SaveThread, describe

_ELEMENT = "element "


@dataclass(slots=True)
class StoredThreads:
    """The stored state of the threads of a segment, with the locked rows.

    ``tombstoned`` are threads that stay deleted; the segment restores the others. ``restored`` and
    ``deleted_elements`` have the times of deletion: what was sent earlier is not written.
    """

    rows: dict[str, Any]
    tombstoned: Collection[str]
    restored: Mapping[str, datetime]
    deleted_steps: Collection[Key]
    deleted_elements: Mapping[Key, datetime]

    def accepts_element(self, key: Key, row: RowChange) -> bool:
        """Whether an element may be written."""
        thread_id, id = key
        for deleted_at in (
            self.deleted_elements.get((thread_id, element_tombstone_id(id))),
            self.deleted_elements.get((thread_id, element_tombstone_id(""))),
            self.restored.get(thread_id),
        ):
            if deleted_at is not None and instant_of(row.ordinal) <= deleted_at:
                return False
        return self.accepts(key, row, row.values.get("forId") or "")

    def accepts(self, key: Key, row: RowChange, step_id: str | None = None) -> bool:
        """Whether a row may be written: neither its thread nor its step was deleted."""
        thread_id, id = key
        if thread_id in self.tombstoned or (thread_id in self.restored and row.before_restore):
            return False
        return (thread_id, id if step_id is None else step_id) not in self.deleted_steps


def lock_stored_threads(connection: Connection, segment: Segment) -> StoredThreads:
    """Lock the threads of a segment, then read their tombstones."""
    rows = lock_threads(connection, segment.threads, exclusive=False)
    ids = {id for _, id in segment.steps} | {for_id for _, for_id in segment.feedbacks}
    ids |= {row.values.get("forId") or "" for row in segment.elements.values()} | {""}
    ids |= {element_tombstone_id(id) for _, id in segment.elements} | {element_tombstone_id("")}
    columns = tombstones.c
    query = select(columns.threadId, columns.id, columns.deletedAt).where(
        columns.threadId.in_(list(segment.threads)), columns.id.in_(sorted(ids))
    )
    deleted = {(thread_id, id): at for thread_id, id, at in connection.execute(query)}
    deleted_threads = {thread_id for thread_id, id in deleted if not id}
    restored = {id: deleted[id, ""] for id in deleted_threads if segment.threads[id].restored_at}
    deleted_elements = {key: at for key, at in deleted.items() if key[1].startswith(_ELEMENT)}
    deleted_steps = {key for key in deleted if key[1]} - deleted_elements.keys()
    return StoredThreads(
        dict(rows), deleted_threads - restored.keys(), restored, deleted_steps, deleted_elements
    )


def late_results(
    segments: Iterable[Segment], deleted_ids: Collection[str]
) -> Mapping[int, ThreadDeleted]:
    """Return the saves in deleted threads before these are restored, by position, as errors."""
    results: dict[int, ThreadDeleted] = {}
    late_ids = set(deleted_ids)
    if not late_ids:
        return results
    for segment in segments:
        for position, op in segment.saves:
            if op.thread_id not in late_ids or op.thread_id is None:
                continue
            if isinstance(op, SaveThread) and op.restores:
                late_ids.remove(op.thread_id)
            else:
                results[position] = ThreadDeleted(
                    f"Not written: {describe(op)}: the thread was deleted; begin a new one",
                    op.thread_id,
                )
    return results


def restore_threads(
    connection: Connection, dialect: Dialect, restored: Mapping[str, datetime]
) -> None:
    """Remove the tombstones of restored threads."""
    if restored:
        # Elements sent before the deletion, whose upload is not finished yet, stay deleted.
        add_tombstones(connection, dialect, restored, [element_tombstone_id("")])
        of_threads = tombstones.c.threadId.in_(restored) & (tombstones.c.id == "")
        connection.execute(delete(tombstones).where(of_threads))


def add_tombstones(
    connection: Connection,
    dialect: Dialect,
    deleted_at_by_thread: Mapping[str, datetime],
    ids: Collection[str],
) -> None:
    """Write tombstones with these ids in each thread; the id "" is that of the thread itself."""
    records = [
        {"threadId": thread_id, "id": id, "deletedAt": deleted_at}
        for thread_id, deleted_at in deleted_at_by_thread.items()
        for id in ids
    ]
    connection.execute(dialect.upsert(tombstones, ["threadId", "id"], ["deletedAt"]), records)


def element_tombstone_id(id: str) -> str:
    """Return the id of an element's tombstone, distinct from those of steps."""
    return _ELEMENT + id


# Locks order writes against deletions of other processes.


def lock_threads(
    connection: Connection, ids: Iterable[str], *, exclusive: bool
) -> Mapping[str, Any]:
    """Lock and return the rows of those threads that exist, always in the same order.

    A deletion locks exclusively, which excludes saves, too.
    """
    columns = threads.c
    query = (
        select(columns.id, columns.updatedAt, columns.userIdentifier)
        .where(columns.id.in_(sorted(set(ids))))
        .order_by(columns.id)
        .with_for_update(key_share=not exclusive)
    )
    return {row.id: row for row in connection.execute(query)}


def locked_threads(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Return the ids of those threads whose rows other transactions have locked, without waiting.

    Databases that lock no rows have none.
    """
    query = select(threads.c.id).where(threads.c.id.in_(ids))
    existing = set(connection.scalars(query))
    return existing.difference(
        connection.scalars(query.with_for_update(key_share=True, skip_locked=True))
    )


def bump_row_versions(connection: Connection, ids: Collection[str]) -> None:
    """Give the rows of locked threads a new version without changing a value.

    A fast batch in another process, whose snapshot may be older than its lock, detects the change
    by the version: see `chainlit_sqla.dialects.postgresql.fast_batch`.
    """
    if ids:
        same = update(threads).values(updatedAt=threads.c.updatedAt)
        connection.execute(same.where(threads.c.id.in_(ids)))


def batched(ids: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """Split ids into portions for one statement each."""
    for start in range(0, len(ids), size):
        yield ids[start : start + size]
