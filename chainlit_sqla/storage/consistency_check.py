"""Compares the elements of a database with the blobs of a store, while both are in use.

Invariants:

1. The store is listed before the rows are read. An upload stores its blob before its row, so a
   blob without a row is an orphan only when it is older than any upload: a day.
2. A blob that the listing lacks is looked up once more, and its row read again: the blob may
   have been uploaded, or deleted with its row, since the listing.
3. Only blobs with keys of our own form, in threads that this database has or had, can be
   orphans. Others are counted: those of unknown threads, whose rows may have been deleted by
   other software, or which may belong to another database, and those of other software.
4. An orphan enters the deletion queue in a transaction that verifies that no row has its key.
   Keys are never used twice, so no row gets it later.
5. An unavailable store is an error, never a missing blob.
6. Memory is bounded: the listing goes into a temporary SQLite file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection

from .._internal.aio import Watch, quiet
from ..database import Database
from ..errors import ConfigurationError
from ..queries import elements as queries
from ..writes import deletion_queue
from .base import Inventory
from .cloud import in_lanes, stat_or_none
from .deletion_worker import QueueResult, delete_due
from .keys import is_own_key, thread_of_key

MINIMUM_AGE = timedelta(days=1)
"""A younger blob may belong to an upload under way."""

_BATCH = 500


@dataclass(frozen=True, slots=True)
class Problem:
    """A row or a blob that does not fit the other side: missing, orphaned or wrong-size.

    An orphan has no row, so the thread, the element and its file name are empty. ``row_size``
    is None where the row does not say it, ``stored_size`` where there is no blob.
    """

    kind: str
    key: str
    thread_id: str = ""
    element_id: str = ""
    name: str = ""
    row_size: int | None = None
    stored_size: int | None = None


@dataclass(slots=True)
class Report:
    """The numbers of a comparison.

    ``rows`` are elements with a blob; ``missing``, ``wrong_size`` and ``orphaned`` count the
    problems. Blobs without a row are ``young`` if they may belong to an upload under way,
    ``unknown`` if the database does not know their thread, ``foreign`` if they belong to other
    software. ``queued`` are keys in the deletion queue. ``unfinished`` are uploads that never ended
    and left parts in the store.
    """

    rows: int = 0
    blobs: int = 0
    missing: int = 0
    wrong_size: int = 0
    orphaned: int = 0
    young: int = 0
    unknown: int = 0
    foreign: int = 0
    queued: int = 0
    unfinished: int = 0

    @property
    def deletable(self) -> int:
        """How many things `StorageCheck.fix` removes."""
        return self.orphaned + self.unfinished


class StorageCheck:
    """The comparison of a database with a store; ``on_problem`` is called with each problem.

    With ``owns_store``, no other database uses the store: blobs of unknown threads are orphans.
    """

    def __init__(
        self,
        database: Database,
        storage: Inventory,
        *,
        on_problem: Callable[[Problem], object] = lambda _: None,
        owns_store: bool = False,
    ) -> None:
        self._database = database
        self._storage = storage
        self._on_problem = on_problem
        self._owns_store = owns_store
        self._before = datetime.now(UTC) - MINIMUM_AGE
        self._listing = sqlite3.connect("")  # A temporary file.
        self._listing.execute("CREATE TABLE blobs (key TEXT PRIMARY KEY, size INT, modified REAL)")
        self._listing.execute("CREATE TABLE orphans (key TEXT PRIMARY KEY)")

    def close(self) -> None:
        """Delete the temporary file."""
        self._listing.close()

    async def run(self, progress: Watch = quiet) -> Report:
        """Compare; writes to neither side."""
        report = Report()
        try:
            await self._list_store(report, progress)
            async for rows in queries.element_blobs(self._database):
                report.rows += len(rows)
                await self._compare_rows(rows, report)
                progress("rows with files", report.rows, None)
            async for keys in queries.queued_deletions(self._database):
                report.queued += len(keys)
                self._unlist(keys)
            await self._find_orphans(report)
        except sqlite3.Error as error:
            raise ConfigurationError(
                f"Cannot keep the listing of the store in a temporary file ({error}); free some "
                "space in the temporary folder, or set TMPDIR to another one"
            ) from error
        report.unfinished = await self._storage.clear_unfinished(
            self._before, is_ours=is_own_key, remove=False
        )
        return report

    async def fix(self) -> QueueResult:
        """Delete the orphans that `run` found, what unfinished uploads left, and what is queued.

        Where the store refuses a deletion, that orphan stays in the deletion queue.
        """
        await self._storage.clear_unfinished(self._before, is_ours=is_own_key, remove=True)
        with self._database.translated_errors():
            for batch in self._pages("SELECT key FROM orphans", _BATCH * 10):
                await self._database.transact(partial(self._enqueue, [key for (key,) in batch]))
            return await delete_due(self._database, self._storage)

    def _enqueue(self, keys: Sequence[str], connection: Connection) -> None:
        """Put those blobs that no row has into the deletion queue."""
        referenced = queries.referenced_keys(connection, keys)
        orphans = [key for key in keys if key not in referenced]
        deletion_queue.enqueue(connection, self._database.dialect, orphans)

    async def _list_store(self, report: Report, progress: Watch) -> None:
        async for blob in self._storage.list_blobs():
            values = (blob.key, blob.size, blob.modified.timestamp())
            self._listing.execute("INSERT OR REPLACE INTO blobs VALUES (?, ?, ?)", values)
            report.blobs += 1
            if report.blobs % queries.PAGE_SIZE == 0:
                progress("files in the store", report.blobs, None)

    def _unlist(self, keys: Sequence[str]) -> None:
        self._listing.executemany("DELETE FROM blobs WHERE key = ?", [(key,) for key in keys])

    async def _compare_rows(self, rows: Sequence[Any], report: Report) -> None:
        """Compare a page of rows with the listing, and remove their blobs from it."""
        missing = []
        for row in rows:
            query = "SELECT size FROM blobs WHERE key = ?"
            listed = self._listing.execute(query, (row.objectKey,)).fetchone()
            if listed is None:
                missing.append(row)
            else:
                self._check_size(row, listed[0], report)
        self._unlist([row.objectKey for row in rows])
        for start in range(0, len(missing), _BATCH):
            await self._look_again(missing[start : start + _BATCH], report)

    async def _look_again(self, rows: Sequence[Any], report: Report) -> None:
        blobs = await in_lanes(partial(stat_or_none, self._storage), [r.objectKey for r in rows])
        ids = [(row.threadId, row.id) for row in rows]
        keys = await self._database.read(lambda c: queries.current_keys(c, ids))
        for row in rows:
            blob = blobs[row.objectKey]
            # Otherwise deleted or replaced since the page was read.
            if keys.get((row.threadId, row.id)) == row.objectKey:
                self._check_size(row, blob.size if blob else None, report)

    def _check_size(self, row: Any, stored_size: int | None, report: Report) -> None:
        if stored_size is not None and row.byteSize in (None, stored_size):
            return
        kind = "missing" if stored_size is None else "wrong-size"
        report.missing += stored_size is None
        report.wrong_size += stored_size is not None
        self._on_problem(
            Problem(kind, row.objectKey, row.threadId, row.id, row.name, row.byteSize, stored_size)
        )

    async def _find_orphans(self, report: Report) -> None:
        for page in self._pages("SELECT key, size, modified FROM blobs ORDER BY key", _BATCH):
            threads = {key: thread_of_key(key) for key, _, _ in page if is_own_key(key)}
            ids = {thread_id for thread_id in threads.values() if thread_id}
            known = await self._database.read(partial(queries.known_threads, ids=ids))
            for key, size, modified in page:
                is_unknown = bool(threads.get(key)) and threads[key] not in known
                if key not in threads:
                    report.foreign += 1
                elif modified >= self._before.timestamp():
                    report.young += 1
                elif is_unknown and not self._owns_store:
                    report.unknown += 1
                else:
                    report.orphaned += 1
                    self._listing.execute("INSERT INTO orphans VALUES (?)", (key,))
                    self._on_problem(Problem("orphaned", key, stored_size=size))

    def _pages(self, query: str, size: int) -> Iterator[list[tuple[Any, ...]]]:
        cursor = self._listing.execute(query)
        while page := cursor.fetchmany(size):
            yield page
