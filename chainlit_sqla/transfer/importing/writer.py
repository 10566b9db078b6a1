"""`ImportTarget`: writes records into a database of ours, which may be in use.

Invariants:

- A chunk is one transaction. The resume token is written after its batch: what comes between is
  written again.
- A row that exists stays unchanged, unless the source is to win (``update``). So writing a chunk
  again changes nothing.
- A user with a known identifier keeps the id of the target, and gets the threads of the source's
  user. An id that another user has in the target is replaced.
- Nothing is written into a thread that belongs to another user in the target, whatever the source
  says: such rows are quarantined. So are elements whose object key is another one's.
- What was deleted in the target stays deleted: tombstones are read after the threads are locked,
  as `chainlit_sqla.writes.execute_saves` does.
- A row that the database refuses is found by bisection and quarantined; the others are written.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ..._internal.retry import bisect, retry
from ..._internal.timestamps import instant_of
from ...database import Database
from ...dialects import one_line
from ...models import elements, imports, steps, threads, tombstones, users
from ...writes.tombstones import bump_row_versions, element_tombstone_id, lock_threads
from ..records import COLUMNS, IN_THREADS, KEYS, TABLES, Record, sorted_by_kind
from ..sources import FOREIGN_THREAD, Chunk, QuarantinedRow, write_quarantine
from .object_keys import FOREIGN_KEY, find_foreign_keys
from .ownership import Ownership, imported_columns

log = logging.getLogger(__name__)

ATTEMPTS = 6
"""How often a transaction is tried while the database is unavailable or busy."""
_DELETED_IN_SOURCE = (
    "it was deleted in the source, and still exists in the target; delete it there as well"
)
_MOVE_ACTIVITY = (
    update(threads)
    .where(threads.c.id == bindparam("the_id"), threads.c.updatedAt < bindparam("moved"))
    .values(updatedAt=bindparam("moved"))
)

T = TypeVar("T")
Tombstones = Mapping[tuple[str, str], datetime]
"""When something was deleted, by the thread and the id of its tombstone."""


@dataclass(slots=True)
class Written:
    """What became of a chunk of records."""

    refused: list[QuarantinedRow] = field(default_factory=list)
    deleted: int = 0
    """Rows that were deleted in the target, or belong to what was."""


class ImportTarget:
    """Writes records into a database of ours; with ``update`` they replace different rows."""

    def __init__(self, database: Database, source_title: str, *, update: bool = False) -> None:
        self.ownership = Ownership()
        self._database = database
        self._dialect = database.dialect
        self._source_title = source_title
        self._update = update

    async def write(self, chunk: Chunk) -> Written:
        """Write a chunk, and what cannot be written into the quarantine."""
        written = Written()

        async def write_some(records: Sequence[Record]) -> None:
            part = await self._transact(lambda connection: self._write(connection, records))
            written.refused += part.refused
            written.deleted += part.deleted

        def refuse(record: Record, error: Exception) -> None:
            reason = f"the database refuses it: {one_line(error)}"
            written.refused.append(_quarantined(record, reason))

        with self._database.translated_errors():
            await bisect(chunk.records, write_some, self._dialect.is_refusal, refuse)
            if rows := [*chunk.quarantined, *written.refused]:
                await self._transact(
                    lambda connection: write_quarantine(
                        connection, self._dialect, self._source_title, rows
                    )
                )
        return written

    async def save_progress(self, progress: Mapping[str, Any]) -> None:
        """Write a row of the table of imports."""
        changed = [name for name in progress if name not in ("id", "startedAt")]
        statement = self._dialect.upsert(imports, ["id"], changed)
        with self._database.translated_errors():
            await self._transact(
                lambda connection: self._dialect.execute_many(connection, statement, [progress])
            )

    async def refresh_statistics(self) -> None:
        """Let the database plan queries for the rows that it has now."""
        schema = self._database.schema
        try:
            async with self._database.write() as connection:
                await self._dialect.refresh_statistics(connection, TABLES.values(), schema)
        except self._dialect.errors as error:  # Queries are only slower until it does it itself.
            log.info("Statistics not refreshed: %s", one_line(error))

    async def _transact(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Run a transaction; repeat it while the database is unavailable or busy."""

        async def once() -> T:
            async with self._database.write() as connection:
                return await work(connection)

        return await retry(
            once,
            self._dialect.is_transient,
            attempts=ATTEMPTS,
            first_pause=0.2,
            longest_pause=10.0,
            on_retry=lambda error, pause: log.warning(
                "Not written, next attempt in %.1f s: %s", pause, one_line(error)
            ),
        )

    async def _write(self, connection: AsyncConnection, records: Sequence[Record]) -> Written:
        written, by_kind = Written(), sorted_by_kind(records)
        if user_records := by_kind.pop("user", None):
            await self._write_users(connection, user_records)
        if tombstone_records := by_kind.pop("tombstone", None):
            await self._write_tombstones(connection, tombstone_records, written)
        if by_kind:
            await self._write_threads(connection, by_kind, written)
        return written

    async def _write_users(self, connection: AsyncConnection, records: Sequence[Record]) -> None:
        await self.ownership.match_users(connection, records)
        rows_by_columns: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        for record in records:
            changed = imported_columns(record) if self._update else ()
            row = dict(self.ownership.adapt(record).values)
            rows_by_columns.setdefault(changed, []).append(row)
        for changed, rows in rows_by_columns.items():
            statement = self._dialect.upsert(users, ["identifier"], changed)
            await self._dialect.execute_many(connection, statement, rows)

    async def _write_tombstones(
        self, connection: AsyncConnection, records: Sequence[Record], written: Written
    ) -> None:
        """Write tombstones, but for what exists: it would take no more writes."""
        existing = await _existing_keys(connection, [record.key[1:] for record in records])
        written.refused += [
            _quarantined(record, _DELETED_IN_SOURCE)
            for record in records
            if record.key[1:] in existing
        ]
        missing = [record for record in records if record.key[1:] not in existing]
        await self._upsert(connection, "tombstone", missing, replaces=self._update)

    async def _write_threads(
        self,
        connection: AsyncConnection,
        by_kind: Mapping[str, Sequence[Record]],
        written: Written,
    ) -> None:
        """Insert missing threads and lock all, then write into those of the same owner."""
        ids = sorted({record.thread_id or "" for records in by_kind.values() for record in records})
        thread_records = [self.ownership.adapt(record) for record in by_kind.get("thread", ())]
        self.ownership.add_threads(thread_records)
        deleted = await read_tombstones(connection, ids)
        kept = [record for record in thread_records if not is_tombstoned(record, deleted)]
        await self._upsert(connection, "thread", kept, replaces=False)
        await connection.run_sync(lock_threads, ids, exclusive=False)
        await self.ownership.check(connection, ids)
        # Read again, now that nobody can delete from these threads.
        deleted = await read_tombstones(connection, ids)
        element_records = by_kind.get("element", ())
        foreign = await find_foreign_keys(connection, element_records, self.ownership.owners)
        for kind in ("thread", *IN_THREADS):
            own = []
            for record in by_kind.get(kind, ()):
                if record.thread_id in self.ownership.foreign:
                    written.refused.append(_quarantined(record, FOREIGN_THREAD))
                elif is_tombstoned(record, deleted):
                    written.deleted += 1
                elif record.key in foreign:
                    written.refused.append(_quarantined(record, FOREIGN_KEY))
                else:
                    own.append(self.ownership.adapt(record))
            if kind == "thread" and not self._update:
                await self._move_activity(connection, own)
            else:
                await self._upsert(connection, kind, own, replaces=self._update)
        await connection.run_sync(bump_row_versions, ids)

    async def _upsert(
        self, connection: AsyncConnection, kind: str, records: Sequence[Record], *, replaces: bool
    ) -> None:
        if not records:
            return
        keys = KEYS[kind]
        changed = [name for name in COLUMNS[kind] if name not in keys] if replaces else []
        statement = self._dialect.upsert(TABLES[kind], keys, changed)
        rows = [dict(record.values) for record in records]
        await self._dialect.execute_many(connection, statement, rows)

    async def _move_activity(self, connection: AsyncConnection, records: Sequence[Record]) -> None:
        """Move up threads that existed and have gone on in the source."""
        rows = [
            {"the_id": record.values["id"], "moved": record.values["updatedAt"]}
            for record in records
        ]
        if rows:
            await self._dialect.execute_many(connection, _MOVE_ACTIVITY, rows)


async def read_tombstones(connection: AsyncConnection, ids: Collection[str]) -> Tombstones:
    """Read the tombstones of some threads."""
    columns = tombstones.c.threadId, tombstones.c.id, tombstones.c.deletedAt
    query = select(*columns).where(tombstones.c.threadId.in_(ids))
    return {(thread_id, id): at for thread_id, id, at in await connection.execute(query)}


def is_tombstoned(record: Record, deleted: Tombstones) -> bool:
    """Whether a record of a thread, or what it belongs to, is among the tombstones."""
    thread_id, values = record.thread_id or "", record.values
    if record.kind == "thread":
        ids = [""]
    elif record.kind == "step":
        ids = ["", values["id"]]
    elif record.kind == "feedback":
        ids = ["", values["forId"]]
    else:
        ids = ["", values["forId"] or "", element_tombstone_id(values["id"])]
        # What was sent to a thread before it was deleted, where the thread is restored.
        at = deleted.get((thread_id, element_tombstone_id("")))
        if at is not None and instant_of(values["ordinal"]) <= at:
            return True
    return any((thread_id, id) in deleted for id in ids)


async def _existing_keys(
    connection: AsyncConnection, keys: Collection[tuple[str, ...]]
) -> set[tuple[str, ...]]:
    thread_ids = {thread_id for thread_id, _ in keys}
    query = select(threads.c.id).where(threads.c.id.in_(thread_ids))
    existing: set[tuple[str, ...]] = {(id, "") for id in await connection.scalars(query)}
    for table, prefix in ((steps, ""), (elements, element_tombstone_id(""))):
        ids = {id.removeprefix(prefix) for _, id in keys if id.startswith(prefix)}
        rows = await connection.execute(
            select(table.c.threadId, table.c.id).where(
                table.c.threadId.in_(thread_ids), table.c.id.in_(ids)
            )
        )
        existing |= {(thread_id, prefix + id) for thread_id, id in rows}
    return existing


def _quarantined(record: Record, reason: str) -> QuarantinedRow:
    return QuarantinedRow(record.kind, TABLES[record.kind].name, reason, record.values)
