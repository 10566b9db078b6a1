"""`Deletions`: what only the target has, and its deletion (``--delete-missing``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from contextlib import aclosing
from functools import partial

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ...database import Database
from ...errors import ImportSourceError
from ...models import threads, users
from ...writes.execute_deletes import delete_rows, execute_delete
from ...writes.operations import DeleteThread
from ..records import IN_THREADS, TABLES
from ..sources import BATCH, Chunk, fetch_portions, thread_column
from ..sources.normalize import identifier
from .writer import retry_transient


class Deletions:
    """Threads and rows of the target that the source does not have.

    It is filled while both are compared. Rows that the source has and our tables cannot hold are
    not deleted, nor are threads of users whom the source does not know. The ids of the source's
    threads, the names of its users and the ids of what is to be deleted are held in memory.
    """

    def __init__(self) -> None:
        self.threads: list[str] = []
        """Threads of which the source has nothing."""
        self.rows: dict[str, list[tuple[str, str]]] = {}
        """By thread: the kind and the last part of the key of each row."""
        self.counts: Counter[str] = Counter()
        """Rows by kind, including the threads and what belongs to them."""
        self.kept_threads = 0
        """Threads of users whom the source does not know."""
        self._source_threads: set[str] = set()
        self._source_users: set[str] = set()
        self._quarantined: set[tuple[str, str]] = set()

    @property
    def thread_ids(self) -> list[str]:
        """The threads that are deleted in full or in part."""
        return [*self.threads, *self.rows]

    def add_users(self, identifiers: Iterable[str]) -> None:
        """Add users of the source."""
        self._source_users.update(identifiers)

    def add_source(self, chunk: Chunk) -> None:
        """Add what the source has.

        Raises:
            ImportSourceError: The source has a thread twice; so nobody knows what it lacks.
        """
        for id in chunk.threads or ():
            if id in self._source_threads:
                raise ImportSourceError(
                    f"The source has two threads with the id {id!r}; give one of them another id, "
                    "or import without --delete-missing"
                )
            self._source_threads.add(id)
        for row in chunk.quarantined:
            names = ("forId", "stepId") if row.kind == "feedback" else ("id",)
            ids = (identifier(row.row.get(name)) for name in names)
            self._quarantined.update((row.kind, id) for id in ids if id is not None)

    def add_rows(self, keys: Iterable[tuple[str, ...]]) -> None:
        """Add rows that only the target has, of threads that the source has as well."""
        for kind, thread_id, *rest in keys:
            if rest and (kind, rest[0]) not in self._quarantined:
                self.rows.setdefault(thread_id, []).append((kind, rest[0]))
                self.counts[kind] += 1

    async def find_threads(self, connection: AsyncConnection) -> None:
        """Find threads that only the target has, once all of the source was added."""
        owner = func.coalesce(threads.c.userIdentifier, users.c.identifier)
        query = select(threads.c.id, owner).order_by(threads.c.id)
        query = query.outerjoin_from(threads, users, threads.c.userId == users.c.id)
        async with aclosing(fetch_portions(connection, query, ())) as portions:
            async for portion in portions:
                for id, identifier_ in portion:
                    if id in self._source_threads:
                        continue
                    if identifier_ is None or identifier_ in self._source_users:
                        self.threads.append(id)
                    else:
                        self.kept_threads += 1
        self.counts["thread"] = len(self.threads)
        for start in range(0, len(self.threads), BATCH):
            await self._count(connection, self.threads[start : start + BATCH])

    async def _count(self, connection: AsyncConnection, ids: Collection[str]) -> None:
        for kind in IN_THREADS:
            query = select(func.count()).select_from(TABLES[kind])
            count = await connection.scalar(query.where(thread_column(kind).in_(ids)))
            self.counts[kind] += count or 0

    async def delete(self, database: Database) -> None:
        """Delete them, a transaction a thread, as the data layer does: permanently, with files.

        Args:
            database: The target.
        """
        for id in self.threads:
            await retry_transient(database, partial(_delete_thread, database, id))
        for id, rows in self.rows.items():
            await retry_transient(database, partial(_delete_rows, database, id, rows))


async def _delete_thread(database: Database, id: str) -> None:
    async with database.write() as connection:
        await connection.run_sync(execute_delete, database.dialect, DeleteThread(id))


async def _delete_rows(database: Database, id: str, rows: Sequence[tuple[str, str]]) -> None:
    async with database.write() as connection:
        await connection.run_sync(delete_rows, database.dialect, id, rows)
