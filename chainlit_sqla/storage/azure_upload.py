"""One upload to Azure: in one request, or in blocks that are sent side by side."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any, BinaryIO

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import BlobBlock

from .base import CHUNK, source_errors
from .mapped import MappedBytes

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
    """A block as a body that is sent piece by piece.

    Plain bytes would be handed to the transport at once, which keeps, and with TLS
    encrypts, a second copy without a pause for others. Each attempt iterates anew, so
    none needs to rewind.
    """

    def __init__(self) -> None:
        super().__init__()
        self.on_progress: Callable[[], None] = lambda: None

    def piece(self, start: int, end: int) -> bytes:
        return self.content[start : min(end, len(self))] if self.content else b""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self), CHUNK):
            yield self.piece(start, start + CHUNK)
            self.on_progress()
            await asyncio.sleep(0)  # A fast network alone never makes the sender wait.

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
        block_size: Bytes of a block.
        slots: One is held for each block in memory, so all uploads together stay below
            slots times the size of a block.
    """

    blob: Any
    key: str
    headers: Any
    block_size: int
    slots: asyncio.Semaphore
    # Blocks of two uploads under one key must not mix.
    _id: str = field(default_factory=lambda: secrets.token_hex(8))

    async def send(self, file: BinaryIO) -> int:
        """Send the file from where it stands to its end.

        Args:
            file: Opened for buffered binary reading.

        Returns:
            The number of bytes sent.
        """
        first = await self._next_block(file)
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

    async def _next_block(self, file: BinaryIO) -> _Block:
        """Read a block; the caller lets it go."""
        await self.slots.acquire()
        block = _Block()
        try:
            with source_errors(self.key):
                await asyncio.to_thread(block.fill, file, self.block_size)
        except BaseException:
            self._let_go(block)
            raise
        return block

    def _let_go(self, block: _Block, _task: object = None) -> None:
        block.let_go()
        self.slots.release()

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
                block = await self._next_block(file)
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
