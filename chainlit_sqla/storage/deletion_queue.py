"""Deletes the blobs of deleted elements: after the commit, again after a failure."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

from .._internal.aio import PerLoop, is_working
from .._internal.timestamps import now
from ..database import Database
from ..dialects import one_line
from ..errors import ChainlitSqlaError, StorageUnavailable
from ..writes import deletion_queue as outbox
from .base import StorageClient
from .keys import possible_names, url_safe_key

log = logging.getLogger(__name__)

_AT_ONCE = 1_000
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 300.0
_CALLS = 64
"""Calls to the store in one round, so that a store that refuses all is not stormed."""


class DeletionQueue:
    """Empties the outbox table in the background while there is something in it.

    Rows enter it in the transaction that deletes their elements and leave it when the
    blob is gone, so erased means erased, across failures and restarts. A blob that cannot
    be deleted keeps none of the others.

    Args:
        database: Where the outbox is.
        storage: Where the blobs are.
    """

    def __init__(self, database: Database, storage: StorageClient) -> None:
        self._database = database
        self._storage = storage
        self._sweeper: asyncio.Task[None] | None = None
        self._again = False
        self._closed = False
        self._closing = PerLoop(asyncio.Event)
        self._news = PerLoop(asyncio.Event)
        self._expected: tuple[type[Exception], ...] = (
            ChainlitSqlaError,
            *database.dialect.errors,
        )

    def wake(self) -> None:
        """Look at the outbox soon."""
        self._again = True
        self._news.get().set()
        if not is_working(self._sweeper):
            self._sweeper = asyncio.create_task(self._sweep())

    async def add(self, key: str, delay: timedelta) -> None:
        """Have a blob deleted that no row points at; logs where even that cannot be noted.

        Args:
            key: Its object key.
            delay: Not before this time has passed.
        """
        at = now() + delay
        try:
            async with self._database.write() as connection:
                await connection.run_sync(outbox.put, self._database.dialect, [key], at)
        except self._expected as error:
            log.error(
                "The blob %s has no row and is not noted for deletion (%s); "
                "run: chainlit-sqla storage check --fix",
                key,
                one_line(error),
            )
        else:
            self.wake()

    async def drain(self) -> None:
        """Delete all that is due, here and now: a command that ends has no background.

        Raises:
            StorageError: The store cannot be written; the rest stays for the next time.
        """
        while await self._delete_some():
            pass

    async def close(self) -> None:
        """End what is under way; what is left is picked up at the next start."""
        self._closed = True
        self._closing.get().set()
        self._news.get().set()
        if is_working(self._sweeper):
            seconds = self._database.settings.close_seconds
            await asyncio.wait([self._sweeper], timeout=seconds)
            self._sweeper.cancel()
            await asyncio.wait([self._sweeper])

    async def _sweep(self) -> None:
        pause = _FIRST_PAUSE
        while self._again:  # What is due is deleted also while closing.
            self._again = False
            self._news.get().clear()
            try:
                while await self._delete_some():
                    pause = _FIRST_PAUSE
                due = await self._database.read(
                    lambda connection: connection.run_sync(outbox.next_due)
                )
            except self._expected as error:
                log.warning(
                    "Blobs are not deleted yet, again in %.0f s: %s", pause, one_line(error)
                )
                await _within(pause, self._closing.get())
                pause = min(pause * 2, _LONGEST_PAUSE)
                self._again = not self._closed
            except Exception:
                log.exception("Blobs are not deleted; they are tried again at the next start")
                return
            else:
                if due is not None and not self._closed:
                    wait = (due - now()).total_seconds()
                    await _within(min(max(wait, 0.1), _LONGEST_PAUSE), self._news.get())
                    self._again |= not self._closed

    async def _read(self, query: Callable[..., Any], *arguments: Any) -> Any:
        return await self._database.read(lambda connection: connection.run_sync(query, *arguments))

    async def _delete_some(self) -> bool:
        """Delete some of what is due; raises the first error when all were tried."""
        keys = await self._database.read(
            lambda connection: connection.run_sync(outbox.due, _AT_ONCE)
        )
        if not keys:
            return False
        work = _Deletion(self._storage)
        await work.delete(list(keys))
        async with self._database.write() as connection:
            if work.gone:
                await connection.run_sync(outbox.done, work.gone)
            if work.left:
                await connection.run_sync(outbox.failed, work.left)
        if work.error:
            raise work.error
        return True


class _Deletion:
    """Deletes blobs together, and in halves where one of them cannot be deleted."""

    def __init__(self, storage: StorageClient) -> None:
        self._storage = storage
        self._calls = _CALLS
        self.gone: list[str] = []
        self.left: list[str] = []
        self.error: ChainlitSqlaError | None = None

    async def delete(self, keys: list[str]) -> None:
        """Delete blobs; what became of them stands in `gone` and `left`."""
        names, impossible = possible_names(keys, url_safe_key)
        for error in impossible:
            log.error("There is no blob to delete: %s", error)
        self.gone += [key for key in keys if key not in names]
        if names:
            await self._delete(list(names))

    async def _delete(self, keys: list[str]) -> None:
        if not self._calls or isinstance(self.error, StorageUnavailable):
            self.left += keys
            return
        self._calls -= 1
        try:
            await self._storage.delete(keys)
        except ChainlitSqlaError as error:
            if len(keys) > 1 and not isinstance(error, StorageUnavailable):
                middle = len(keys) // 2
                await self._delete(keys[:middle])
                await self._delete(keys[middle:])
                return
            self.error = self.error or error
            self.left += keys
        else:
            self.gone += keys


async def _within(seconds: float, event: asyncio.Event) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
