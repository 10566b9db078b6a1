"""Deletes the blobs of deleted elements: after the commit, again after a failure."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from .database import Database
from .dialects import brief
from .errors import ChainlitSqlaError
from .storage.base import StorageClient
from .writes import outbox
from .writes.apply import put_into_outbox

log = logging.getLogger(__name__)

_AT_ONCE = 1_000
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 300.0


class Outbox:
    """Empties the outbox table in the background while there is something in it.

    Rows enter it in the transaction that deletes their elements and leave it when the
    blob is gone, so erased means erased, across failures and restarts.

    Args:
        database: Where the outbox is.
        storage: Where the blobs are.
    """

    def __init__(self, database: Database, storage: StorageClient) -> None:
        self._database = database
        self._storage = storage
        self._sweeper: asyncio.Task[None] | None = None
        self._again = False
        self._closing = asyncio.Event()
        self._expected: tuple[type[Exception], ...] = (
            ChainlitSqlaError,
            *database.dialect.errors,
        )

    def wake(self) -> None:
        """Look at the outbox soon."""
        self._again = True
        if self._sweeper is None or self._sweeper.done():
            self._sweeper = asyncio.create_task(self._sweep())

    async def add(self, key: str) -> None:
        """Have a blob deleted that no row points at; logs where even that cannot be noted.

        Args:
            key: Its object key.
        """
        try:
            async with self._database.write() as connection:
                await put_into_outbox(connection, self._database.dialect, [key])
        except self._expected as error:
            log.error(
                "The blob %s has no row and is not noted for deletion (%s); "
                "run: chainlit-sqla storage check --fix",
                key,
                brief(error),
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
        self._closing.set()
        if self._sweeper and not self._sweeper.done():
            seconds = self._database.settings.close_seconds
            await asyncio.wait([self._sweeper], timeout=seconds)
            self._sweeper.cancel()
            await asyncio.wait([self._sweeper])

    async def _sweep(self) -> None:
        pause = _FIRST_PAUSE
        while self._again:
            self._again = False
            try:
                while await self._delete_some():
                    pause = _FIRST_PAUSE
            except self._expected as error:
                log.warning("Blobs are not deleted yet, again in %.0f s: %s", pause, brief(error))
                if await self._closed_within(pause):
                    return
                pause = min(pause * 2, _LONGEST_PAUSE)
                self._again = True
            except Exception:
                log.exception("Blobs are not deleted; they are tried again at the next start")
                return

    async def _closed_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), seconds)
        return self._closing.is_set()

    async def _delete_some(self) -> bool:
        keys = await self._database.read(lambda connection: outbox.due(connection, _AT_ONCE))
        if not keys:
            return False
        try:
            await self._storage.delete(keys)
        except ChainlitSqlaError:
            async with self._database.write() as connection:
                await outbox.failed(connection, keys)
            raise
        async with self._database.write() as connection:
            await outbox.done(connection, keys)
        return True
