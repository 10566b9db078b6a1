"""`Missing`: what the target has and the source has no longer, and its deletion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from contextlib import aclosing

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ...database import Database
from ...models import threads, users
from ...writes.execute_deletes import delete_rows, execute_delete
from ...writes.operations import DeleteThread
from ..records import IN_THREADS, TABLES
from ..sources.base import BATCH, Chunk
from ..sources.bounded_fetch import portions
from ..sources.native import place
from ..sources.normalize import identifier
from .target import Target


class Missing:
    """Rows of the target that the source has not; it is filled while both are compared.

    A row that the source has, but that has no place in our tables, counts as there; and threads
    of users whom the source does not know cannot be from it. The ids of the source's threads are
    held, the names of its users, and the ids of what is missing.
    """

    def __init__(self) -> None:
        self.threads: list[str] = []
        """Threads of which the source has nothing."""
        self.rows: dict[str, list[tuple[str, str]]] = {}
        """By thread: the kind and the last part of the key of what is missing in it."""
        self.counts: Counter[str] = Counter()
        """Rows by kind, the threads themselves and what lies in them included."""
        self.stay = 0
        """Threads of users whom the source does not know."""
        self._there: set[str] = set()
        self._twice: set[str] = set()
        """Threads of several batches: ids of SQLite that are one as text. What one has, the other
        has not."""
        self._users: set[str] = set()
        self._aside: set[tuple[str, str]] = set()

    @property
    def places(self) -> list[str]:
        """The threads in which something is missing, or that are."""
        return [*self.threads, *self.rows]

    def know(self, names: Iterable[str]) -> None:
        """Note users that the source has.

        Args:
            names: Their identifiers.
        """
        self._users.update(names)

    def see(self, chunk: Chunk) -> None:
        """Note what the source has.

        Args:
            chunk: Of its threads.
        """
        self._twice.update(self._there.intersection(chunk.threads or ()))
        self._there.update(chunk.threads or ())
        for misfit in chunk.misfits:
            names = ("forId", "stepId") if misfit.kind == "feedback" else ("id",)
            ids = (identifier(misfit.row.get(name)) for name in names)
            self._aside.update((misfit.kind, id) for id in ids if id is not None)

    def add(self, keys: Iterable[tuple[str, ...]]) -> None:
        """Note rows of a thread that the source has as well.

        Args:
            keys: Their kinds and primary keys.
        """
        for kind, thread_id, *rest in keys:
            if rest and (kind, rest[0]) not in self._aside:
                self.rows.setdefault(thread_id, []).append((kind, rest[0]))
                self.counts[kind] += 1

    async def find_threads(self, database: Database) -> None:
        """Look for threads that the source has not.

        Args:
            database: The target; after all that the source has was seen.
        """
        for id in self._twice:
            self.counts.subtract(kind for kind, _ in self.rows.pop(id, ()))
        async with database.snapshot() as connection:
            owner = func.coalesce(threads.c.userIdentifier, users.c.identifier)
            query = select(threads.c.id, owner).order_by(threads.c.id)
            joined = query.outerjoin_from(threads, users, threads.c.userId == users.c.id)
            found = portions(connection, joined, ())
            async with aclosing(found):
                async for rows in found:
                    more = {id: owner for id, owner in rows if id not in self._there}
                    known = [
                        id for id, owner in more.items() if owner is None or owner in self._users
                    ]
                    self.threads += known
                    self.stay += len(more) - len(known)
            self.counts["thread"] = len(self.threads)
            for start in range(0, len(self.threads), BATCH):
                await self._count(connection, self.threads[start : start + BATCH])

    async def _count(self, connection: AsyncConnection, ids: Collection[str]) -> None:
        for kind in IN_THREADS:
            query = select(func.count()).select_from(TABLES[kind]).where(place(kind).in_(ids))
            self.counts[kind] += await connection.scalar(query) or 0

    async def delete(self, target: Target) -> None:
        """Delete it, thread by thread, as the data layer does: for good, with its files.

        Args:
            target: The database.
        """
        for id in self.threads:
            await target.again(lambda id=id: self._delete_thread(target.database, id))
        for id in self.rows:
            await target.again(lambda id=id: self._delete_rows(target.database, id))

    async def _delete_thread(self, database: Database, id: str) -> None:
        async with database.write() as connection:
            await connection.run_sync(execute_delete, database.dialect, DeleteThread(id))

    async def _delete_rows(self, database: Database, id: str) -> None:
        async with database.write() as connection:
            await connection.run_sync(delete_rows, database.dialect, id, self.rows[id])
