"""Writes records into a database of ours, which may be in use.

Invariants:

- A chunk is one transaction. The position after which to go on is written after it: what
  comes between is written again.
- A row that is there stays as it is, unless the source is to win (``update``). So writing
  the same chunk again changes nothing.
- A user who is known under the same identifier keeps the id that the database gave; the
  threads of the source's user are theirs. An id that somebody else has here is replaced.
- Nothing is written into a thread that belongs to somebody else here, whatever the source is:
  it is put aside. So is what lies in a thread whose owner the batch does not say, unless the
  thread is nobody's.
- What was deleted in this database stays deleted: tombstones are read after the lock of the
  thread, as `chainlit_sqla.writes.execute_saves` does, and a burst sees that the thread changed.
- A row that the database refuses is found by bisection and put aside, with the reason; the
  others are written.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ..._internal.timestamps import instant_of
from ...database import Database
from ...dialects import ErrorKind, one_line
from ...models import elements, imports, steps, threads, tombstones, users
from ...writes.execute_saves import bump_row_versions, element_tombstone_id, lock_threads
from ..records import COLUMNS, IN_THREADS, KEYS, TABLES, Record, sorted_by_kind
from ..sources.base import Misfit
from .known_users import carried
from .ownership import Claims
from .quarantine import put_aside

log = logging.getLogger(__name__)

_IDS = uuid.UUID("5a1c7a4e-4e0b-5a5e-9d3c-5b1f0a6b7c21")
_ALIVE = "it was deleted in the source, and is still in the target; delete it there as well"
_PAUSES = (0.1, 0.5, 2.0, 5.0, 10.0)


Buried = Mapping[tuple[str, str], datetime]
"""When something was deleted, by the thread and the id of its tombstone."""


@dataclass(slots=True)
class Written:
    """What became of records.

    Args:
        refused: Rows that the database refused.
        deleted: Rows that were deleted in this database, or lie in what was.
        known_users: Users that were there under the same identifier.
    """

    refused: list[Misfit] = field(default_factory=list)
    deleted: int = 0
    known_users: int = 0


class Target:
    """A database of ours that records are written into.

    Args:
        database: It, at this release's revision.
        source: Where the records come from, for people.
        update: Whether a row of the source replaces a different one that is there.
    """

    def __init__(self, database: Database, source: str, *, update: bool = False) -> None:
        self.database = database
        self._source = source
        self._update = update
        self._same: dict[str, str] = {}
        self._claims = Claims()

    def is_others(self, thread_id: str) -> bool:
        """Whether a thread that was written belongs to somebody else here."""
        return thread_id in self._claims.others

    def end_batch(self) -> None:
        """After all that lies in some threads: whose they are is known no longer."""
        self._claims.forget()

    def adapt(self, record: Record) -> Record:
        """The record as it is stored here; after its user was written.

        Args:
            record: As the source gives it.
        """
        name = {"user": "id", "thread": "userId"}.get(record.kind)
        here = self._same.get(record.values[name]) if name else None
        if name is None or here is None:
            return record
        return replace(record, values={**record.values, name: here})

    async def know(self, connection: AsyncConnection, records: Sequence[Record]) -> int:
        """Remember users who have another id here.

        Args:
            connection: To this database.
            records: Users as the source gives them.

        Returns:
            How many are here, by their identifier.
        """
        names = [record.values["identifier"] for record in records]
        ids = [record.values["id"] for record in records]
        query = select(users.c.identifier, users.c.id)
        found = await connection.execute(
            query.where(users.c.identifier.in_(names) | users.c.id.in_(ids))
        )
        by_name = {row.identifier: row.id for row in found}
        taken = set(by_name.values())
        here_already = len(by_name.keys() & set(names))
        for record in records:
            id, name = record.values["id"], record.values["identifier"]
            here = by_name.get(name, id)
            if name not in by_name and id in taken:
                here = str(uuid.uuid5(_IDS, f"{id} {name}"))  # The same at each attempt.
            by_name[name] = here  # Who is there twice is one person.
            if here != id:
                self._same[id] = here
        return here_already

    async def write(
        self,
        records: Sequence[Record],
        misfits: Sequence[Misfit] = (),
        position: Mapping[str, Any] | None = None,
    ) -> Written:
        """Write a chunk.

        Args:
            records: Parents before what lies in them.
            misfits: To put aside.
            position: A row of the table of imports.

        Raises:
            DatabaseUnavailable: The database stayed away.
            SchemaOutdated: A table is missing.
        """
        written = Written()
        await self._divide(records, written)
        aside = [*misfits, *written.refused]
        if aside or position:
            await self.again(lambda: self._set_aside(aside, position))
        return written

    async def settle(self) -> None:
        """After the last chunk: reads are planned with what is there now."""
        try:
            async with self.database.write() as connection:
                await self.database.dialect.refresh_statistics(
                    connection, TABLES.values(), self.database.schema
                )
        except self.database.dialect.errors as error:  # Only slower for a minute.
            log.info("No statistics were made: %s", one_line(error))

    async def _divide(self, records: Sequence[Record], written: Written) -> None:
        if not records:
            return
        attempt = Written()
        try:
            await self.again(lambda: self._write(records, attempt))
        except self.database.dialect.errors as error:
            fault = self.database.dialect.classify(error)
            if fault not in (ErrorKind.REJECTED, ErrorKind.REPEAT):
                raise self.database.translate(error) from error
            if len(records) == 1:
                reason = f"the database refuses it: {one_line(error)}"
                written.refused.append(_refused(records[0], reason))
                return
            half = len(records) // 2
            await self._divide(records[:half], written)
            await self._divide(records[half:], written)
            return
        written.refused += attempt.refused
        written.deleted += attempt.deleted
        written.known_users += attempt.known_users

    async def again(self, work: Any) -> None:
        """Do it again while the database is away or others are in the way."""
        for pause in (*_PAUSES, None):
            try:
                await work()
            except self.database.dialect.errors as error:
                if (
                    pause is None
                    or self.database.dialect.classify(error) is not ErrorKind.TRANSIENT
                ):
                    if self.database.dialect.classify(error) is ErrorKind.TRANSIENT:
                        raise self.database.translate(error) from error
                    raise
                log.warning("Written again after: %s", one_line(error))
                await asyncio.sleep(pause)
            else:
                return

    async def _write(self, records: Sequence[Record], written: Written) -> None:
        written.deleted = written.known_users = 0
        written.refused = []
        by_kind = sorted_by_kind(records)
        async with self.database.write() as connection:
            if users_ := by_kind.get("user"):
                written.known_users = await self._write_users(connection, users_)
            if buried := by_kind.get("tombstone"):
                await self._bury(connection, buried, written)
            places = sorted({record.thread_id or "" for record in records} - {""})
            if not places or by_kind.keys() <= {"user", "tombstone"}:
                return
            await self._write_threads(connection, by_kind, places, written)

    async def _write_users(self, connection: AsyncConnection, records: Sequence[Record]) -> int:
        dialect = self.database.dialect
        known = await self.know(connection, records)
        alike: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        for record in records:
            changed = carried(record) if self._update else ()
            alike.setdefault(changed, []).append(dict(self.adapt(record).values))
        for changed, rows in alike.items():
            statement = dialect.upsert(users, ["identifier"], changed)
            await dialect.execute_many(connection, statement, rows)
        return known

    async def _write_threads(
        self,
        connection: AsyncConnection,
        by_kind: Mapping[str, Sequence[Record]],
        places: Sequence[str],
        written: Written,
    ) -> None:
        query = select(tombstones.c.threadId).where(
            tombstones.c.threadId.in_(places), tombstones.c.id == ""
        )
        dead = set(await connection.scalars(query))
        own = [self.adapt(record) for record in by_kind.get("thread", ())]
        self._claims.take(own)
        others = self._claims.others
        own = [record for record in own if record.values["id"] not in dead]
        written.deleted += len(by_kind.get("thread", ())) - len(own)
        if self._update:  # Before they are changed.
            await connection.run_sync(lock_threads, places, exclusive=False)
            await self._claims.look(connection, places)
        mine = [record for record in own if record.values["id"] not in others]
        await self._upsert(connection, "thread", mine)
        await connection.run_sync(lock_threads, places, exclusive=False)
        await self._claims.look(connection, places)
        written.refused += self._of_others(by_kind)
        mine = [record for record in mine if record.values["id"] not in others]
        await self._move_activity(connection, mine)
        # Again, now that nobody can delete from these threads any more.
        buried = await buried_in(connection, places)
        for kind in IN_THREADS:
            given = by_kind.get(kind, ())
            given = [record for record in given if record.thread_id not in others]
            alive = [record for record in given if not is_buried(record, buried)]
            written.deleted += len(given) - len(alive)
            await self._upsert(connection, kind, alive)
        await connection.run_sync(bump_row_versions, places)

    def _of_others(self, by_kind: Mapping[str, Sequence[Record]]) -> Sequence[Misfit]:
        others, reason = self._claims.others, self._claims.reason
        strange = [one for rows in by_kind.values() for one in rows if one.thread_id in others]
        return [_refused(one, reason(one.thread_id or "")) for one in strange]

    async def _bury(
        self, connection: AsyncConnection, records: Sequence[Record], written: Written
    ) -> None:
        """Take over what was deleted, but for what is here: its thread would take no words."""
        there = await alive(connection, [record.key[1:] for record in records])
        living = [record for record in records if record.key[1:] in there]
        written.refused += [_refused(record, _ALIVE) for record in living]
        rest = [record for record in records if record.key[1:] not in there]
        await self._upsert(connection, "tombstone", rest)

    async def _upsert(
        self, connection: AsyncConnection, kind: str, records: Iterable[Record]
    ) -> None:
        rows = [dict(record.values) for record in records]
        if not rows:
            return
        keys = KEYS[kind]
        changed = [name for name in COLUMNS[kind] if name not in keys] if self._update else []
        statement = self.database.dialect.upsert(TABLES[kind], keys, changed)
        await self.database.dialect.execute_many(connection, statement, rows)

    async def _move_activity(self, connection: AsyncConnection, records: Sequence[Record]) -> None:
        """A thread that was there and has gone on since moves up."""
        if self._update or not records:
            return
        moved = (
            update(threads)
            .where(threads.c.id == bindparam("the_id"), threads.c.updatedAt < bindparam("moved"))
            .values(updatedAt=bindparam("moved"))
        )
        rows = [
            {"the_id": record.values["id"], "moved": record.values["updatedAt"]}
            for record in records
        ]
        await self.database.dialect.execute_many(connection, moved, rows)

    async def _set_aside(
        self, misfits: Sequence[Misfit], position: Mapping[str, Any] | None
    ) -> None:
        dialect = self.database.dialect
        async with self.database.write() as connection:
            await put_aside(connection, dialect, self._source, misfits)
            if position:
                changed = [name for name in position if name not in ("id", "startedAt")]
                statement = dialect.upsert(imports, ["id"], changed)
                await dialect.execute_many(connection, statement, [dict(position)])


async def buried_in(connection: AsyncConnection, ids: Collection[str]) -> Buried:
    """What was deleted in some threads.

    Args:
        connection: To a database of ours.
        ids: The threads.
    """
    columns = tombstones.c.threadId, tombstones.c.id, tombstones.c.deletedAt
    query = select(*columns).where(tombstones.c.threadId.in_(ids))
    return {(place, id): at for place, id, at in await connection.execute(query)}


def is_buried(record: Record, buried: Buried) -> bool:
    """Whether it was deleted, or lies in what was.

    Args:
        record: Of a thread.
        buried: Of `buried_in`.
    """
    place, values = record.thread_id or "", record.values
    if record.kind == "thread":
        ids = [""]
    elif record.kind == "step":
        ids = ["", values["id"]]
    elif record.kind == "feedback":
        ids = ["", values["forId"]]
    else:
        ids = ["", values["forId"] or "", element_tombstone_id(values["id"])]
        # Of a thread that came back after its deletion: what was sent before.
        at = buried.get((place, element_tombstone_id("")))
        if at is not None and instant_of(values["ordinal"]) <= at:
            return True
    return any((place, id) in buried for id in ids)


async def alive(
    connection: AsyncConnection, keys: Collection[tuple[str, ...]]
) -> set[tuple[str, ...]]:
    """Those of the keys of tombstones whose thread, step or element is here."""
    places = {place for place, _ in keys}
    query = select(threads.c.id).where(threads.c.id.in_(places))
    there: set[tuple[str, ...]] = {(id, "") for id in await connection.scalars(query)}
    for table, prefix in ((steps, ""), (elements, element_tombstone_id(""))):
        ids = {id.removeprefix(prefix) for _, id in keys if id.startswith(prefix)}
        of_table = table.c
        rows = await connection.execute(
            select(of_table.threadId, of_table.id).where(
                of_table.threadId.in_(places), of_table.id.in_(ids)
            )
        )
        there |= {(place, prefix + id) for place, id in rows}
    return there


def _refused(record: Record, reason: str) -> Misfit:
    return Misfit(record.kind, TABLES[record.kind].name, reason, record.values)
