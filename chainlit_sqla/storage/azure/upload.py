"""One upload to Azure: in one request, or in blocks that are sent side by side."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any, BinaryIO

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import BlobBlock

from ..base import source_errors
from ..budget import Budget
from ..buffers import MappedBytes

logger = logging.getLogger("chainlit_sqla")

MAX_BLOCKS = 50_000
"""Blocks of one blob at most; the service's own limit."""
AT_ONCE = 1024 * 1024
"""Bytes up to which a blob goes in one request, for which the SDK wants plain bytes."""
REQUEST_SECONDS = 300
"""For a request with little in it, all its attempts included."""
SILENT_SECONDS = 120
"""Without any progress of a block, which is longer than the SDK waits for an answer."""
UNDO_SECONDS = 10


class _Block(MappedBytes):
    """A block as a body that tells how it gets on."""

    def __init__(self, room: int) -> None:
        super().__init__(room)
        self.on_progress: Callable[[], None] = lambda: None

    def moved(self) -> None:
        self.on_progress()

    def let_go(self) -> None:
        self.on_progress = lambda: None
        super().let_go()


@dataclass(frozen=True, slots=True)
class Upload:
    """The destination of one blob and the means to get it there.

    Args:
        blob: A ``BlobClient`` of the SDK.
        key: The object key, for errors.
        headers: Content type and disposition, as ``ContentSettings``.
        size: Bytes of the blob, as far as is known.
        block_size: Bytes of a block.
        budget: The memory for the blocks of all uploads together.
    """

    blob: Any
    key: str
    headers: Any
    size: int
    block_size: int
    budget: Budget
    # Blocks of two uploads under one key must not mix.
    _id: str = field(default_factory=lambda: secrets.token_hex(8))

    async def send(self, file: BinaryIO) -> int:
        """Send the file from where it stands to its end.

        Args:
            file: Opened for buffered binary reading.

        Returns:
            The number of bytes sent.
        """
        first = await self._next_block(file, 0)
        size = len(first)
        if size <= min(AT_ONCE, self.block_size - 1):
            try:
                await self._finish(self._put(first))
            finally:
                self._let_go(first)
            return size
        try:
            size, blocks = await self._in_parallel(file, first)
        except BaseExceptionGroup as errors:  # One block's error stands for all.
            raise errors.exceptions[0] from None
        await self._finish(self.blob.commit_block_list(blocks, content_settings=self.headers))
        return size

    async def _next_block(self, file: BinaryIO, sent: int) -> _Block:
        """Read a block; the caller lets it go."""
        wanted = min(self.block_size, self.size - sent)
        copies = 2 if self.size <= AT_ONCE else 1  # See `_put`.
        block = _Block(await self.budget.take(copies * wanted))
        try:
            with source_errors(self.key):
                await asyncio.to_thread(block.fill, file, self.block_size)
        except BaseException:
            self._let_go(block)
            raise
        return block

    def _let_go(self, block: _Block, _task: object = None) -> None:
        block.let_go()
        self.budget.give(block.room)

    async def _put(self, block: _Block) -> None:
        await self.blob.upload_blob(
            block.piece(0, len(block)),
            length=len(block),
            overwrite=True,
            content_settings=self.headers,
        )

    async def _in_parallel(self, file: BinaryIO, first: _Block) -> tuple[int, list[BlobBlock]]:
        size, block = 0, first
        blocks: list[BlobBlock] = []
        async with asyncio.TaskGroup() as group:
            while len(block):
                size += len(block)
                blocks.append(BlobBlock(f"{self._id}{len(blocks):08}"))
                task = group.create_task(self._stage(blocks[-1].id, block))
                # A task that is cancelled before it starts runs no "finally" of its own.
                task.add_done_callback(partial(self._let_go, block))
                block = await self._next_block(file, size)
            self._let_go(block)
        return size, blocks

    async def _stage(self, block_id: str, block: _Block) -> None:
        now = asyncio.get_running_loop().time
        async with asyncio.timeout(SILENT_SECONDS) as limit:
            block.on_progress = lambda: limit.reschedule(now() + SILENT_SECONDS)
            await self.blob.stage_block(block_id, block, length=len(block))

    async def _finish(self, request: Coroutine[Any, Any, Any]) -> None:
        """Send what makes the blob visible; undo it when the caller gives up meanwhile."""
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                await request
        except asyncio.CancelledError:
            await asyncio.shield(self._undo())
            raise

    async def _undo(self) -> None:
        try:
            async with asyncio.timeout(UNDO_SECONDS):
                await self.blob.delete_blob(delete_snapshots="include")
        except ResourceNotFoundError:
            pass
        except Exception as error:  # The cancellation is the one to report.
            logger.warning(
                "The blob %r of an upload that was cancelled could not be deleted (%s); "
                "look for blobs without a row",
                self.key,
                type(error).__name__,
            )
