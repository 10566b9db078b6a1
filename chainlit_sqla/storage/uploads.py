"""Elements with bytes: first the blob, then the row, so no row points at a missing blob.

Invariants:

1. Every upload has a key of its own, so a late deletion never hits a newer blob.
2. Rows of the same element are queued in the order in which the element was sent.
3. A deletion of an element wins over its uploads under way.
4. A blob whose row is refused, or whose upload fails or is cancelled, is deleted; while the store
   is unavailable, by the deletion queue.
5. An upload that fails is repeated until its deadline, as a write is, whatever the reason, unless
   the blob itself is at fault (`BlobRejected`). What waits for that is bounded in memory and in
   open files.
6. A blob whose upload was cancelled or not acknowledged may appear after its deletion, so it is
   deleted once more after a while.
7. Bytes that are already in the store are copied only for those who may read them: a client can
   send any object key.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any, BinaryIO, TypeVar, cast

from .._internal.aio import PerLoop
from .._internal.json import clean_text
from .._internal.outage import OutageLog
from .._internal.retry import retry
from .._internal.timestamps import next_ordinal
from ..errors import (
    BlobNotFound,
    BlobRejected,
    ChainlitSqlaError,
    ConfigurationError,
    RetriesExhausted,
    StorageUnavailable,
)
from ..queries import elements
from ..writes.operations import SaveElement, printable_id
from ..writes.queue import WriteQueue
from .base import BlobSource, StorageClient
from .deletion_worker import DeletionQueue
from .keys import new_object_key

log = logging.getLogger(__name__)

_DEFAULT_MIME = "application/octet-stream"
_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 5.0
_PARALLEL = 32
"""Concurrent uploads to the store."""
_OPEN_FILES = 256
"""Uploads whose files are kept open, at most; `_open_files` counts a lower limit of the process."""
_HELD_BYTES = 256 * 1024 * 1024
"""Bytes of contents that uploads hold while the store fails; a further upload is refused."""
_UPLOAD_BYTES = 10_000
"""Memory of an upload besides its content."""
_DISCARD_SECONDS = 10.0
_UPLOAD_SHARE = 0.75
"""The share of the time for closing after which uploads are cancelled."""
_LATE_ARRIVAL = timedelta(minutes=2)
"""The time after which no store still works on an abandoned request."""

T = TypeVar("T")


class _Upload:
    """An upload under way."""

    def __init__(self, actor: str | None) -> None:
        self.actor = actor
        self.deleted = False
        self.held_bytes = 0
        self.ordinal = next_ordinal()
        self.task = asyncio.current_task()
        self.queued: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def set_queued(self) -> None:
        """Record that the row is in the write queue, or that there will be no row."""
        if not self.queued.done():
            self.queued.set_result(None)


class Uploads:
    """Stores elements and their bytes; ``deletion_queue`` deletes later what cannot be now.

    ``read`` runs a query that is a function of a connection, ``deserialize`` makes the operation
    that writes an element's row.
    """

    def __init__(
        self,
        write_queue: WriteQueue,
        storage: StorageClient,
        deletion_queue: DeletionQueue,
        read: Callable[[Callable[[Any], Awaitable[Any]]], Awaitable[Any]],
        deserialize: Callable[..., SaveElement],
        retry_seconds: float,
    ) -> None:
        self._write_queue = write_queue
        self._storage = storage
        self._deletion_queue = deletion_queue
        self._read = read
        self._deserialize = deserialize
        self._retry_seconds = retry_seconds
        self._running: dict[tuple[str, str], list[_Upload]] = {}
        """Uploads by thread and element."""
        self._slots = PerLoop(lambda: asyncio.Semaphore(_PARALLEL))
        self._failing: set[_Upload] = set()
        """Uploads that wait for another attempt."""
        self._held_bytes = 0
        self.outage = OutageLog(
            log,
            "stored",
            lambda: f"{len(self._failing):,} elements ({self._held_bytes / 1e6:,.0f} MB in memory)",
        )

    @property
    def at_capacity(self) -> bool:
        """Whether so many uploads are under way that no more files should be kept open."""
        return self.running >= _open_files()

    async def save(
        self, element: Mapping[str, Any], source: BlobSource | None, actor: str | None = None
    ) -> Any:
        """Store an ElementDict and its bytes, which are closed afterwards.

        Returns the result of writing its row. If the bytes cannot be stored, it raises a
        StorageError and writes no row.
        """
        upload = _Upload(actor)  # Its ordinal is from now: small files overtake large ones.
        key = (str(element.get("threadId")), str(element.get("id")))
        uploads = self._running.setdefault(key, [])
        previous = uploads[-1].queued if uploads else None
        uploads.append(upload)
        try:
            self._hold(upload, source)
            if source is None and await self._may_copy(element, actor):
                read_blob = partial(self._read_blob, str(element["objectKey"]))
                source = await self._retry(read_blob, upload)
            if previous is not None and not previous.done():
                await asyncio.wait([previous])
            return await self._store(element, source, actor, upload)
        except Exception as error:
            if isinstance(error, ChainlitSqlaError):
                if not upload.queued.done():  # Otherwise the write queue has logged it.
                    self.outage.refused(f"element {printable_id(key[1])}", error)
            else:  # Of a third-party client, say.
                log.exception("Not stored: element %s: %s", printable_id(key[1]), error)
            raise
        finally:
            if source is not None:
                source.close()
            uploads.remove(upload)
            upload.set_queued()
            self._held_bytes -= upload.held_bytes
            self._failing.discard(upload)
            if not uploads:
                self._running.pop(key, None)

    def cancel(self, element_id: str, thread_id: str | None, user: str | None = None) -> None:
        """Let a deletion win over uploads of the same element under way.

        None: in any thread, and of any user.
        """
        for (thread, element), uploads in self._running.items():
            if element == element_id and thread_id in (None, thread):
                for upload in uploads:
                    upload.deleted |= user is None or upload.actor in (None, user)

    async def wait_for_thread(self, thread_id: str | None, seconds: float) -> None:
        """Wait until the rows of a thread's uploads, or of all, are in the write queue."""
        pending = [
            upload.queued
            for (thread, _), uploads in self._running.items()
            if thread_id in (None, thread)
            for upload in uploads
            if not upload.queued.done()
        ]
        if pending:
            await asyncio.wait(pending, timeout=seconds)

    @property
    def running(self) -> int:
        """The number of elements that are being stored."""
        return sum(map(len, self._running.values()))

    async def close(self, seconds: float) -> list[str]:
        """Wait for uploads under way, then cancel the rest and delete what they stored.

        Returns the ids of the elements that were cancelled.
        """
        began = time.monotonic()
        await self.wait_for_thread(None, seconds * _UPLOAD_SHARE)
        tasks, ids = [], []
        for (_, element_id), uploads in self._running.items():
            for upload in uploads:
                if upload.queued.done() or upload.task in (None, asyncio.current_task()):
                    continue
                self.outage.refused(
                    f"element {printable_id(element_id)}",
                    "the layer was closed before its upload ended; "
                    "raise CHAINLIT_SQLA_CLOSE_SECONDS",
                )
                upload.task.cancel()
                tasks.append(upload.task)
                ids.append(element_id)
        if tasks:
            await asyncio.wait(tasks, timeout=max(began + seconds - time.monotonic(), 0))
        self.outage.close()
        return ids

    async def _store(
        self,
        element: Mapping[str, Any],
        source: BlobSource | None,
        actor: str | None,
        upload: _Upload,
    ) -> Any:
        key, size = None, None
        if source is not None and not upload.deleted:
            key = new_object_key(element.get("threadId"), element.get("id"))
            mime, name = str(element.get("mime") or _DEFAULT_MIME), str(element.get("name") or "")
            put = partial(self._storage.put, key, source, mime=mime, name=name)
            try:
                size = await self._retry(put, upload)
            except BlobRejected:
                raise
            except BaseException:  # Cancelled, or without an answer: the store may have the blob.
                await asyncio.shield(self._discard(key, may_arrive_late=True))
                raise
        if upload.deleted:
            await self._discard(key)
            return None
        try:
            op = self._deserialize(
                element, object_key=key, byte_size=size, actor=actor, ordinal=upload.ordinal
            )
            written = self._write_queue.enqueue(op)
            upload.set_queued()
            return await written
        except RetriesExhausted:
            raise  # The last attempt may have been committed: then a row points at the blob.
        except ChainlitSqlaError:
            await self._discard(key)
            raise

    async def _retry(self, request: Callable[[], Awaitable[T]], upload: _Upload) -> T:
        """Send a request to the store until it succeeds, the blob is at fault, or it is late."""
        deadline: float | None = None  # Counted from the first request, not from the wait for it.

        async def attempt() -> T:
            nonlocal deadline
            async with self._slots.get():
                deadline = deadline or time.monotonic() + self._retry_seconds
                return await request()

        def is_retried(error: Exception) -> bool:
            in_time = time.monotonic() < (deadline or 0)
            final = isinstance(error, BlobRejected | ConfigurationError)
            return in_time and not final and not upload.deleted

        result = await retry(
            attempt,
            is_retried,
            first_pause=_FIRST_PAUSE,
            longest_pause=_LONGEST_PAUSE,
            on_retry=lambda error, _: self._wait(upload, error),
        )
        if upload in self._failing:
            self._failing.discard(upload)
            self.outage.succeeded(1, len(self._failing))
        return result

    def _hold(self, upload: _Upload, source: BlobSource | None) -> None:
        """Count the memory of an upload; refuse it where too much waits for a store that fails."""
        size = _UPLOAD_BYTES + len(source.data or b"" if source else b"")
        if self._failing and self._held_bytes + size > _HELD_BYTES:
            raise StorageUnavailable(
                f"{len(self._failing):,} uploads with {self._held_bytes >> 20} MB wait for the "
                "store already; repair it and send the element again"
            )
        upload.held_bytes = size
        self._held_bytes += size

    def _wait(self, upload: _Upload, error: Exception) -> None:
        """Record that an upload waits for another attempt."""
        self._failing.add(upload)
        self.outage.failed(str(error) or type(error).__name__)

    async def _may_copy(self, element: Mapping[str, Any], actor: str | None) -> bool:
        """Whether the element's bytes are in the store: it was sent again after a resume.

        Before 2.9.4, Chainlit passes on the key that a browser sends with a custom element, which
        has no bytes.
        """
        key, id = element.get("objectKey"), str(element.get("id"))
        if not key or element.get("type") == "custom":
            return False
        query = partial(
            elements.owners,
            key=clean_text(str(key)),
            element_id=clean_text(id),
            thread_id=clean_text(str(element.get("threadId"))),
        )
        if any(actor is None or owner in (None, actor) for owner in await self._read(query)):
            return True
        log.warning(
            "File not kept with element %s: no element that its author may read has this file",
            printable_id(id),
        )
        return False

    async def _read_blob(self, key: str) -> BlobSource | None:
        """Read a blob into a temporary file; None if it does not exist.

        Two rows must not share a blob that is deleted with one of them, so the bytes are copied.
        """
        file = tempfile.TemporaryFile()  # noqa: SIM115 - closed as the source
        try:
            async for chunk in self._storage.open(key):
                await asyncio.to_thread(file.write, chunk)
        except BaseException as error:
            file.close()
            if isinstance(error, BlobNotFound):
                log.warning("File not copied, the element is kept as a link: %s", error)
                return None
            raise
        return BlobSource(file=cast("BinaryIO", file))

    async def _discard(self, key: str | None, *, may_arrive_late: bool = False) -> None:
        """Delete a blob without a row, and again later if the store may still write it."""
        if key is None:
            return
        try:
            async with asyncio.timeout(_DISCARD_SECONDS):
                await self._storage.delete([key])
        except (ChainlitSqlaError, TimeoutError) as error:
            log.warning("Not deleted yet: the blob %r, which has no row: %s", key, error)
            may_arrive_late = True
        if may_arrive_late:
            await self._deletion_queue.add(key, _LATE_ARRIVAL)


def _open_files() -> int:
    """Return how many files uploads may keep open: a quarter of the process's, at most."""
    try:
        import resource
    except ImportError:  # Windows, which allows thousands.
        return _OPEN_FILES
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return _OPEN_FILES if limit == resource.RLIM_INFINITY else min(_OPEN_FILES, limit // 4)
