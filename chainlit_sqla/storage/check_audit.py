"""Compares the rows of a database with the blobs of a store, while both are in use.

Invariants of the comparison, which writes nothing:

1. An upload under way has a blob and no row yet (`uploads`). So a blob is without row only
   if it was stored long ago, before the grace time. The store is listed first, then rows
   and outbox are read: what was stored before the listing has had its row written since.
2. What is found is looked at once more: the blob by ``stat``, then the row. A blob may
   have been uploaded, or deleted with its row, after the listing; a row may be gone or
   have another blob.
3. Blobs in the outbox wait for their deletion; they are not without row.
4. Only blobs whose keys have the shape of ours are judged. Others are counted, unless a
   row has them.
5. Blobs without row of threads that the database never had may belong to another database
   that uses the same store. They are findings of a kind of their own.
6. A key that was lost (`writes.repair.unlink`) still belongs to its row, and to no other.
7. A store that does not answer is an error, never a blob that is missing.
8. Memory is bounded: portions go into a `Ledger`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import unquote

from sqlalchemy.ext.asyncio import AsyncConnection

from .._internal.json import clean_text
from .._internal.progress import Watch, quiet
from ..database import Database
from ..errors import BlobNotFound
from ..models import LOST_KEY
from ..queries import blobs as queries
from .base import BlobInfo, Inventory
from .check_ledger import Finding, Holder, Kind, Ledger
from .uploads import object_key

T = TypeVar("T")

GRACE = timedelta(hours=1)
"""How old a blob without row must be, unless told otherwise: longer than any upload."""
UNFINISHED = timedelta(hours=24)
"""How long ago an upload that left something must have begun."""

_PORTION = 5_000
_LOOKED_UP = 500
"""Findings that are looked at again together."""
_MANY = 10
"""Unknown blobs that are no accident: a killed process leaves one for each upload at most."""
_AT_ONCE = 16
"""Requests to the store that are under way at most."""

# What `uploads.object_key` and `storage.probe` make.
_OURS = re.compile(r"threads/[^/]+/[^/]+/[0-9a-f]{32}|chainlit-sqla-check/[0-9a-f]{16}")
_HASHED = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Counts:
    """The result of a comparison in numbers.

    Args:
        rows: Elements with a blob.
        present: Those of them whose blob is in the store.
        blobs: Blobs of ours in the store, and others that rows have.
        no_blob: Rows without blob.
        no_row: Blobs without row, but for the ``unknown``.
        damaged: Blobs whose size is not that of the row.
        found_again: Lost blobs that are in the store again.
        lost_earlier: Rows that say their blob is lost, which is nothing wrong any more.
        waiting: Blobs in the outbox.
        unfinished: Uploads that never ended and left something in the store.
        fresh: Blobs without row that may belong to uploads under way.
        strangers: Blobs that are neither ours nor in a row.
        unknown: Blobs without row of threads that the database never had.
        youngest: When the last of the ``fresh`` was stored, if there are any.
    """

    rows: int = 0
    present: int = 0
    blobs: int = 0
    no_blob: int = 0
    no_row: int = 0
    damaged: int = 0
    found_again: int = 0
    lost_earlier: int = 0
    waiting: int = 0
    unfinished: int = 0
    fresh: int = 0
    strangers: int = 0
    unknown: int = 0
    youngest: datetime | None = None

    @property
    def repairable(self) -> int:
        """How many things are wrong that a repair can change."""
        return self.no_blob + self.no_row + self.found_again + self.unfinished

    @property
    def wrong(self) -> int:
        """How many things are wrong; what waits for its deletion is not."""
        return self.repairable + self.damaged

    def without_row(self, force: bool) -> int:
        """How many blobs without row a repair deletes.

        Args:
            force: Also those of threads that the database never had.
        """
        return self.no_row + (self.unknown if force else 0)

    @property
    def doubt(self) -> str:
        """Why this may be the wrong store or database; empty: nothing speaks for it."""
        if self.no_blob and not self.present:
            return f"None of the {self.rows:,} files that the database knows is in this store."
        without_row = self.without_row(force=True)
        if without_row and not self.rows:
            return (
                f"The store has {without_row:,} files of conversations, "
                "but the database knows of none."
            )
        if self.unknown >= _MANY and self.unknown > self.no_row:
            return (
                f"{self.unknown:,} of {without_row:,} files without row are of conversations "
                "that this database never had: another database may use the same store."
            )
        return ""


async def audit(
    database: Database,
    storage: Inventory,
    ledger: Ledger,
    *,
    grace: timedelta = GRACE,
    progress: Watch = quiet,
) -> Counts:
    """Compare a database with a store; writes nothing to either.

    Args:
        database: The rows.
        storage: The blobs.
        ledger: An empty one; it has the findings afterwards.
        grace: How long ago a blob must have been stored to be one without row. It must be
            longer than an upload takes with all retries, unless nothing is uploading.
        progress: Called now and then.

    Returns:
        The numbers.

    Raises:
        StorageError: The store cannot be read.
        DatabaseUnavailable: The database cannot be read.
        ConfigurationError: There is no room for the ledger.

    Example:
        >>> with Ledger.opened() as ledger:
        ...     counts = await audit(database, storage, ledger)
        ...     lost = ledger.findings(Kind.NO_BLOB)
    """
    begun = datetime.now(UTC)
    look = _Audit(database, storage, ledger, begun - grace, progress)
    await look.list_store()
    await look.read_rows()
    await asyncio.to_thread(ledger.compare, look.before)
    for kind in (Kind.NO_BLOB, Kind.DAMAGED, Kind.LOST_EARLIER, Kind.FOUND_AGAIN, Kind.NO_ROW):
        await look.look_again(kind)
    await look.set_unknown_apart()
    tally = await asyncio.to_thread(ledger.tally, look.before)
    tally["present"] += look.uploaded_since
    return Counts(
        **tally,
        no_blob=ledger.count(Kind.NO_BLOB),
        no_row=ledger.count(Kind.NO_ROW),
        damaged=ledger.count(Kind.DAMAGED),
        found_again=ledger.count(Kind.FOUND_AGAIN),
        lost_earlier=ledger.count(Kind.LOST_EARLIER),
        unknown=ledger.count(Kind.UNKNOWN),
        youngest=ledger.youngest(look.before),
        unfinished=await storage.clear_unfinished(
            begun - UNFINISHED, is_ours=is_ours, remove=False
        ),
    )


def is_ours(key: str) -> bool:
    """Tell whether a key has the shape of those that this package makes.

    Args:
        key: An object key.

    Example:
        >>> is_ours("threads/t/e/0123456789abcdef0123456789abcdef"), is_ours("user/e/a.png")
        (True, False)
    """
    return _OURS.fullmatch(key) is not None


class _Audit:
    """The steps of a comparison."""

    def __init__(
        self,
        database: Database,
        storage: Inventory,
        ledger: Ledger,
        before: datetime,
        progress: Watch,
    ) -> None:
        self._database = database
        self._storage = storage
        self._ledger = ledger
        self._progress = progress
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self.before = before
        self.uploaded_since = 0
        """Rows whose blob was not in the listing and is there."""

    async def list_store(self) -> None:
        """Note all blobs."""
        number = 0
        self._progress("files in the store", 0, None)
        portion: list[tuple[BlobInfo, bool]] = []
        async for info in self._storage.list_blobs():
            portion.append((info, is_ours(info.key)))
            if len(portion) == _PORTION:
                await asyncio.to_thread(self._ledger.add_blobs, portion)
                number += len(portion)
                portion = []
                self._progress("files in the store", number, None)
        await asyncio.to_thread(self._ledger.add_blobs, portion)
        self._progress("files in the store", number + len(portion), number + len(portion))

    async def read_rows(self) -> None:
        """Note all elements with a blob, those that lost theirs, and the outbox."""
        number = 0
        self._progress("rows with files", 0, None)
        async for rows in self._portions(queries.referenced, lambda row: (row.threadId, row.id)):
            await asyncio.to_thread(self._ledger.add_holders, [_holder(row) for row in rows])
            number += len(rows)
            self._progress("rows with files", number, None)
        async for rows in self._portions(queries.lost, lambda row: (row.threadId, row.id)):
            losers = [holder for row in rows if (holder := _loser(row))]
            await asyncio.to_thread(self._ledger.add_holders, losers)
        async for keys in self._portions(queries.waiting, lambda key: key):
            await asyncio.to_thread(self._ledger.add_waiting, keys)
        self._progress("rows with files", number, number)

    async def look_again(self, kind: Kind) -> None:
        """Drop findings of a kind that are none any more."""
        total = await asyncio.to_thread(self._ledger.count, kind)
        number = 0
        for portion in self._ledger.portions(kind, _LOOKED_UP):
            self._progress(f"{kind.value} looked at again", number, total)
            infos = await asyncio.gather(*(self._stat(finding.key) for finding in portion))
            refuted, changed = [], []
            keys = await self._keys_now(portion)
            for finding, info in zip(portion, infos, strict=True):
                verdict = self._verdict(finding, info, keys)
                if verdict is None:
                    refuted.append(finding)
                    self.uploaded_since += kind is Kind.NO_BLOB and info is not None
                elif verdict is not kind:
                    changed.append((finding, verdict, info.size if info else None))
            await asyncio.to_thread(self._ledger.drop, refuted)
            await asyncio.to_thread(self._ledger.reclassify, changed)
            number += len(portion)
            self._progress(f"{kind.value} looked at again", number, total)

    async def set_unknown_apart(self) -> None:
        """Give blobs without row another kind whose thread was never in the database."""
        for portion in self._ledger.portions(Kind.NO_ROW, _PORTION):
            parts = [_part_of_thread(finding.key) for finding in portion]
            known = await self._known({part for part in parts if part})
            unknown = [
                (finding, Kind.UNKNOWN, finding.stored)
                for finding, part in zip(portion, parts, strict=True)
                if part and part not in known
            ]
            await asyncio.to_thread(self._ledger.reclassify, unknown)

    def _verdict(
        self, finding: Finding, info: BlobInfo | None, keys: dict[queries.Place, str | None]
    ) -> Kind | None:
        """What is wrong now; None: nothing."""
        if finding.kind is Kind.NO_ROW:
            return Kind.NO_ROW if info and info.modified < self.before else None
        place = finding.thread_id, finding.id
        if finding.kind in (Kind.FOUND_AGAIN, Kind.LOST_EARLIER):
            if place not in keys or keys[place] is not None:
                return None
            return Kind.FOUND_AGAIN if info else Kind.LOST_EARLIER
        if keys.get(place) != finding.key:
            return None
        if info is None:
            return Kind.NO_BLOB
        return Kind.DAMAGED if finding.size not in (None, info.size) else None

    async def _stat(self, key: str) -> BlobInfo | None:
        async with self._slots:
            try:
                return await self._storage.stat(key)
            except BlobNotFound:
                return None

    async def _keys_now(self, portion: Sequence[Finding]) -> dict[queries.Place, str | None]:
        places = [(finding.thread_id, finding.id) for finding in portion if finding.thread_id]
        if not places:
            return {}
        return await self._database.read(lambda c: queries.keys_of(c, places))

    async def _known(self, parts: set[str]) -> set[str]:
        """Those parts of keys that stand for threads which are or were in the database."""
        ids = {part: clean_text(unquote(part)) for part in parts}
        here = await self._database.read(lambda c: queries.known_threads(c, set(ids.values())))
        known = {part for part, id in ids.items() if id in here}
        hashes = {part for part in parts - known if _HASHED.fullmatch(part)}
        if hashes:
            async for long_ids in self._portions(queries.long_threads, lambda id: id):
                known |= hashes & {_part_of_thread(_folder(id, "")) for id in long_ids}
        return known

    async def _portions(
        self,
        query: Callable[[AsyncConnection, Any, int], Awaitable[Sequence[T]]],
        place_of: Callable[[T], Any],
    ) -> AsyncIterator[Sequence[T]]:
        """All rows of a query, in portions and without a transaction that lasts."""
        after: Any = None

        async def next_portion(connection: AsyncConnection) -> Sequence[T]:
            return await query(connection, after, _PORTION)

        while rows := await self._database.read(next_portion):
            yield rows
            after = place_of(rows[-1])


def _holder(row: Any) -> Holder:
    return Holder(row.threadId, row.id, row.objectKey, row.name, row.byteSize, row.createdAt)


def _loser(row: Any) -> Holder | None:
    """A row that lost its blob, None where what it says of it cannot be believed."""
    key = row.extra.get(LOST_KEY) if isinstance(row.extra, dict) else None
    if not isinstance(key, str) or not key:
        return None
    if is_ours(key) and not key.startswith(_folder(row.threadId, row.id)):
        return None  # It would give this row the file of another.
    return Holder(row.threadId, row.id, key, row.name, row.byteSize, row.createdAt, lost=True)


def _folder(thread_id: str, id: str) -> str:
    """What the keys of an element begin with."""
    folder, slash, _ = object_key({"threadId": thread_id, "id": id}).rpartition("/")
    return folder + slash


def _part_of_thread(key: str) -> str:
    """The part of a key that stands for a thread, or for a long id its hash; else empty."""
    kind, _, rest = key.partition("/")
    return rest.partition("/")[0] if kind == "threads" else ""
