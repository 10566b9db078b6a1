"""One upload to S3: in one request, or in parts that are sent concurrently.

The server verifies what it receives: by its CRC32, S3's default, or by its MD5, which takes eight
times as long, where the server does not verify a CRC32. `Verification` finds out which.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import logging
import zlib
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
)
from dataclasses import dataclass
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from ..blocking import UploadFile
from .errors import code_of, status_of

logger = logging.getLogger("chainlit_sqla")

PART_SIZE = 8 * 1024 * 1024
"""Bytes of a part at least; smaller blobs go in one request."""

LARGEST_PART = 64 * 1024 * 1024
"""Bytes of a part at most, unless there were too many: what is sent again after a failure."""

IN_MEMORY = 1024 * 1024
"""Bytes of a body that is read at one time, and sent without asking whether it may be."""

CHUNK = 512 * 1024
"""Bytes that are read at a time while a body is sent: each chunk costs a change of threads."""

MAX_PARTS = 10_000
"""S3's limit for one upload."""

PARTS = 8
"""Parts of one upload that are sent concurrently."""

ABORT_SECONDS = 10
"""For aborting an upload, while the caller whose upload failed or was cancelled waits."""

_ABANDONED = 5
"""Abandoned uploads that one upload aborts after its own end."""

_NO_UPLOAD = ("NoSuchUpload", "404")
_BAD_DIGEST = ("BadDigest", "XAmzContentChecksumMismatch")

CRC32 = "ChecksumCRC32"
MD5 = "ContentMD5"


class FileRange:
    """A range of a file as the body of a request.

    It is read while it is sent, a chunk at a time and in threads; a small one is read once.
    botocore takes it for a file, and aiohttp for an asynchronous iterable.
    """

    def __init__(self, file: UploadFile, start: int, size: int) -> None:
        self._file = file
        self._start = start
        self._size = size
        self._content: bytes | None = None
        self.on_progress: Callable[[], None] = lambda: None

    def __len__(self) -> int:
        return self._size

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._content is not None:
            yield self._content
            return
        for start, size in self._chunks():
            yield await asyncio.to_thread(self._file.read_at, start, size)
            self.on_progress()

    def digest(self, algorithm: str) -> str:
        """Return the CRC32 or MD5 of the bytes in base64, which the server compares; blocking."""
        chunks: Iterable[bytes] = (self._file.read_at(*chunk) for chunk in self._chunks())
        if self._size <= IN_MEMORY:
            self._content = b"".join(chunks)
            chunks = (self._content,)
        if algorithm == CRC32:
            crc = 0
            for chunk in chunks:
                crc = zlib.crc32(chunk, crc)
            return base64.b64encode(crc.to_bytes(4)).decode()
        md5 = hashlib.md5(usedforsecurity=False)
        for chunk in chunks:
            md5.update(chunk)
        return base64.b64encode(md5.digest()).decode()

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


def expect_nothing(params: dict[str, Any], **_: Any) -> None:
    """Send a small body immediately; botocore asks the server for its leave for every file."""
    body = params["body"]
    if isinstance(body, FileRange) and len(body) <= IN_MEMORY:
        params["headers"].pop("Expect", None)


class Verification:
    """The digest that a server verifies, which the first upload of one kind shows.

    A server that knows CRC32 returns it, or refuses a wrong one. Others refuse the header, or
    ignore it, which must not pass unnoticed: these get an MD5, which S3 has always verified.
    """

    def __init__(self) -> None:
        self.algorithm = CRC32
        self.accepted = False
        """Whether an upload with the present algorithm has succeeded."""
        self._proven = False
        self._lock = asyncio.Lock()

    async def prove(self, is_returned: bool, is_ignored: Callable[[], Awaitable[bool]]) -> None:
        """Raise `_NotVerified` if the server stored bytes without verifying their CRC32."""
        async with self._lock:
            if self.algorithm == CRC32 and not self._proven:
                if not is_returned and await is_ignored():
                    self.algorithm = MD5
                self._proven = True
        if self.algorithm == MD5:
            raise _NotVerified

    def is_refusal(self, error: BaseException) -> bool:
        """Whether a server may have failed an upload because of its CRC32."""
        if isinstance(error, ClientError) and not self.accepted:
            return status_of(error) in (400, 501) and code_of(error) not in _BAD_DIGEST
        return isinstance(error, _NotVerified)


class _NotVerified(Exception):
    """The server stored bytes without a look at their CRC32."""


@dataclass(frozen=True, slots=True)
class Upload:
    """The destination of one blob and the means to get it there.

    A request without progress for ``patience`` seconds has failed: aiohttp has no limit of its
    own while it writes a body or waits for ``100 Continue``. ``abandoned`` receives an upload in
    parts that could not be aborted, for the next one. ``trial`` is the destination of a blob that
    shows whether the server verifies anything; it is deleted.
    """

    client: Any
    target: Mapping[str, Any]
    headers: Mapping[str, Any]
    file: UploadFile
    patience: float
    abandoned: list[Mapping[str, Any]]
    verification: Verification
    trial: Mapping[str, Any]

    async def send(self) -> None:
        """Send the file, in parts if it is large."""
        algorithm = self.verification.algorithm
        try:
            await self._send_all(algorithm)
        except Exception as error:
            if algorithm == MD5 or not self.verification.is_refusal(error):
                raise
            await self._send_all(MD5)
            self.verification.algorithm = MD5
        self.verification.accepted = True

    async def _send_all(self, algorithm: str) -> None:
        size = self.file.size
        if size < PART_SIZE:
            body = FileRange(self.file, 0, size)
            arguments = {**self.target, **self.headers}
            await self._send(self.client.put_object, body, arguments, algorithm)
            return
        checksum = {"ChecksumAlgorithm": "CRC32"} if algorithm == CRC32 else {}
        created = await self.client.create_multipart_upload(
            **self.target, **self.headers, **checksum
        )
        target = {**self.target, "UploadId": created["UploadId"]}
        try:
            # The fewer the parts, the less they cost; all are sent concurrently, if possible.
            part_size = min(max(PART_SIZE, -(-size // PARTS)), LARGEST_PART)
            part_size = max(part_size, -(-size // MAX_PARTS))
            parts = await self._send_parts(target, part_size, algorithm)
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

    async def _send_parts(
        self, target: Mapping[str, Any], part_size: int, algorithm: str
    ) -> list[dict[str, Any]]:
        size = self.file.size
        starts = enumerate(range(0, size, part_size), start=1)
        parts: dict[int, dict[str, Any]] = {}

        async def worker() -> None:
            for number, start in starts:  # The workers share it.
                body = FileRange(self.file, start, min(part_size, size - start))
                arguments = {**target, "PartNumber": number}
                tags = await self._send(self.client.upload_part, body, arguments, algorithm)
                parts[number] = {"PartNumber": number, **tags}

        async with asyncio.TaskGroup() as group:
            for _ in range(PARTS):
                group.create_task(worker())
        return [parts[number] for number in sorted(parts)]

    async def _send(
        self,
        request: Callable[..., Coroutine[Any, Any, Any]],
        body: FileRange,
        arguments: Mapping[str, Any],
        algorithm: str,
    ) -> dict[str, str]:
        """Send a request, and fail once it makes no progress for a while; return the tags."""
        digest = await asyncio.to_thread(body.digest, algorithm)
        now = asyncio.get_running_loop().time
        try:
            async with asyncio.timeout(self.patience) as limit:
                body.on_progress = lambda: limit.reschedule(now() + self.patience)
                answer = await request(**arguments, Body=body, **{algorithm: digest})
        except TimeoutError:
            raise TimeoutError(f"no progress within {self.patience:g} s") from None
        finally:
            body.on_progress = lambda: None
        if algorithm == MD5:
            return {"ETag": answer["ETag"]}
        is_ignored = partial(self._is_ignored, request, arguments)
        await self.verification.prove(answer.get(CRC32) == digest, is_ignored)
        return {"ETag": answer["ETag"], CRC32: digest}

    async def _is_ignored(
        self, request: Callable[..., Coroutine[Any, Any, Any]], arguments: Mapping[str, Any]
    ) -> bool:
        """Whether the server takes bytes with a wrong CRC32, as a part or as a blob for trial."""
        is_part = "UploadId" in arguments
        try:
            async with asyncio.timeout(self.patience):
                target = arguments if is_part else self.trial
                await request(**target, Body=b"wrong", **{CRC32: "AAAAAA=="})
                if not is_part:
                    await self.client.delete_object(**self.trial)
        except ClientError as error:
            if status_of(error) >= 500:
                raise
            return status_of(error) != 400  # Another refusal proves nothing.
        return True

    async def _abort(self, target: Mapping[str, Any]) -> None:
        """Abort an upload in parts, in limited time; its own error is the one to report."""
        try:
            async with asyncio.timeout(ABORT_SECONDS):
                await self.client.abort_multipart_upload(**target)
        except Exception as error:
            if not isinstance(error, ClientError) or code_of(error) not in _NO_UPLOAD:
                self.abandoned.append(target)
                logger.warning(
                    "Could not abort the unfinished upload of %r (%s: %s); the next upload repeats "
                    "this, else a lifecycle rule (AbortIncompleteMultipartUpload) or "
                    "chainlit-sqla storage check --fix removes its parts",
                    target["Key"],
                    type(error).__name__,
                    error,
                )
