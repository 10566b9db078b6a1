"""Elements with bytes: first the blob, then the row, so a row never points at nothing.

Invariants:

1. Every upload has a key of its own, so what is deleted late is never a newer blob.
2. Uploads of the same element follow each other: the one sent last is the one that stays.
3. A deletion of an element ends what was uploading for it.
4. A blob whose row is refused, or whose upload fails or is cancelled, is deleted; where the
   store is away, by the outbox.
5. While the store is away an upload is tried again, for a time; its bytes are kept until then.
6. A blob whose upload was cancelled or not answered may appear later than its deletion, so it
   is deleted once more after a while.
7. Bytes that are already in the store are copied only for those who may read them: a client
   can send any object key.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any, BinaryIO, TypeVar, cast
from urllib.parse import quote

from .._internal.aio import PerLoop
from .._internal.json import clean_text
from .._internal.timestamps import next_ordinal
from ..errors import BlobNotFound, ChainlitSqlaError, RetriesExhausted, StorageUnavailable
from ..queries import elements
from ..writes.operations import SaveElement, printable_id
from ..writes.queue import WriteQueue
from .base import BlobSource, StorageClient
from .deletion_queue import DeletionQueue

log = logging.getLogger(__name__)

_DEFAULT_MIME = "application/octet-stream"
_LONGEST_PART = 200
_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 5.0
_AT_ONCE = 32
"""Uploads that the store is asked to carry out at once."""
_OPEN_FILES = 256
"""Uploads whose files are kept open; the usual limit of a process is 1,024 files."""
_UNDO_SECONDS = 10.0
_STRAGGLER = timedelta(minutes=2)
"""After which no store still works on a request that was given up."""

T = TypeVar("T")

_Place = tuple[str, str]


class _Upload:
    """One upload under way."""

    __slots__ = ("deleted", "ordinal", "placed", "task")

    def __init__(self) -> None:
        self.deleted = False
        self.ordinal = next_ordinal()
        self.task = asyncio.current_task()
        self.placed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def done(self) -> None:
        """The row has its place in the order of writes, or there will be none."""
        if not self.placed.done():
            self.placed.set_result(None)


class Uploads:
    """Stores elements and their bytes.

    Args:
        write_queue: Where rows are written.
        storage: Where bytes are written.
        deletion_queue: Deletes later what cannot be deleted now.
        read: Runs a query that is a function of a connection.
        deserialize: Makes the operation that writes an element's row.
        retry_seconds: How long an upload is retried while the store is unavailable.
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
        self._running: dict[_Place, list[_Upload]] = {}
        self._slots = PerLoop(lambda: asyncio.Semaphore(_AT_ONCE))

    @property
    def at_capacity(self) -> bool:
        """Whether so many uploads are under way that no more files should be kept open."""
        return sum(map(len, self._running.values())) >= _OPEN_FILES

    async def save(
        self, element: Mapping[str, Any], source: BlobSource | None, actor: str | None = None
    ) -> None:
        """Store an element.

        Args:
            element: An ElementDict.
            source: Its bytes; None for one that lives elsewhere or has none. Closed here.
            actor: See `SaveThread`.

        Raises:
            StorageError: The bytes could not be stored; no row is written.
            StorageUnavailable: Nor later, until the retries ended.
            WriteError: The row could not be written.
        """
        upload = _Upload()  # Has its place now: small files overtake large ones.
        place = (str(element.get("threadId")), str(element.get("id")))
        queue = self._running.setdefault(place, [])
        earlier = queue[-1].placed if queue else None
        queue.append(upload)
        try:
            if source is None and await self._may_copy(element, actor):
                source = await self._patiently(self._copy, str(element["objectKey"]), upload)
            if earlier is not None and not earlier.done():
                await asyncio.wait([earlier])
            await self._store(element, source, actor, upload)
        except ChainlitSqlaError as error:
            log.error("Not stored: element %s: %s", printable_id(str(element.get("id"))), error)
            raise
        finally:
            if source is not None:
                source.close()
            queue.remove(upload)
            if not queue:
                self._running.pop(place, None)
            upload.done()

    def cancel(self, element_id: str, thread_id: str | None) -> None:
        """Let a deletion win over uploads of the same element that are under way.

        Args:
            element_id: The element.
            thread_id: Its thread; None: in whichever thread it is.
        """
        for (thread, element), queue in self._running.items():
            if element == element_id and thread_id in (None, thread):
                for upload in queue:
                    upload.deleted = True

    async def close(self, seconds: float) -> None:
        """Wait for uploads under way, then give the rest up.

        Args:
            seconds: How long to wait at most.
        """
        await self.wait_for_thread(None, seconds)
        tasks = []
        for (_, element_id), queue in self._running.items():
            for upload in queue:
                if upload.placed.done() or upload.task in (None, asyncio.current_task()):
                    continue
                log.error(
                    "Not stored: element %s: the layer was closed before its upload ended; "
                    "give it more time by CHAINLIT_SQLA_CLOSE_SECONDS",
                    printable_id(element_id),
                )
                upload.task.cancel()
                tasks.append(upload.task)
        if tasks:
            await asyncio.wait(tasks, timeout=_UNDO_SECONDS)

    async def wait_for_thread(self, thread_id: str | None, seconds: float) -> None:
        """Wait until the rows of a thread's uploads have their place in the write queue.

        Args:
            thread_id: The thread; None waits for the uploads of all threads.
            seconds: The longest wait.
        """
        pending = [
            upload.placed
            for (thread, _), queue in self._running.items()
            if thread_id in (None, thread)
            for upload in queue
            if not upload.placed.done()
        ]
        if pending:
            await asyncio.wait(pending, timeout=seconds)

    async def _store(
        self,
        element: Mapping[str, Any],
        source: BlobSource | None,
        actor: str | None,
        upload: _Upload,
    ) -> None:
        key, size = None, None
        if source is not None and not upload.deleted:
            key = object_key(element)
            size = await self._put(key, element, source, upload)
        try:
            if not upload.deleted:
                op = self._deserialize(
                    element,
                    object_key=key,
                    byte_size=size,
                    actor=actor,
                    ordinal=upload.ordinal,
                )
                try:
                    answer = await self._write_queue.enqueue(op)
                except asyncio.CancelledError:  # While the queue was full.
                    await asyncio.shield(self._discard(key))
                    raise
                upload.done()
                await answer
                return
        except RetriesExhausted:
            raise  # The last attempt may have been committed: then a row points at the blob.
        except ChainlitSqlaError:
            await self._discard(key)
            raise
        await self._discard(key)

    async def _put(
        self, key: str, element: Mapping[str, Any], source: BlobSource, upload: _Upload
    ) -> int:
        mime = str(element.get("mime") or _DEFAULT_MIME)
        name = str(element.get("name") or "")

        async def put(key: str) -> int:
            return await self._storage.put(key, source, mime=mime, name=name)

        try:
            return await self._patiently(put, key, upload)
        except (asyncio.CancelledError, StorageUnavailable):
            # It may be there all the same, or come when the store gets to it.
            await asyncio.shield(self._discard(key, again=True))
            raise

    async def _patiently(self, work: Callable[[str], Awaitable[T]], key: str, upload: _Upload) -> T:
        """Do something with the store, again while it is away."""
        pause, deadline = _FIRST_PAUSE, 0.0
        while True:
            try:
                async with self._slots.get():
                    deadline = deadline or time.monotonic() + self._retry_seconds
                    return await work(key)
            except StorageUnavailable as error:
                if upload.deleted or time.monotonic() + pause > deadline:
                    raise
                log.warning("Trying again in %.1f s: %s", pause, error)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _may_copy(self, element: Mapping[str, Any], actor: str | None) -> bool:
        """Whether bytes in the store are this element's, sent again after a resume.

        Before 2.9.4, Chainlit hands on the key that a browser sends with a custom element,
        which has no bytes.
        """
        key, id = element.get("objectKey"), element.get("id")
        if not key or element.get("type") == "custom":
            return False
        query = partial(
            elements.owners,
            key=clean_text(str(key)),
            element_id=clean_text(str(id)),
            thread_id=clean_text(str(element.get("threadId"))),
        )
        for owner in await self._read(query):
            if actor is None or owner in (None, actor):
                return True
        log.warning(
            "The element %s is kept without its file: no element has it", printable_id(str(id))
        )
        return False

    async def _copy(self, key: str) -> BlobSource | None:
        """The bytes of an element that is sent again after a resume: it has a key, no content.

        A copy, because two rows must not share a blob that is deleted with one of them.
        """
        file = tempfile.TemporaryFile()  # noqa: SIM115 - closed as the source
        try:
            async for chunk in self._storage.open(key):
                await asyncio.to_thread(file.write, chunk)
        except BaseException as error:
            file.close()
            if isinstance(error, BlobNotFound):
                log.warning("%s: what is sent again is kept as a link", error)
                return None
            raise
        return BlobSource(file=cast("BinaryIO", file))

    async def _discard(self, key: str | None, *, again: bool = False) -> None:
        if key is None:
            return
        try:
            async with asyncio.timeout(_UNDO_SECONDS):
                await self._storage.delete([key])
        except (ChainlitSqlaError, TimeoutError) as error:
            log.warning("The blob %s has no row and is deleted later: %s", key, error)
            again = True
        if again:
            await self._deletion_queue.add(key, _STRAGGLER)


def object_key(element: Mapping[str, Any]) -> str:
    """A key for the bytes of an element that was never used before.

    Args:
        element: An ElementDict.

    Example:
        >>> object_key({"threadId": "t", "id": "e"})  # doctest: +ELLIPSIS
        'threads/t/e/...'
    """
    parts = (_part(element.get("threadId")), _part(element.get("id")))
    return f"threads/{parts[0]}/{parts[1]}/{uuid.uuid4().hex}"


def _part(id: object) -> str:
    """An id as part of a key: readable where it is short and plain."""
    raw = str(id).encode("utf-8", "replace")
    text = quote(raw, safe="")
    if len(text) > _LONGEST_PART or not text.strip("."):
        return hashlib.sha256(raw).hexdigest()
    return text
