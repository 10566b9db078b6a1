"""`ImportTarget`: writes records into a database of ours, which may be in use.

Invariants:

- A chunk is one transaction. The resume token is written after its batch: what comes between is
  written again.
- A row that exists stays unchanged, unless the source is to win (``update``). So writing a chunk
  again changes nothing.
- A user with a known identifier keeps the id of the target, and gets the threads of the source's
  user. An id that another user has in the target is replaced.
- Nothing is written into a thread that belongs to another user in the target, whatever the source
  says: such rows are quarantined.
- What was deleted in the target stays deleted: tombstones are read after the threads are locked,
  as `chainlit_sqla.writes.execute_saves` does.
- A row that the database refuses is found by bisection and quarantined; the others are written.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ..._internal.retry import bisect, retry
from ..._internal.timestamps import instant_of
from ...database import Database
from ...dialects import ErrorKind, one_line
from ...models import elements, imports, steps, threads, tombstones, users
from ...writes.tombstones import bump_row_versions, element_tombstone_id, lock_threads
from ..records import COLUMNS, IN_THREADS, KEYS, TABLES, Record, sorted_by_kind
from ..sources import QuarantinedRow, write_quarantine
from .ownership import ThreadOwners, imported_columns

log = logging.getLogger(__name__)

ATTEMPTS = 6
"""How often a transaction is tried while the database is unavailable or busy."""
_IDS = uuid.UUID("5a1c7a4e-4e0b-5a5e-9d3c-5b1f0a6b7c21")
_DELETED_IN_SOURCE = (
    "it was deleted in the source, and still exists in the target; delete it there as well"
)

T = TypeVar("T")
Tombstones = Mapping[tuple[str, str], datetime]
"""When something was deleted, by the thread and the id of its tombstone."""


async def retry_transient(database: Database, work: Callable[[], Awaitable[T]]) -> T:
    """Repeat work while the database is unavailable or other transactions are in the way.

    Args:
        database: The database.
        work: One transaction.

    Returns:
        The result of the work.

    Raises:
        DatabaseUnavailable: The database stayed unavailable.
    """

    def is_transient(error: BaseException) -> bool:
        is_database_error = isinstance(error, database.dialect.errors)
        return is_database_error and database.dialect.classify(error) is ErrorKind.TRANSIENT

    def log_retry(error: BaseException, pause: float) -> None:
        log.warning("Not written, next attempt in %.1f s: %s", pause, one_line(error))

    try:
        return await retry(
            work,
            is_transient,
            attempts=ATTEMPTS,
            first_pause=0.2,
            longest_pause=10.0,
            on_retry=log_retry,
        )
    except database.dialect.errors as error:
        if is_transient(error):
            raise database.translate(error) from error
        raise


@dataclass(slots=True)
class Written:
    """What became of a chunk of records.

    Args:
        refused: Rows that could not be written.
        deleted: Rows that were deleted in the target, or belong to what was.
        known_users: Users whose identifier the target has.
    """

    refused: list[QuarantinedRow] = field(default_factory=list)
    deleted: int = 0
    known_users: int = 0


class ImportTarget:
    """Writes records into a database of ours.

    Args:
        database: The database, at this release's revision.
        source_title: Where the records come from, for the quarantine.
        update: Whether a row of the source replaces a different one.

    Example:
        >>> target = ImportTarget(database, "old.db")
        >>> written = await target.write(chunk.records)
    """

    def __init__(self, database: Database, source_title: str, *, update: bool = False) -> None:
        self.database = database
        self.owners = ThreadOwners()
        self._dialect = database.dialect
        self._source_title = source_title
        self._update = update
        self._target_ids: dict[str, str] = {}
        """The ids of users in the target, where the source has other ones."""

    def adapt(self, record: Record) -> Record:
        """The record as it is stored in the target, once its user is written."""
        name = {"user": "id", "thread": "userId"}.get(record.kind)
        id = self._target_ids.get(record.values[name]) if name else None
        if name is None or id is None:
            return record
        return replace(record, values={**record.values, name: id})

    async def match_users(self, connection: AsyncConnection, records: Sequence[Record]) -> int:
        """Find the ids that users of the source have in the target.

        Args:
            connection: A connection to the target.
            records: Users of the source.

        Returns:
            The number of users whose identifier the target has.
        """
        names = [record.values["identifier"] for record in records]
        ids = [record.values["id"] for record in records]
        query = select(users.c.identifier, users.c.id)
        stored = await connection.execute(
            query.where(users.c.identifier.in_(names) | users.c.id.in_(ids))
        )
        id_of = {row.identifier: row.id for row in stored}
        taken_ids = set(id_of.values())
        known_users = len(id_of.keys() & set(names))
        for record in records:
            id, name = record.values["id"], record.values["identifier"]
            target_id = id_of.get(name, id)
            if name not in id_of and id in taken_ids:
                target_id = str(uuid.uuid5(_IDS, f"{id} {name}"))  # The same in each run.
            id_of[name] = target_id  # Two users with one identifier are one.
            if target_id != id:
                self._target_ids[id] = target_id
        return known_users

    async def write(self, records: Sequence[Record]) -> Written:
        """Write a chunk.

        Args:
            records: Parents before what belongs to them.

        Raises:
            DatabaseUnavailable: The database stayed unavailable.
            SchemaOutdated: A table is missing.
        """
        written = Written()

        async def write_some(some: Sequence[Record]) -> None:
            part = await retry_transient(self.database, lambda: self._write(some))
            written.refused += part.refused
            written.deleted += part.deleted
            written.known_users += part.known_users

        def is_refusal(error: Exception) -> bool:
            refusals = (ErrorKind.REJECTED, ErrorKind.REPEAT)
            is_database_error = isinstance(error, self._dialect.errors)
            return is_database_error and self._dialect.classify(error) in refusals

        def quarantine(record: Record, error: Exception) -> None:
            reason = f"the database refuses it: {one_line(error)}"
            written.refused.append(_quarantined(record, reason))

        try:
            await bisect(records, write_some, is_refusal, quarantine)
        except self._dialect.errors as error:
            raise self.database.translate(error) from error
        return written

    async def save(
        self, quarantined: Sequence[QuarantinedRow] = (), progress: Mapping[str, Any] | None = None
    ) -> None:
        """Write what belongs to no thread.

        Args:
            quarantined: Rows for the quarantine.
            progress: A row of the table of imports.

        Raises:
            DatabaseUnavailable: The database stayed unavailable.
        """
        if not quarantined and not progress:
            return
        try:
            await retry_transient(self.database, lambda: self._save(quarantined, progress))
        except self._dialect.errors as error:
            raise self.database.translate(error) from error

    async def _save(
        self, quarantined: Sequence[QuarantinedRow], progress: Mapping[str, Any] | None
    ) -> None:
        async with self.database.write() as connection:
            await write_quarantine(connection, self._dialect, self._source_title, quarantined)
            if progress:
                changed = [name for name in progress if name not in ("id", "startedAt")]
                statement = self._dialect.upsert(imports, ["id"], changed)
                await self._dialect.execute_many(connection, statement, [dict(progress)])

    async def refresh_statistics(self) -> None:
        """Let the database plan queries for the rows that it has now."""
        try:
            async with self.database.write() as connection:
                await self._dialect.refresh_statistics(
                    connection, TABLES.values(), self.database.schema
                )
        except self._dialect.errors as error:  # Queries are only slower until it does it itself.
            log.info("Statistics not refreshed: %s", one_line(error))

    async def _write(self, records: Sequence[Record]) -> Written:
        written, by_kind = Written(), sorted_by_kind(records)
        async with self.database.write() as connection:
            if user_records := by_kind.get("user"):
                written.known_users = await self._write_users(connection, user_records)
            if tombstone_records := by_kind.get("tombstone"):
                await self._write_tombstones(connection, tombstone_records, written)
            if by_kind.keys() - {"user", "tombstone"}:
                await self._write_threads(connection, by_kind, written)
        return written

    async def _write_users(self, connection: AsyncConnection, records: Sequence[Record]) -> int:
        known_users = await self.match_users(connection, records)
        rows_by_columns: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        for record in records:
            changed = imported_columns(record) if self._update else ()
            rows_by_columns.setdefault(changed, []).append(dict(self.adapt(record).values))
        for changed, rows in rows_by_columns.items():
            statement = self._dialect.upsert(users, ["identifier"], changed)
            await self._dialect.execute_many(connection, statement, rows)
        return known_users

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
        await self._upsert(connection, "tombstone", missing)

    async def _write_threads(
        self,
        connection: AsyncConnection,
        by_kind: Mapping[str, Sequence[Record]],
        written: Written,
    ) -> None:
        records = [record for kind in ("thread", *IN_THREADS) for record in by_kind.get(kind, ())]
        ids = sorted({record.thread_id or "" for record in records})
        query = select(tombstones.c.threadId).where(
            tombstones.c.threadId.in_(ids), tombstones.c.id == ""
        )
        deleted_ids = set(await connection.scalars(query))
        thread_records = [self.adapt(record) for record in by_kind.get("thread", ())]
        self.owners.add(thread_records)
        foreign = self.owners.foreign
        existing = [record for record in thread_records if record.values["id"] not in deleted_ids]
        written.deleted += len(thread_records) - len(existing)
        if self._update:  # Before threads are changed.
            await connection.run_sync(lock_threads, ids, exclusive=False)
            await self.owners.check(connection, ids)
        own = [record for record in existing if record.values["id"] not in foreign]
        await self._upsert(connection, "thread", own)
        await connection.run_sync(lock_threads, ids, exclusive=False)
        await self.owners.check(connection, ids)
        written.refused += [
            _quarantined(record, self.owners.reason(record.thread_id or ""))
            for record in records
            if record.thread_id in foreign
        ]
        await self._move_activity(
            connection, [record for record in own if record.values["id"] not in foreign]
        )
        # Read again, now that nobody can delete from these threads.
        deleted = await read_tombstones(connection, ids)
        for kind in IN_THREADS:
            rows = [record for record in by_kind.get(kind, ()) if record.thread_id not in foreign]
            kept = [record for record in rows if not is_tombstoned(record, deleted)]
            written.deleted += len(rows) - len(kept)
            await self._upsert(connection, kind, kept)
        await connection.run_sync(bump_row_versions, ids)

    async def _upsert(
        self, connection: AsyncConnection, kind: str, records: Iterable[Record]
    ) -> None:
        rows = [dict(record.values) for record in records]
        if not rows:
            return
        keys = KEYS[kind]
        changed = [name for name in COLUMNS[kind] if name not in keys] if self._update else []
        statement = self._dialect.upsert(TABLES[kind], keys, changed)
        await self._dialect.execute_many(connection, statement, rows)

    async def _move_activity(self, connection: AsyncConnection, records: Sequence[Record]) -> None:
        """Move up threads that existed and have gone on in the source."""
        if self._update or not records:
            return
        statement = (
            update(threads)
            .where(threads.c.id == bindparam("the_id"), threads.c.updatedAt < bindparam("moved"))
            .values(updatedAt=bindparam("moved"))
        )
        rows = [
            {"the_id": record.values["id"], "moved": record.values["updatedAt"]}
            for record in records
        ]
        await self._dialect.execute_many(connection, statement, rows)


async def read_tombstones(connection: AsyncConnection, ids: Collection[str]) -> Tombstones:
    """Read the tombstones of some threads.

    Args:
        connection: A connection to a database of ours.
        ids: The threads.
    """
    columns = tombstones.c.threadId, tombstones.c.id, tombstones.c.deletedAt
    query = select(*columns).where(tombstones.c.threadId.in_(ids))
    return {(thread_id, id): at for thread_id, id, at in await connection.execute(query)}


def is_tombstoned(record: Record, deleted: Tombstones) -> bool:
    """Whether a record was deleted, or belongs to what was.

    Args:
        record: A thread, step, element or feedback.
        deleted: The tombstones of its thread.
    """
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
    """The keys of tombstones whose thread, step or element exists."""
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
