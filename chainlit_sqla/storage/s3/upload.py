"""One upload to S3: in one request, or in parts that are sent concurrently."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from ..base import CHUNK
from ..blocking import UploadFile

logger = logging.getLogger("chainlit_sqla")

PART_SIZE = 5 * 1024 * 1024
"""Bytes of a part, S3's least; smaller blobs go in one request, huge ones in larger parts."""

MAX_PARTS = 10_000
"""S3's limit for one upload."""

PARTS = 4
"""Parts of one upload that are sent concurrently."""

ABORT_SECONDS = 10
"""For aborting an upload, while the caller whose upload failed or was cancelled waits."""

_ABANDONED = 5
"""Abandoned uploads that one upload aborts after its own end."""

_NO_UPLOAD = ("NoSuchUpload", "404")


class FileRange:
    """A range of a file as the body of a request.

    It is read while it is sent, a chunk at a time and in threads. botocore takes it for a
    file, and aiohttp for an asynchronous iterable.
    """

    def __init__(self, file: UploadFile, start: int, size: int) -> None:
        self._file = file
        self._start = start
        self._size = size
        self.on_progress: Callable[[], None] = lambda: None

    def __len__(self) -> int:
        return self._size

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start, size in self._chunks():
            yield await asyncio.to_thread(self._file.read_at, start, size)
            self.on_progress()

    def md5(self) -> str:
        """Return the digest of the bytes in base64, which the server compares; blocking."""
        digest = hashlib.md5(usedforsecurity=False)
        for start, size in self._chunks():
            digest.update(self._file.read_at(start, size))
        return base64.b64encode(digest.digest()).decode()

    def read(self, _size: int = -1) -> bytes:
        """Refuse: the bytes are taken by iterating."""
        raise io.UnsupportedOperation("read")

    def seek(self, _offset: int) -> None:
        """Begin again, which each iteration does anyway."""
        self.on_progress()

    def _chunks(self) -> Iterator[tuple[int, int]]:
        end = self._start + self._size
        for start in range(self._start, end, CHUNK):
            yield start, min(CHUNK, end - start)


@dataclass(frozen=True, slots=True)
class Upload:
    """The destination of one blob and the means to get it there.

    A request without progress for ``patience`` seconds has failed: aiohttp has no limit of its
    own while it writes a body or waits for ``100 Continue``. ``abandoned`` receives an upload in
    parts that could not be aborted, for the next one.
    """

    client: Any
    target: Mapping[str, Any]
    headers: Mapping[str, Any]
    file: UploadFile
    patience: float
    abandoned: list[Mapping[str, Any]]

    async def send(self) -> None:
        """Send the file, in parts if it is large."""
        size = self.file.size
        if size < PART_SIZE:
            body = FileRange(self.file, 0, size)
            await self._send(self.client.put_object, body, {**self.target, **self.headers})
            return
        created = await self.client.create_multipart_upload(**self.target, **self.headers)
        target = {**self.target, "UploadId": created["UploadId"]}
        try:
            parts = await self._send_parts(target, max(PART_SIZE, -(-size // MAX_PARTS)))
            await self.client.complete_multipart_upload(**target, MultipartUpload={"Parts": parts})
        except BaseException as error:
            # An unfinished upload is billed but never listed.
            await asyncio.shield(self._abort(target))
            if isinstance(error, BaseExceptionGroup):  # One part's error stands for all.
                raise error.exceptions[0] from None
            raise

    async def abort_abandoned(self) -> None:
        """Abort what could not be aborted before, now that the server answers."""
        for target in [self.abandoned.pop(0) for _ in self.abandoned[:_ABANDONED]]:
            await self._abort(target)

    async def _send_parts(self, target: Mapping[str, Any], part_size: int) -> list[dict[str, Any]]:
        size = self.file.size
        starts = enumerate(range(0, size, part_size), start=1)
        tags: dict[int, str] = {}

        async def worker() -> None:
            for number, start in starts:  # The workers share it.
                body = FileRange(self.file, start, min(part_size, size - start))
                arguments = {**target, "PartNumber": number}
                tags[number] = (await self._send(self.client.upload_part, body, arguments))["ETag"]

        async with asyncio.TaskGroup() as group:
            for _ in range(PARTS):
                group.create_task(worker())
        return [{"PartNumber": number, "ETag": tags[number]} for number in sorted(tags)]

    async def _send(
        self,
        request: Callable[..., Coroutine[Any, Any, Any]],
        body: FileRange,
        arguments: Mapping[str, Any],
    ) -> Any:
        """Send a request, and fail once it makes no progress for a while."""
        digest = await asyncio.to_thread(body.md5)
        now = asyncio.get_running_loop().time
        try:
            async with asyncio.timeout(self.patience) as limit:
                body.on_progress = lambda: limit.reschedule(now() + self.patience)
                return await request(**arguments, Body=body, ContentMD5=digest)
        except TimeoutError:
            raise TimeoutError(f"no progress within {self.patience:g} s") from None
        finally:
            body.on_progress = lambda: None

    async def _abort(self, target: Mapping[str, Any]) -> None:
        """Abort an upload in parts, in limited time; its own error is the one to report."""
        try:
            async with asyncio.timeout(ABORT_SECONDS):
                await self.client.abort_multipart_upload(**target)
        except Exception as error:
            code = error.response["Error"].get("Code") if isinstance(error, ClientError) else ""
            if code not in _NO_UPLOAD:
                self.abandoned.append(target)
                logger.warning(
                    "Could not abort the unfinished upload of %r (%s: %s); the next upload repeats "
                    "this, else a lifecycle rule (AbortIncompleteMultipartUpload) or "
                    "chainlit-sqla storage check --fix removes its parts",
                    target["Key"],
                    type(error).__name__,
                    error,
                )
