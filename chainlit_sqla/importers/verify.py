"""Compares a source with a database of ours, record by record.

For each thread, both sides are added up: how many records of each kind, and the sum of their
digests, which does not depend on an order. Only threads whose sums differ are looked at
record by record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..database import Database
from ..models import users
from ..records import Record
from .base import Chunk, Source
from .missing import Missing
from .ours import OurSource
from .sums import Sums
from .target import Target, buried_in, is_buried

SHOWN = 20
"""Differences that are named."""
_AT_ONCE = 500
"""Threads that are looked at together: a file is read once for as many."""
_LONG = 100
"""Characters of an id that are shown."""

Key = tuple[str, ...]


@dataclass(slots=True)
class Difference:
    """A record that is not the same on both sides.

    Args:
        key: Its kind and its primary key.
        what: ``missing`` in the target, ``different``, or ``more``: only in the target.
        columns: Names of the columns whose values differ.
    """

    key: Key
    what: str
    columns: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = (part if len(part) <= _LONG else f"{part[:_LONG]}…" for part in self.key)
        name = " ".join(parts)
        return f"{name}: {self.what}" + (f" ({', '.join(self.columns)})" if self.columns else "")


@dataclass(slots=True)
class Comparison:
    """What a comparison found.

    Args:
        given: Records of the source by kind, of those that have a place.
        same: Those that the target has exactly so.
        counts: Records by what is the matter with them, ``deleted`` in the target included.
        by_kind: Records that are missing or different, by kind.
        changed: Those of them that the target has, but different.
        differences: The first of them.
        threads: Threads compared.
    """

    given: Counter[str] = field(default_factory=Counter)
    same: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    by_kind: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)
    threads: int = 0

    @property
    def equal(self) -> bool:
        """Whether the target has everything as the source has it."""
        return not self.counts["missing"] and not self.counts["different"]

    def there(self, kind: str) -> int:
        """How many of a kind the target has, in whatever state."""
        return self.same[kind] + self.changed[kind]

    def add(self, difference: Difference) -> None:
        """Count a difference, and keep the first."""
        self.counts[difference.what] += 1
        if difference.what == "different":
            self.changed[difference.key[0]] += 1
        if difference.what in ("missing", "different"):
            self.by_kind[difference.key[0]] += 1
        if len(self.differences) < SHOWN and difference.what != "deleted":
            self.differences.append(difference)


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
        """Compare the users, who count as the same by their identifier."""
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
        names = [record.values["identifier"] for record in records]
        if self._missing is not None:
            self._missing.know(names)
        query = select(users.c.identifier).where(users.c.identifier.in_(names))
        async with self._database.snapshot() as connection:
            there = set(await connection.scalars(query))
            await self._target.know(connection, records)
        for record in records:
            self.found.given["user"] += 1
            if record.values["identifier"] in there:
                self.found.same["user"] += 1
            else:
                self.found.add(Difference(record.key, "missing"))

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
            await self._look_closer(odd[start : start + _AT_ONCE])

    async def _look_closer(self, ids: Sequence[str]) -> None:
        async with self._database.snapshot() as connection:
            theirs = {record.key: record.digest() async for record in self._theirs(connection, ids)}
            dead = await buried_in(connection, ids)
        different: dict[Key, Record] = {}
        seen: set[Key] = set()
        async with aclosing(self._source.threads(only=ids)) as chunks:
            async for chunk in chunks:
                for record in map(self._target.adapt, chunk.records):
                    if (record.thread_id or "") not in ids:
                        continue
                    there = theirs.get(record.key)
                    seen.add(record.key)
                    if there == record.digest():
                        self.found.same[record.kind] += 1
                    elif there is not None and len(different) < SHOWN:
                        different[record.key] = record
                    elif there is not None:
                        self.found.add(Difference(record.key, "different"))
                    else:
                        gone = is_buried(record, dead)
                        self.found.add(Difference(record.key, "deleted" if gone else "missing"))
        await self._name_columns(different)
        more = theirs.keys() - seen
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
