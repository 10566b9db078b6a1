"""Deletes the blobs of deleted elements: after the commit, and again after a failure."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection

from .._internal.aio import CANCEL_SECONDS, PerLoop, is_working, start_background
from .._internal.outage import OutageLog
from .._internal.retry import bisect
from .._internal.timestamps import now
from ..database import Database
from ..dialects import one_line
from ..errors import ChainlitSqlaError, StorageError, StorageUnavailable
from ..queries.elements import queued_deletions
from ..writes import deletion_queue
from .base import Inventory, StorageClient
from .cloud import in_lanes, stat_or_none
from .keys import possible_names, url_safe_key

log = logging.getLogger(__name__)

_BATCH = 1_000
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 300.0
_REQUESTS = 64
"""Requests to the store in one round, so that one that refuses everything is not flooded."""


class DeletionQueue:
    """Deletes queued blobs in the background while there are any.

    Keys enter the queue in the transaction that deletes their elements and leave it when the
    blob is deleted, so no failure and no restart loses a deletion. A blob that cannot be deleted
    does not hold up the others.
    """

    def __init__(self, database: Database, storage: StorageClient) -> None:
        self._database = database
        self._storage = storage
        self._worker: asyncio.Task[None] | None = None
        self._pending = False
        self._closed = False
        self._closing = PerLoop(asyncio.Event)
        self._woken = PerLoop(asyncio.Event)
        self._outage = OutageLog(log, "deleted", lambda: "blobs of deleted elements")
        self._expected: tuple[type[Exception], ...] = ChainlitSqlaError, *database.dialect.errors

    def wake(self) -> None:
        """Have the queue read soon."""
        self._pending = True
        self._woken.get().set()
        if not is_working(self._worker):
            self._worker = start_background(self._work())

    async def add(self, key: str, delay: timedelta) -> None:
        """Queue a blob that belongs to no row; logs an error if even that fails."""

        def enqueue(connection: Connection) -> None:
            deletion_queue.enqueue(connection, self._database.dialect, [key], now() + delay)

        try:
            await self._database.transact(enqueue)
        except self._expected as error:
            log.error(
                "Not queued for deletion: the blob %r, which has no row (%s); "
                "run: chainlit-sqla storage check --fix",
                key,
                one_line(error),
            )
        else:
            self.wake()

    async def close(self, seconds: float | None = None) -> None:
        """Stop the background work in time; the next start continues with what is left."""
        self._closed = True
        self._closing.get().set()
        self._woken.get().set()
        if is_working(self._worker):
            seconds = self._database.settings.close_seconds if seconds is None else seconds
            await asyncio.wait([self._worker], timeout=seconds)
            self._worker.cancel()
            await asyncio.wait([self._worker], timeout=CANCEL_SECONDS)
        self._outage.close()

    async def _work(self) -> None:
        pause = _FIRST_PAUSE
        while self._pending:  # What is due is deleted during closing, too.
            self._pending = False
            self._woken.get().clear()
            try:
                while keys := await self._read(deletion_queue.read_due, _BATCH):
                    _, failure = await self.delete_queued(keys)
                    if failure:
                        raise failure
                    pause = _FIRST_PAUSE
                due = await self._read(deletion_queue.read_next_due)
                self._outage.succeeded()
            except Exception as error:
                if not isinstance(error, self._expected):  # Of a third-party client, say.
                    log.exception("Blobs not deleted: unexpected error of the store")
                self._outage.failed(one_line(error))
                await _wait(self._closing.get(), pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
                self._pending = not self._closed
            else:
                if due is not None and not self._closed:
                    seconds = (due - now()).total_seconds()
                    await _wait(self._woken.get(), min(max(seconds, 0.1), _LONGEST_PAUSE))
                    self._pending |= not self._closed

    async def delete_queued(self, keys: Sequence[str]) -> tuple[int, Exception | None]:
        """Delete some of the queued blobs now; return how many are deleted, and the first error.

        What the store refuses to delete stays in the queue.
        """
        deleted, error = await self._delete(keys)
        left = [key for key in keys if key not in deleted]

        def record(connection: Connection) -> None:
            if deleted:
                deletion_queue.dequeue(connection, [*deleted])
            if left:
                deletion_queue.count_failure(connection, left)

        await self._database.transact(record)
        return len(deleted), error

    async def _delete(self, keys: Sequence[str]) -> tuple[set[str], Exception | None]:
        """Delete blobs; returns the keys that are deleted, and the first error."""
        names, impossible = possible_names(keys, url_safe_key)
        for reason in impossible:
            log.error("Not deleted, for no store can have such a blob: %s", reason)
        deleted = {key for key in keys if key not in names}
        errors: list[Exception] = []
        requests = 0

        async def delete(batch: Sequence[str]) -> None:
            nonlocal requests
            requests += 1
            await self._storage.delete(batch)
            deleted.update(batch)

        def is_refusal(error: Exception) -> bool:
            unavailable = isinstance(error, StorageUnavailable) or requests >= _REQUESTS
            return isinstance(error, ChainlitSqlaError) and not unavailable

        try:
            await bisect(list(names), delete, is_refusal, lambda _, error: errors.append(error))
        except ChainlitSqlaError as error:
            errors.append(error)
        return deleted, errors[0] if errors else None

    async def _read(self, query: Callable[..., Any], *arguments: Any) -> Any:
        return await self._database.read(lambda connection: connection.run_sync(query, *arguments))


@dataclass(slots=True)
class QueueResult:
    """What became of the blobs in the queue; those that wait are still in it."""

    deleted: int = 0
    waiting: int = 0
    reason: str = ""
    """Why the first one waits."""

    def raise_if_waiting(self) -> None:
        """Raise an error with the repair unless all are deleted."""
        if self.waiting:
            raise StorageError(
                f"{self.waiting:,} of the files to delete wait: {self.reason}; they stay in the "
                "deletion queue, from which the application deletes them, or, where the store is "
                "available: chainlit-sqla storage check --fix"
            )


async def delete_due(database: Database, storage: Inventory) -> QueueResult:
    """Delete the queued blobs of a store, now.

    A blob that it does not have stays in the queue: the application may have another store.
    """
    queue, result = DeletionQueue(database, storage), QueueResult()
    error: Exception | None = None
    async for keys in queued_deletions(database, now()):
        deleted = 0
        if not isinstance(error, StorageUnavailable):
            try:
                blobs = await in_lanes(partial(stat_or_none, storage), keys)
                existing = [key for key, blob in blobs.items() if blob]
                deleted, error = await queue.delete_queued(existing)
                missing = [key for key, blob in blobs.items() if not blob]
                if missing and not result.reason:
                    result.reason = f"the store has no file {missing[0]!r}"
            except StorageError as store_error:
                error = store_error
            if error:
                result.reason = one_line(error)
        result.deleted += deleted
        result.waiting += len(keys) - deleted
    return result


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
