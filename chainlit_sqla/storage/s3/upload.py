"""One upload to S3: in one request, or in parts that are sent side by side."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO

from botocore.exceptions import ClientError

from ..base import source_errors
from ..budget import Budget
from ..buffers import MappedBytes

logger = logging.getLogger("chainlit_sqla")

MAX_PARTS = 10_000
"""Parts of one upload at most; S3's own limit."""

ABORT_SECONDS = 10
"""For giving an upload up, which a caller waits for that has failed or was cancelled."""
GIVEN_UP_AT_ONCE = 5

_NO_UPLOAD = ("NoSuchUpload", "404")


class _Part(MappedBytes):
    """A part as the body of a request, which botocore takes for a file.

    It is none: aiohttp would go to another thread for each 64 KB of it.
    """

    def __init__(self, room: int) -> None:
        super().__init__(room)
        self.progress = time.monotonic()
        """When there was some the last time."""

    def md5(self) -> str:
        """The digest of the bytes in base64, for a header that the server checks; blocking."""
        assert self.content is not None
        with memoryview(self.content) as view:
            digest = hashlib.md5(view[: len(self)], usedforsecurity=False).digest()
        return base64.b64encode(digest).decode()

    def moved(self) -> None:
        self.progress = time.monotonic()

    def read(self, _size: int = -1) -> bytes:
        """What makes it a file; its bytes are taken by iterating."""
        raise io.UnsupportedOperation("read")

    def seek(self, _offset: int) -> None:
        """Begin again, which a new iteration does anyway."""
        self.moved()


@dataclass(frozen=True, slots=True)
class Upload:
    """The destination of one blob and the means to get it there.

    Args:
        client: An S3 client of aiobotocore.
        target: Bucket and key.
        headers: Content type and disposition.
        size: Bytes of the blob, as far as is known.
        part_size: Bytes of a part; a blob that is smaller goes in one request.
        budget: The memory for the parts of all uploads together.
        turn: Held while a request begins: signing many at once would hold up the event loop.
        patience: Seconds that a request may make no progress. aiohttp has no limit of its
            own while it writes a body or waits for ``100 Continue``.
        closing: Raises what is to be raised, once the store is being closed.
        abandoned: Takes uploads in parts that the server did not hear the end of.
    """

    client: Any
    target: Mapping[str, Any]
    headers: Mapping[str, str]
    size: int
    part_size: int
    budget: Budget
    turn: asyncio.Lock
    patience: float
    closing: asyncio.Future[None]
    abandoned: list[Mapping[str, Any]]

    async def send(self, file: BinaryIO) -> int:
        """Send the file from where it stands to its end.

        Args:
            file: Opened for buffered binary reading.

        Returns:
            The number of bytes sent.
        """
        first = await self._next_part(file, 0)
        size = len(first)
        if size == self.part_size:
            return await self._send_parts(file, first)
        try:
            md5 = await asyncio.to_thread(first.md5)
            request = partial(
                self.client.put_object, **self.target, **self.headers, Body=first, ContentMD5=md5
            )
            await self._watched(first, request)
        finally:
            self._let_go(first)
        return size

    async def _next_part(self, file: BinaryIO, sent: int) -> _Part:
        """Read a part; the caller lets it go."""
        part = _Part(await self.budget.take(min(self.part_size, self.size - sent)))
        try:
            with source_errors(self.target["Key"]):
                await asyncio.to_thread(part.fill, file, self.part_size)
        except BaseException:
            self._let_go(part)
            raise
        return part

    def _let_go(self, part: _Part, _task: object = None) -> None:
        part.let_go()
        self.budget.give(part.room)

    async def _send_parts(self, file: BinaryIO, first: _Part) -> int:
        try:
            begun = await self.client.create_multipart_upload(**self.target, **self.headers)
        except BaseException:
            self._let_go(first)
            raise
        target = {**self.target, "UploadId": begun["UploadId"]}
        try:
            size, parts = await self._in_parallel(file, first, target)
            await self.client.complete_multipart_upload(**target, MultipartUpload={"Parts": parts})
        except BaseException as error:
            await self._abort(target)
            if isinstance(error, BaseExceptionGroup):  # One part's error stands for all.
                raise error.exceptions[0] from None
            raise
        return size

    async def _in_parallel(
        self, file: BinaryIO, first: _Part, target: Mapping[str, Any]
    ) -> tuple[int, list[dict[str, Any]]]:
        size, part = 0, first
        tasks: list[asyncio.Task[dict[str, Any]]] = []
        async with asyncio.TaskGroup() as group:
            while len(part):
                size += len(part)
                task = group.create_task(self._send_part(target, len(tasks) + 1, part))
                # A task that is cancelled before it starts runs no "finally" of its own.
                task.add_done_callback(partial(self._let_go, part))
                tasks.append(task)
                part = await self._next_part(file, size)
            self._let_go(part)
        return size, [task.result() for task in tasks]

    async def _send_part(
        self, target: Mapping[str, Any], number: int, part: _Part
    ) -> dict[str, Any]:
        md5 = await asyncio.to_thread(part.md5)  # Here, for it takes longer than reading.
        request = partial(
            self.client.upload_part, **target, PartNumber=number, Body=part, ContentMD5=md5
        )
        answer = await self._watched(part, request)
        return {"PartNumber": number, "ETag": answer["ETag"]}

    async def _watched(self, part: _Part, request: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Send a request and wait, but no longer than it makes progress and the store is open.

        Raises:
            StorageError: The store is being closed.
            TimeoutError: It made none within `patience`.
        """
        task = await self._begin(request)
        part.moved()
        try:
            while (left := part.progress + self.patience - time.monotonic()) > 0:
                first = asyncio.FIRST_COMPLETED
                await asyncio.wait([task, self.closing], timeout=left, return_when=first)
                if task.done():
                    return task.result()
                if self.closing.done():
                    self.closing.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait([task])
        raise TimeoutError(f"no progress within {self.patience:g} s")

    async def _begin(self, request: Callable[[], Coroutine[Any, Any, Any]]) -> asyncio.Task[Any]:
        async with self.turn:
            task = asyncio.create_task(request())
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                task.cancel()
                raise
        return task

    async def _abort(self, target: Mapping[str, Any]) -> None:
        """Give the parts up, since an unfinished upload is billed but never listed."""
        try:
            await asyncio.shield(_abort(self.client, target))
        except Exception as error:  # The first error is the one to report.
            self.abandoned.append(target)
            logger.warning(
                "An unfinished upload of %r could not be given up (%s); it is tried again with "
                "the next upload, else run: chainlit-sqla storage check --fix",
                target["Key"],
                error,
            )


async def give_up(client: Any, abandoned: list[Mapping[str, Any]]) -> None:
    """Give up some uploads in parts that the server did not hear the end of before.

    Few with each call, and none after one that fails: somebody waits for his own upload.

    Args:
        client: An S3 client of aiobotocore that has just been answered.
        abandoned: Buckets, keys and ids of uploads; those that are gone now leave it.
    """
    for _ in range(min(GIVEN_UP_AT_ONCE, len(abandoned))):
        if not abandoned:  # Another call was faster.
            return
        target = abandoned.pop(0)
        try:
            await _abort(client, target)
        except BaseException as error:
            abandoned.append(target)  # At the end, so that it does not hold up the others.
            if not isinstance(error, Exception):
                raise
            return


async def _abort(client: Any, target: Mapping[str, Any]) -> None:
    """Give an upload in parts up, in limited time; one that is gone is no error."""
    try:
        async with asyncio.timeout(ABORT_SECONDS):
            await client.abort_multipart_upload(**target)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") not in _NO_UPLOAD:
            raise
