"""Comparing a source with what was imported of it, record by record.

For each thread both sides are summed up: the number of records of each kind, and the sum of their
digests, which does not depend on an order. Only batches with threads whose sums differ are read
again and compared record by record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, field
from itertools import chain

from sqlalchemy.ext.asyncio import AsyncConnection

from ...models import users
from ..records import Record
from ..sources import Chunk, NativeSource, Source
from .deletions import Deletions
from .ownership import differing_columns
from .writer import ImportTarget, is_tombstoned, read_tombstones

LISTED = 20
"""Differences that are listed."""
_LONGEST_ID = 100
_THREADS = 500
"""Threads that are compared record by record together."""

Key = tuple[str, ...]


@dataclass(slots=True)
class Difference:
    """A record that is not the same on both sides.

    Args:
        key: Its kind and its primary key.
        what: ``missing`` in the target, ``different``, ``more`` (only in the target), or
            ``deleted`` in the target.
        columns: The columns whose values differ.
    """

    key: Key
    what: str
    columns: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = (
            part if len(part) <= _LONGEST_ID else f"{part[:_LONGEST_ID]}…" for part in self.key
        )
        name = " ".join(parts)
        return f"{name}: {self.what}" + (f" ({', '.join(self.columns)})" if self.columns else "")


@dataclass(slots=True)
class Comparison:
    """The result of a comparison.

    Args:
        records: Records of the source by kind.
        same: Records that are the same in the target, by kind.
        counts: Records that are not, by `Difference.what`.
        by_kind: Records that are missing or different, by kind.
        changed: Records that are different, by kind.
        differences: The first differences.
        threads: The number of threads that were compared.
    """

    records: Counter[str] = field(default_factory=Counter)
    same: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    by_kind: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)
    threads: int = 0

    @property
    def equal(self) -> bool:
        """Whether the target has all records of the source unchanged."""
        return not self.counts["missing"] and not self.counts["different"]

    def in_target(self, kind: str) -> int:
        """How many records of the source the target has, changed or not."""
        return self.same[kind] + self.changed[kind]

    def add(self, difference: Difference) -> None:
        """Count a difference, and list it if it is one of the first."""
        kind = difference.key[0]
        self.counts[difference.what] += 1
        if difference.what == "different":
            self.changed[kind] += 1
        if difference.what in ("missing", "different"):
            self.by_kind[kind] += 1
        if len(self.differences) < LISTED and difference.what != "deleted":
            self.differences.append(difference)


class ThreadDigests:
    """How many records of each kind threads have, and the sums of their digests."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[Counter[str], int]] = {}

    @property
    def thread_ids(self) -> Sequence[str]:
        """The threads."""
        return list(self._sums)

    def add(self, records: Iterable[Record]) -> None:
        """Add records of threads, in any order."""
        for record in records:
            id = record.thread_id or ""
            kinds, total = self._sums.get(id) or (Counter(), 0)
            kinds[record.kind] += 1
            self._sums[id] = kinds, (total + record.digest()) % 2**128

    def kinds(self, id: str) -> Counter[str]:
        """The number of records of a thread by kind."""
        return self._sums[id][0]

    def differ(self, id: str, other: ThreadDigests) -> bool:
        """Whether two sides have different records of a thread."""
        return self._sums.get(id) != other._sums.get(id)


class Comparer:
    """Compares a source with the target of an import.

    Args:
        source: The source.
        target: The target; it knows the users that have another id there.
        connect: Opens a connection that reads one state of the target.
        deletions: Collects what only the target has.
    """

    def __init__(
        self,
        source: Source,
        target: ImportTarget,
        connect: Callable[[], AbstractAsyncContextManager[AsyncConnection]],
        deletions: Deletions | None = None,
    ) -> None:
        self._source = source
        self._target = target
        self._connect = connect
        self._deletions = deletions
        self.result = Comparison()

    async def users(self) -> None:
        """Compare the users by their identifiers, in all columns but the id."""
        async with aclosing(self._source.users()) as chunks:
            async for chunk in chunks:
                await self._compare_users(chunk.records)

    async def threads(self) -> AsyncGenerator[Chunk, None]:
        """Compare the threads and what belongs to them.

        Yields:
            Each chunk of the source that was read.
        """
        digests, token = ThreadDigests(), None
        async with aclosing(self._source.threads()) as chunks:
            async for chunk in chunks:
                digests.add(map(self._target.adapt, chunk.records))
                if self._deletions is not None:
                    self._deletions.add_source(chunk)
                if chunk.threads is not None:
                    await self._compare_batch(digests, token)
                    digests, token = ThreadDigests(), chunk.resume_token
                yield chunk
        if self._deletions is not None:
            async with self._connect() as connection:
                await self._deletions.find_threads(connection)

    async def _compare_users(self, records: Sequence[Record]) -> None:
        by_name: dict[str, list[Record]] = {}
        for record in records:
            by_name.setdefault(record.values["identifier"], []).append(record)
        if self._deletions is not None:
            self._deletions.add_users(by_name)
        self.result.records["user"] += len(records)
        missing = dict(by_name)
        async with self._connect() as connection:
            stored = NativeSource(connection, schema=self._target.database.schema)
            async for user in stored.records("user", users.c.identifier.in_(by_name)):
                for record in missing.pop(user.values["identifier"], ()):
                    if columns := differing_columns(record, user.values):
                        self.result.add(Difference(record.key, "different", columns))
                    else:
                        self.result.same["user"] += 1
            await self._target.match_users(connection, records)
        for record in chain.from_iterable(missing.values()):
            self.result.add(Difference(record.key, "missing"))

    async def _compare_batch(self, digests: ThreadDigests, token: str | None) -> None:
        ids = digests.thread_ids
        stored = ThreadDigests()
        async with self._connect() as connection:
            async for record in self._stored(connection, ids):
                stored.add([record])
        different = []
        for id in ids:
            self.result.threads += 1
            self.result.records.update(digests.kinds(id))
            if digests.differ(id, stored):
                different.append(id)
            else:
                self.result.same.update(digests.kinds(id))
        for start in range(0, len(different), _THREADS):
            await self._compare_records(different[start : start + _THREADS], token)

    async def _compare_records(self, ids: Sequence[str], token: str | None) -> None:
        """Compare the records of some threads of the batch after a resume token."""
        async with self._connect() as connection:
            stored = {record.key: record.digest() async for record in self._stored(connection, ids)}
            tombstones = await read_tombstones(connection, ids)
        wanted, seen = set(ids), set[Key]()
        named: dict[Key, Record] = {}
        async for record in self._batch_after(token):
            if record.thread_id not in wanted:
                continue
            seen.add(record.key)
            digest = stored.get(record.key)
            if digest == record.digest():
                self.result.same[record.kind] += 1
            elif digest is None:
                what = "deleted" if is_tombstoned(record, tombstones) else "missing"
                self.result.add(Difference(record.key, what))
            elif len(named) < LISTED:
                named[record.key] = record
            else:
                self.result.add(Difference(record.key, "different"))
        await self._name_columns(named)
        more = stored.keys() - seen
        for key in more:
            self.result.add(Difference(key, "more"))
        if self._deletions is not None:
            foreign = self._target.owners.foreign
            self._deletions.add_rows(key for key in more if key[1] not in foreign)

    async def _batch_after(self, token: str | None) -> AsyncGenerator[Record, None]:
        """The records of one batch of the source, as they are stored in the target."""
        async with aclosing(self._source.threads(token)) as chunks:
            async for chunk in chunks:
                for record in chunk.records:
                    yield self._target.adapt(record)
                if chunk.threads is not None:
                    return

    async def _name_columns(self, different: Mapping[Key, Record]) -> None:
        if not different:
            return
        ids = {record.thread_id or "" for record in different.values()}
        async with self._connect() as connection:
            async for stored in self._stored(connection, ids):
                record = different.get(stored.key)
                if record is None:
                    continue
                names = (n for n, value in record.values.items() if value != stored.values[n])
                self.result.add(Difference(record.key, "different", tuple(names)))

    async def _stored(
        self, connection: AsyncConnection, ids: Iterable[str]
    ) -> AsyncGenerator[Record, None]:
        source = NativeSource(connection, schema=self._target.database.schema)
        async with aclosing(source.threads(only=list(ids))) as chunks:
            async for chunk in chunks:
                for record in chunk.records:
                    yield record
