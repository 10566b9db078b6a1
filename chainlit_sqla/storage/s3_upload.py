"""One upload to S3: in one request, or in parts that are sent side by side."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import logging
import mmap
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO

from botocore.exceptions import ClientError

from .base import source_errors
from .mapped import MappedBytes

logger = logging.getLogger("chainlit_sqla")

MAX_PARTS = 10_000
"""Parts of one upload at most; S3's own limit."""

ABORT_SECONDS = 10
"""For giving an upload up, which a caller waits for that has failed or was cancelled."""
GIVEN_UP_AT_ONCE = 5

_NO_UPLOAD = ("NoSuchUpload", "404")


class _Part(io.RawIOBase):
    """A part as a file, which is sent piece by piece: plain bytes the transport would copy."""

    def __init__(self) -> None:
        self._bytes = MappedBytes()
        self._position = 0
        self.md5 = ""
        """Of the bytes, in base64, for a header that the server checks."""
        self.moved = time.monotonic()
        """When it was last read from or rewound; another thread may be reading."""

    def fill(self, file: BinaryIO, size: int) -> None:
        self._bytes.fill(file, size)
        with memoryview(self._content()) as view:
            digest = hashlib.md5(view[: len(self)], usedforsecurity=False).digest()
        self.md5 = base64.b64encode(digest).decode()

    def __len__(self) -> int:
        return len(self._bytes)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._content()
        count = max(0, min(len(buffer), len(self) - self._position))
        with memoryview(content) as view:
            buffer[:count] = view[self._position : self._position + count]
        self._position += count
        self.moved = time.monotonic()
        return count

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = (0, self._position, len(self))[whence]
        self._position = start + offset
        self.moved = time.monotonic()
        return self._position

    def tell(self) -> int:
        return self._position

    def close(self) -> None:
        self._bytes.let_go()
        super().close()

    def _content(self) -> mmap.mmap:
        if (content := self._bytes.content) is None:
            raise ValueError("the part was let go")
        return content


@dataclass(frozen=True, slots=True)
class Upload:
    """The destination of one blob and the means to get it there.

    Args:
        client: An S3 client of aiobotocore.
        target: Bucket and key.
        headers: Content type and disposition.
        part_size: Bytes of a part; a blob that is smaller goes in one request.
        slots: One is held for each part in memory, so all uploads together stay below
            slots times the size of a part.
        patience: Seconds that a request may make no progress. aiohttp has no limit of its
            own while it writes a body or waits for ``100 Continue``.
        closing: Raises what is to be raised, once the store is being closed.
        abandoned: Takes uploads in parts that the server did not hear the end of.
    """

    client: Any
    target: Mapping[str, Any]
    headers: Mapping[str, str]
    part_size: int
    slots: asyncio.Semaphore
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
        first = await self._next_part(file)
        size = len(first)
        if size == self.part_size:
            return await self._send_parts(file, first)
        try:
            request = self.client.put_object(
                **self.target, **self.headers, Body=first, ContentMD5=first.md5
            )
            await self._watched(first, request)
        finally:
            self._let_go(first)
        return size

    async def _next_part(self, file: BinaryIO) -> _Part:
        """Read a part; the caller lets it go."""
        await self.slots.acquire()
        part = _Part()
        try:
            with source_errors(self.target["Key"]):
                await asyncio.to_thread(part.fill, file, self.part_size)
        except BaseException:
            self._let_go(part)
            raise
        return part

    def _let_go(self, part: _Part, _task: object = None) -> None:
        part.close()
        self.slots.release()

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
                part = await self._next_part(file)
            self._let_go(part)
        return size, [task.result() for task in tasks]

    async def _send_part(
        self, target: Mapping[str, Any], number: int, part: _Part
    ) -> dict[str, Any]:
        request = self.client.upload_part(
            **target, PartNumber=number, Body=part, ContentMD5=part.md5
        )
        answer = await self._watched(part, request)
        return {"PartNumber": number, "ETag": answer["ETag"]}

    async def _watched(self, part: _Part, request: Coroutine[Any, Any, Any]) -> Any:
        """Await a request, but no longer than it makes progress and the store is open.

        Raises:
            StorageError: The store is being closed.
            TimeoutError: It made none within `patience`.
        """
        part.moved = time.monotonic()
        task = asyncio.create_task(request)
        try:
            while (left := part.moved + self.patience - time.monotonic()) > 0:
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
