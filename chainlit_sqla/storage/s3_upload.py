"""One upload to S3: in one request, or in parts that are sent side by side."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from .base import source_errors

logger = logging.getLogger("chainlit_sqla")

MAX_PARTS = 10_000
"""Parts of one upload at most; S3's own limit."""


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
    """

    client: Any
    target: Mapping[str, Any]
    headers: Mapping[str, str]
    part_size: int
    slots: asyncio.Semaphore

    async def send(self, file: BinaryIO) -> int:
        """Send the file from where it stands to its end.

        Args:
            file: Opened for buffered binary reading.

        Returns:
            The number of bytes sent.
        """
        first = await self._next_part(file)
        if len(first) == self.part_size:
            return await self._send_parts(file, first)
        try:
            await self.client.put_object(**self.target, **self.headers, Body=first)
        finally:
            self.slots.release()
        return len(first)

    async def _next_part(self, file: BinaryIO) -> bytes:
        """Read a part; the slot taken for it is the caller's to release."""
        await self.slots.acquire()
        try:
            with source_errors(self.target["Key"]):
                return await asyncio.to_thread(file.read, self.part_size)
        except BaseException:
            self.slots.release()
            raise

    async def _send_parts(self, file: BinaryIO, first: bytes) -> int:
        try:
            begun = await self.client.create_multipart_upload(**self.target, **self.headers)
        except BaseException:
            self.slots.release()
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
        self, file: BinaryIO, first: bytes, target: Mapping[str, Any]
    ) -> tuple[int, list[dict[str, Any]]]:
        size, body = 0, first
        tasks: list[asyncio.Task[dict[str, Any]]] = []
        async with asyncio.TaskGroup() as group:
            while body:
                size += len(body)
                task = group.create_task(self._send_part(target, len(tasks) + 1, body))
                # A task that is cancelled before it starts runs no "finally" of its own.
                task.add_done_callback(lambda _: self.slots.release())
                tasks.append(task)
                body = b""  # The task holds it; a second reference would outlive it.
                body = await self._next_part(file)
            self.slots.release()
        return size, [task.result() for task in tasks]

    async def _send_part(
        self, target: Mapping[str, Any], number: int, body: bytes
    ) -> dict[str, Any]:
        answer = await self.client.upload_part(**target, PartNumber=number, Body=body)
        return {"PartNumber": number, "ETag": answer["ETag"]}

    async def _abort(self, target: Mapping[str, Any]) -> None:
        """Give the parts up, since an unfinished upload is billed but never listed."""
        try:
            await asyncio.shield(self.client.abort_multipart_upload(**target))
        except Exception as error:  # The first error is the one to report.
            logger.warning(
                "An unfinished upload of %r could not be given up (%s); let a lifecycle rule "
                "of the bucket remove unfinished uploads",
                target["Key"],
                error,
            )
