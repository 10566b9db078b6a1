"""Compares a source with a database of ours, record by record.

For each thread, both sides are added up: how many records of each kind, and the sum of their
digests, which does not depend on an order. Only threads whose sums differ are looked at
record by record.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing

from sqlalchemy.ext.asyncio import AsyncConnection

from ...database import Database
from ...models import users
from ..records import Record
from ..sources.base import Chunk, Source
from ..sources.native import OurSource
from .comparison import SHOWN, Comparison, Difference, Key
from .deletions import Missing
from .digests import Sums
from .known_users import differing
from .target import Buried, Target, buried_in, is_buried

_AT_ONCE = 500
"""Threads that are looked at together: a file is read once for as many."""


class Verification:
    """Compares a source with what was imported of it.

    Args:
        source: Where the records come from.
        target: Where they went; it knows the users that have another id there.
        missing: Takes what the target has and the source has not.
    """

    def __init__(self, source: Source, target: Target, missing: Missing | None = None) -> None:
        self._missing = missing
        self._source = source
        self._target = target
        self.found = Comparison()

    async def users(self) -> None:
        """Compare the users, by their identifiers, in all but their ids."""
        async with aclosing(self._source.users()) as chunks:
            async for chunk in chunks:
                await self._compare_users(chunk.records)

    async def threads(self) -> AsyncGenerator[Chunk, None]:
        """Compare the threads and what lies in them.

        Yields:
            Each chunk of the source that was looked at.
        """
        sums = Sums()
        async with aclosing(self._source.threads()) as chunks:
            async for chunk in chunks:
                sums.add(map(self._target.adapt, chunk.records))
                if self._missing is not None:
                    self._missing.see(chunk)
                if chunk.threads is not None:
                    await self._compare_batch(sums)
                    sums.clear()
                yield chunk
        if self._missing is not None:
            await self._missing.find_threads(self._database)

    async def _compare_users(self, records: Sequence[Record]) -> None:
        if self._missing is not None:
            self._missing.know(record.values["identifier"] for record in records)
        there: dict[str, list[tuple[str, ...] | None]] = {}
        given: dict[str, list[Record]] = {}
        for record in records:
            given.setdefault(record.values["identifier"], []).append(record)
        async with self._database.snapshot() as connection:
            stored = OurSource(connection, "", "", self._database.schema)
            async for ours in stored.records("user", users.c.identifier.in_(given)):
                name = ours.values["identifier"]
                there[name] = [differing(one, ours.values) for one in given.get(name, ())]
            await self._target.know(connection, records)
        for name, alike in given.items():
            self.found.given["user"] += len(alike)
            found = there.get(name, [None] * len(alike))
            for record, columns in zip(alike, found, strict=True):
                if columns is None:
                    self.found.add(Difference(record.key, "missing"))
                elif columns:
                    self.found.add(Difference(record.key, "different", columns))
                else:
                    self.found.same["user"] += 1

    async def _compare_batch(self, given: Sums) -> None:
        there = Sums()
        ids = [id for id in given.places if id is not None]
        async with self._database.snapshot() as connection:
            async for record in self._theirs(connection, ids):
                there.add([record])
        unlike = set(given.unlike(there))
        odd = [id for id in ids if id in unlike]
        for id in ids:
            self.found.threads += 1
            self.found.given.update(given.kinds(id))
            if id not in unlike:
                self.found.same.update(given.kinds(id))
        for start in range(0, len(odd), _AT_ONCE):
            await self._look_closer(odd[start : start + _AT_ONCE], given)

    async def _look_closer(self, ids: Sequence[str], given: Sums) -> None:
        """Compare threads record by record; the source is asked for them once more.

        What it does not give again as before is told as unclear: neither the same, nor missing
        in the source.
        """
        async with self._database.snapshot() as connection:
            theirs = {record.key: record.digest() async for record in self._theirs(connection, ids)}
            look = _CloserLook(ids, theirs, await buried_in(connection, ids))
        async with aclosing(self._source.threads(only=ids)) as chunks:
            async for chunk in chunks:
                look.take(map(self._target.adapt, chunk.records))
        unclear = {id for id in ids if not look.again.alike(id, given)}
        for id, found in look.found.items():
            if id in unclear:
                self.found.doubt(id, given.kinds(id))
            else:
                self.found.merge(found)
        different = look.different.items()
        await self._name_columns({k: r for k, r in different if k[1] not in unclear})
        self._add_more(key for key in theirs.keys() - look.seen if key[1] not in unclear)

    def _add_more(self, keys: Iterable[Key]) -> None:
        more = list(keys)
        for key in more:
            self.found.add(Difference(key, "more"))
        if self._missing is not None:
            self._missing.add(key for key in more if not self._target.is_others(key[1]))

    async def _name_columns(self, different: Mapping[Key, Record]) -> None:
        if not different:
            return
        wanted = {record.thread_id or "" for record in different.values()}
        async with self._database.snapshot() as connection:
            async for record in self._theirs(connection, wanted):
                ours = different.get(record.key)
                if ours is None:
                    continue
                names = (n for n, value in ours.values.items() if value != record.values[n])
                self.found.add(Difference(record.key, "different", tuple(names)))

    async def _theirs(
        self, connection: AsyncConnection, ids: Iterable[str]
    ) -> AsyncGenerator[Record, None]:
        stored = OurSource(connection, "", "", self._database.schema)
        async with aclosing(stored.threads(only=list(ids))) as chunks:
            async for chunk in chunks:
                for record in chunk.records:
                    yield record

    @property
    def _database(self) -> Database:
        return self._target.database


class _CloserLook:
    """What is the matter with each record of some threads.

    Args:
        ids: The threads.
        theirs: The digest of each record of the target.
        dead: What was deleted there.
    """

    def __init__(self, ids: Iterable[str], theirs: Mapping[Key, int], dead: Buried) -> None:
        self._theirs = theirs
        self._dead = dead
        self.found = {id: Comparison() for id in ids}
        """By thread; without those of `different`."""
        self.different: dict[Key, Record] = {}
        """A few that differ, of which the columns are to be named."""
        self.seen: set[Key] = set()
        self.again = Sums()

    def take(self, records: Iterable[Record]) -> None:
        """Look at records of the source, as they are to be in the target."""
        for record in records:
            found = self.found.get(record.thread_id or "")
            if found is None:
                continue
            self.again.add([record])
            self.seen.add(record.key)
            there = self._theirs.get(record.key)
            if there == record.digest():
                found.same[record.kind] += 1
            elif there is not None and len(self.different) < SHOWN:
                self.different[record.key] = record
            elif there is not None:
                found.add(Difference(record.key, "different"))
            else:
                gone = is_buried(record, self._dead)
                found.add(Difference(record.key, "deleted" if gone else "missing"))
