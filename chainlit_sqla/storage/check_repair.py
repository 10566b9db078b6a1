"""Repairs what `storage_audit` found; may be ended at any moment and begun again.

Invariants:

1. A blob without row goes into the outbox, in a transaction that sees that no row has it,
   and is deleted by the outbox as always: what a crash leaves there is deleted later.
2. Only what was found is changed, and only if it is still so: blobs whose keys have the
   shape of ours and that were stored before the grace time by the store's own clock, as are
   uploads that never ended; rows that still have the same key. What a row has is never
   deleted.
3. A row without blob stays. Its ``objectKey`` becomes NULL, and the lost key is kept in
   ``extra``: when the blob is in the store again, the row gets it back.
4. A blob of another size than its row says is left alone: part of a file is more than none.
5. Where store and database may not belong together, nothing is changed unless forced.
   Nor are blobs of threads that the database never had deleted unless forced.
6. What was repaired is not found again.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain

from sqlalchemy.ext.asyncio import AsyncConnection

from .._internal.progress import Watch, quiet
from ..database import Database
from ..errors import ConfigurationError
from ..queries import blobs as queries
from . import check_repair_rows as writes
from .base import BlobSource, Inventory
from .check_audit import GRACE, UNFINISHED, Counts, is_ours
from .check_ledger import Kind, Ledger
from .deletion_queue import DeletionQueue

_PORTION = 500


@dataclass(frozen=True, slots=True)
class Repaired:
    """What a repair did.

    Args:
        linked: Rows that have their blob again.
        unlinked: Rows whose blob is marked as lost.
        deleted: Blobs without row that were deleted.
        waiting: Blobs that waited for their deletion and are deleted.
        unfinished: Uploads that never ended and were removed.
    """

    linked: int
    unlinked: int
    deleted: int
    waiting: int
    unfinished: int


async def repair(
    database: Database,
    storage: Inventory,
    ledger: Ledger,
    counts: Counts,
    *,
    grace: timedelta = GRACE,
    force: bool = False,
    progress: Watch = quiet,
) -> Repaired:
    """Repair what a comparison found.

    Args:
        database: The rows.
        storage: The blobs.
        ledger: The findings of `audit`.
        counts: What `audit` answered.
        grace: The same as for `audit`.
        force: Also where store and database may not belong together, and blobs of threads
            that the database never had.
        progress: Called now and then.

    Returns:
        What was done; things that changed since they were found are not in it.

    Raises:
        ConfigurationError: Store and database may not belong together.
        StorageError: The store cannot be written.
        DatabaseUnavailable: The database cannot be written.
    """
    if counts.doubt and not force:
        raise ConfigurationError(doubtful(counts))
    work = _Repair(database, storage, ledger, progress)
    unfinished = 0
    if counts.unfinished:
        before = await work.store_time() - UNFINISHED
        unfinished = await storage.clear_unfinished(before, is_ours=is_ours, remove=True)
    linked = await work.rows(Kind.FOUND_AGAIN, writes.link_again)
    unlinked = await work.rows(Kind.NO_BLOB, writes.unlink)
    kinds = [Kind.NO_ROW, Kind.UNKNOWN] if force else [Kind.NO_ROW]
    deleted = await work.condemn(kinds, grace) if counts.without_row(force) else 0
    left = await work.empty_outbox() if deleted or counts.waiting else 0
    return Repaired(linked, unlinked, deleted, max(0, counts.waiting - left), unfinished)


def doubtful(counts: Counts) -> str:
    """What to say where store and database may not belong together.

    Args:
        counts: What `audit` answered, with a doubt.
    """
    return (
        f"{counts.doubt} Is this the right store, and the right database? Nothing was changed; "
        "check CHAINLIT_SQLA_STORAGE or BUCKET_NAME, and DATABASE_URL; "
        "to repair all the same, add --force"
    )


class _Repair:
    """The steps of a repair."""

    def __init__(
        self, database: Database, storage: Inventory, ledger: Ledger, progress: Watch
    ) -> None:
        self._database = database
        self._storage = storage
        self._ledger = ledger
        self._progress = progress

    async def store_time(self) -> datetime:
        """The time by the store's clock, by which ages of blobs are told."""
        key = f"chainlit-sqla-check/{secrets.token_hex(8)}"
        await self._storage.put(key, BlobSource(data=b""), mime="application/octet-stream")
        try:
            return (await self._storage.stat(key)).modified
        finally:
            await asyncio.shield(self._storage.delete([key]))

    async def rows(
        self,
        kind: Kind,
        change: Callable[..., Awaitable[int]],
    ) -> int:
        """Change the rows of a kind of findings, a transaction for each portion."""
        changed = 0
        for portion in self._ledger.portions(kind, _PORTION):
            links = [(finding.thread_id, finding.id, finding.key) for finding in portion]

            async def work(connection: AsyncConnection, links: list[writes.Link] = links) -> int:
                return await change(connection, self._database.dialect, links)

            changed += await self._write(work)
            self._progress("rows repaired", changed, None)
        return changed

    async def condemn(self, kinds: Iterable[Kind], grace: timedelta) -> int:
        """Put blobs without row into the outbox."""
        before = await self.store_time() - grace
        condemned = 0
        for portion in chain(*(self._ledger.portions(kind, _PORTION * 10) for kind in kinds)):
            keys = [finding.key for finding in portion if finding.at < before]

            async def work(connection: AsyncConnection, keys: list[str] = keys) -> int:
                return await writes.condemn(connection, self._database.dialect, keys)

            condemned += await self._write(work)
            self._progress("files without row to delete", condemned, None)
        return condemned

    async def empty_outbox(self) -> int:
        """Delete what is due in the outbox, as the data layer does; tells how much is left."""
        await self._write(writes.spare)
        with self._translated():
            await DeletionQueue(self._database, self._storage).drain()
        return await self._database.read(queries.count_waiting)

    async def _write(self, work: Callable[[AsyncConnection], Awaitable[int | None]]) -> int:
        with self._translated():
            async with self._database.write() as connection:
                return await work(connection) or 0

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except self._database.dialect.errors as error:
            raise self._database.translate(error) from error
