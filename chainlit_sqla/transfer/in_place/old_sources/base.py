"""What a source of conversations gives: chunks of records, and rows that do not fit."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from ...._internal import json as _json
from ...._internal.broken_text import BrokenText
from ...._internal.odd_json import Odd
from ...records import Record

CHUNK_ROWS = 500
"""Rows that are held at once."""
CHUNK_BYTES = 8_000_000
"""Characters of text that are held at once; one row may have more."""
QUARANTINED = "quarantined"
"""The kind of a row that was put aside already where it comes from."""
BATCH = 1_000
"""Threads that are read together: a table without an index is read once for as many."""


@dataclass(frozen=True, slots=True)
class Origin:
    """How a row is there that was put aside already where it comes from.

    Args:
        id: Of the row in the table of those.
        source: Where it was read then, for people.
        created: When it was put aside.
    """

    id: str
    source: str
    created: datetime


@dataclass(frozen=True, slots=True)
class Misfit:
    """A row, or a part of one, that has no place in our tables: it goes into the quarantine.

    Args:
        kind: What it would be: a kind of record, ``line`` or `QUARANTINED`.
        table: Where it was read.
        reason: Why, for people; what is particular to the row comes after a colon.
        row: Its values by the names of its columns.
        kept: Whether the row itself has a place, and only what is said here has none.
        origin: Of a `QUARANTINED` one: it comes along as it is.
    """

    kind: str
    table: str
    reason: str
    row: Mapping[str, Any]
    kept: bool = False
    origin: Origin | None = None

    @property
    def general(self) -> str:
        """The reason without what is particular to the row."""
        return self.reason.split(": ", 1)[0]

    @property
    def document(self) -> dict[str, Any]:
        """The row as JSON can hold it."""
        value: dict[str, Any] = _json.loads_exact(_json.dumps(self._row()))
        return value

    @property
    def digest(self) -> str:
        """The same for the same row and reason: put aside twice, it is there once."""
        if self.origin is not None:
            return self.origin.id
        text = _json.dumps([self.table, self.reason, self._row()])
        return hashlib.sha256(text.encode()).hexdigest()

    def _row(self) -> dict[str, Any]:
        return {name: _shown(value) for name, value in self.row.items()}


def _shown(value: Any) -> Any:
    if isinstance(value, BrokenText):
        return value.document
    return value.text if isinstance(value, Odd) else value


@dataclass(slots=True)
class Chunk:
    """A few rows.

    Args:
        records: Parents before what lies in them.
        misfits: What does not fit.
        threads: Set at the end of a batch: its threads, all of whose rows have been given.
        position: Set at the end of a batch: where to go on after it; None where it cannot be said,
            and what comes from the last position on is read again.
        read: Rows of the source that are in it.
    """

    records: list[Record] = field(default_factory=list)
    misfits: list[Misfit] = field(default_factory=list)
    threads: Sequence[str] | None = None
    position: str | None = None
    read: int = 0
    weight: int = 0

    @property
    def full(self) -> bool:
        """Whether it is to be handed on."""
        rows = len(self.records) + len(self.misfits)
        return rows >= CHUNK_ROWS or self.weight >= CHUNK_BYTES

    def take(self, *items: Record | Misfit, weight: int = 0) -> None:
        """Add what one row of the source became."""
        self.read += 1
        self.weight += weight
        for item in items:
            if isinstance(item, Record):
                self.records.append(item)
            else:
                self.misfits.append(item)


class Source(Protocol):
    """Where conversations come from; it is only read."""

    title: str
    """What it is, for people, without a password."""
    identity: str
    """The same for the same source, to go on after an interruption."""

    @property
    def part(self) -> str:
        """Why it may be a part of what it comes from, for people; empty: it is whole."""
        ...

    async def count(self) -> Mapping[str, int]:
        """Its rows by kind of record, as far as they are to be imported."""
        ...

    async def notes(self) -> Sequence[str]:
        """What people should know of it, each as a sentence."""
        ...

    def users(self) -> AsyncGenerator[Chunk, None]:
        """All users."""
        ...

    def threads(
        self, after: str | None = None, only: Collection[str] | None = None
    ) -> AsyncGenerator[Chunk, None]:
        """Threads and what lies in them, batch by batch.

        Args:
            after: The position of an earlier chunk; None: from the beginning.
            only: Just these threads.
        """
        ...

    def rest(self) -> AsyncGenerator[Chunk, None]:
        """What lies in no thread: misfits, and records of what was deleted."""
        ...


async def rechunked(
    rows: AsyncGenerator[tuple[Record | Misfit, ...], None],
) -> AsyncGenerator[Chunk, None]:
    """Gather what rows became into chunks."""
    chunk = Chunk()
    async for items in rows:
        chunk.take(*items, weight=sum(map(weight_of, items)))
        if chunk.full:
            yield chunk
            chunk = Chunk()
    if chunk.read:
        yield chunk


def weight_of(item: Record | Misfit) -> int:
    """About how many characters it holds."""
    values = item.values if isinstance(item, Record) else item.row
    weight = 0
    for value in values.values():
        if isinstance(value, (str, bytes)):
            weight += len(value)
        elif value and isinstance(value, (dict, list)):
            weight += len(_json.dumps(value))
    return weight
