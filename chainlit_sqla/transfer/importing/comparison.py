"""Comparing a source with what was imported of it, record by record.

Each chunk of the source is compared with the rows of the target that have its keys, by digests. So
memory is bounded as it is for reading, and nothing depends on an order, which collations make
differ.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ...database import Database
from ..records import COLUMNS, IN_THREADS, TABLES, Record, sorted_by_kind
from ..sources import BATCH, Chunk, NativeSource, thread_column
from .ownership import Ownership, imported_columns
from .writer import is_tombstoned, read_tombstones

LISTED = 20
"""Differences that are listed."""
_LOOKUP: Mapping[str, Sequence[str]] = {
    "user": ("identifier",),
    "thread": ("id",),
    "step": ("id", "threadId"),
    "element": ("id", "threadId"),
    "feedback": ("threadId", "forId"),
}
"""The columns by which records are looked up; the first one has an index."""

Key = tuple[str, ...]


@dataclass(slots=True)
class Difference:
    """A record that is ``missing`` in the target, or ``different`` in some columns."""

    key: Key
    what: str
    columns: tuple[str, ...] = ()

    def __str__(self) -> str:
        columns = f" ({', '.join(self.columns)})" if self.columns else ""
        return f"{' '.join(self.key)}: {self.what}{columns}"


@dataclass(slots=True)
class Comparison:
    """The result of a comparison: the number of records by kind, and the first differences.

    A record of the source is ``same``, ``missing`` or ``different`` in the target, or ``deleted``
    there; ``more`` are those that only the target has in the threads of the source.
    """

    same: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    different: Counter[str] = field(default_factory=Counter)
    deleted: Counter[str] = field(default_factory=Counter)
    more: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)
    threads: int = 0

    @property
    def equal(self) -> bool:
        """Whether the target has all records of the source unchanged."""
        return not self.missing and not self.different

    @property
    def records(self) -> Counter[str]:
        """The records of the source."""
        return self.same + self.missing + self.different + self.deleted

    def add(self, difference: Difference) -> None:
        """Count a difference, and list it if it is among the first."""
        counts = self.missing if difference.what == "missing" else self.different
        counts[difference.key[0]] += 1
        if len(self.differences) < LISTED:
            self.differences.append(difference)


class Comparer:
    """Compares a source, chunk by chunk, with one state of the target of an import."""

    def __init__(
        self, database: Database, connection: AsyncConnection, ownership: Ownership
    ) -> None:
        self._connection = connection
        self._target = NativeSource(connection, schema=database.schema)
        self._ownership = ownership
        self._stored = Counter[str]()
        """The rows of the batch that were found in the target."""
        self.result = Comparison()

    async def add(self, chunk: Chunk) -> None:
        """Compare a chunk of the source."""
        for kind, records in sorted_by_kind(chunk.records).items():
            if kind == "user":
                await self._ownership.match_users(self._connection, records)
            await self._compare(kind, records)
        if chunk.threads is not None:
            await self._count_more(chunk.threads)

    async def _compare(self, kind: str, records: Sequence[Record]) -> None:
        adapted = list(map(self._ownership.adapt, records))
        wanted: dict[Key, list[Record]] = {}
        for record in adapted:
            wanted.setdefault(record.key, []).append(record)
        async for stored in self._target.records(kind, *_with_keys(kind, adapted)):
            same_key = wanted.pop(stored.key, ())
            for record in same_key:
                self._compare_record(record, stored)
            self._stored[kind] += bool(same_key)
        missing = list(chain.from_iterable(wanted.values()))
        if not missing:
            return
        ids = {record.thread_id or "" for record in missing}
        tombstones = await read_tombstones(self._connection, ids)
        for record in missing:
            if kind != "user" and is_tombstoned(record, tombstones):
                self.result.deleted[kind] += 1
            else:
                self.result.add(Difference(record.key, "missing"))

    def _compare_record(self, record: Record, stored: Record) -> None:
        names = imported_columns(record) if record.kind == "user" else COLUMNS[record.kind]
        values = {name: stored.values[name] for name in names}
        if record.digest() == replace(record, values={**record.values, **values}).digest():
            self.result.same[record.kind] += 1
        else:
            columns = (name for name in names if record.values[name] != values[name])
            self.result.add(Difference(record.key, "different", tuple(columns)))

    async def _count_more(self, thread_ids: Sequence[str]) -> None:
        """Count what the target has in the threads of a batch, and the source does not.

        A batch of a file has any number of threads, a statement a limited number of parameters.
        """
        self.result.threads += len(thread_ids)
        for kind in IN_THREADS:
            query, count = select(func.count()).select_from(TABLES[kind]), 0
            for start in range(0, len(thread_ids), BATCH):
                in_threads = thread_column(kind).in_(thread_ids[start : start + BATCH])
                count += await self._connection.scalar(query.where(in_threads)) or 0
            if (more := count - self._stored[kind]) > 0:
                self.result.more[kind] += more
        self._stored.clear()


def _with_keys(kind: str, records: Sequence[Record]) -> Sequence[ColumnElement[bool]]:
    """Conditions that find the rows with the keys of some records.

    Ids are unique, unless a program counts them in each thread: then both columns are needed. Of
    all threads and all ids of a chunk, MySQL would make so many ranges that it scans the table.
    """
    conditions: list[ColumnElement[bool]] = []
    ranges = 1
    for name in _LOOKUP[kind]:
        values = {record.values[name] for record in records}
        ranges *= len(values)
        if not conditions or ranges <= 4 * len(records):
            conditions.append(TABLES[kind].c[name].in_(values))
    return conditions
