"""`Source`: where conversations come from, as chunks of records and quarantined rows."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..._internal import json as _json
from ..records import Record
from .quarantine import QuarantinedRow

CHUNK_ROWS = 500
"""Rows in a chunk."""
CHUNK_BYTES = 8_000_000
"""Characters of text in a chunk, unless a single row has more."""
BATCH = 1_000
"""Threads that are read together: a table without an index is read once a batch."""

Items = tuple[Record | QuarantinedRow, ...]
"""What a row of a source became."""


@dataclass(slots=True)
class Chunk:
    """A few rows of a source.

    Args:
        records: Parents before what belongs to them.
        quarantined: Rows and values that our tables cannot hold.
        threads: The ids of the threads of a batch, set at its end.
        resume_token: Where to continue after the batch, set at its end.
        rows: The number of rows of the source.
        size: About how many characters the chunk holds.
    """

    records: list[Record] = field(default_factory=list)
    quarantined: list[QuarantinedRow] = field(default_factory=list)
    threads: Sequence[str] | None = None
    resume_token: str | None = None
    rows: int = 0
    size: int = 0

    @property
    def is_full(self) -> bool:
        """Whether the chunk has reached a limit."""
        items = len(self.records) + len(self.quarantined)
        return items >= CHUNK_ROWS or self.size >= CHUNK_BYTES

    def add(self, items: Items, size: int) -> None:
        """Add what one row of the source became."""
        self.rows += 1
        self.size += size
        for item in items:
            if isinstance(item, Record):
                self.records.append(item)
            else:
                self.quarantined.append(item)


class Source(Protocol):
    """Where conversations come from; a source is only read."""

    title: str
    """Its name in reports, without a password."""
    identity: str
    """The same for the same source, so that an interrupted import can continue."""

    async def count(self) -> Mapping[str, int]:
        """The number of rows to import by kind of record."""
        ...

    async def notes(self) -> Sequence[str]:
        """Sentences about the source for the report."""
        ...

    def users(self) -> AsyncGenerator[Chunk, None]:
        """Read all users."""
        ...

    def threads(self, after: str | None = None) -> AsyncGenerator[Chunk, None]:
        """Read threads and what belongs to them, batch by batch.

        Args:
            after: The resume token of an earlier batch; None starts at the beginning.
        """
        ...

    def rest(self) -> AsyncGenerator[Chunk, None]:
        """Read what belongs to no thread: tombstones, quarantined rows, rows without a thread."""
        ...


async def chunked(rows: AsyncGenerator[Items, None]) -> AsyncGenerator[Chunk, None]:
    """Gather rows into chunks."""
    chunk = Chunk()
    async for items in rows:
        chunk.add(items, sum(map(_size_of, items)))
        if chunk.is_full:
            yield chunk
            chunk = Chunk()
    if chunk.rows:
        yield chunk


def _size_of(item: Record | QuarantinedRow) -> int:
    values: Mapping[str, Any] = item.values if isinstance(item, Record) else item.row
    size = 0
    for value in values.values():
        if isinstance(value, (str, bytes)):
            size += len(value)
        elif value and isinstance(value, (dict, list)):
            size += len(_json.dumps(value))
    return size
