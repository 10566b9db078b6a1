"""Storage clients over SDKs that block, and files and uploads in threads.

No upload is left behind in its thread when its caller was cancelled.
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, InvalidStateError, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial
from typing import Any, BinaryIO, Generic, TypeVar

from ..errors import StorageError
from .base import CHUNK, BlobInfo, BlobSource, source_errors
from .cloud import CLOSE_SECONDS, check_round_trip, closed_error, delete_each, in_lanes
from .headers import content_disposition, content_type

CALLS = 32
"""Threads for all calls but uploads."""

SMALL_UPLOADS = 6
LARGE_UPLOADS = 4
"""Uploads at the same time; the others wait without an open file or a byte in memory."""

SMALL = 1024 * 1024
"""Bytes of a blob that does not wait for large uploads."""

T = TypeVar("T")


class Stopped(Exception):
    """The caller of an upload was cancelled, or the store was closed."""


class UploadFile:
    """A file to upload that raises once ``stop`` is set, or the file became shorter than ``size``.

    It reads a file opened for buffered binary reading; messages name its object key.
    """

    def __init__(
        self, file: BinaryIO, key: str, size: int, stop: threading.Event | None = None
    ) -> None:
        self._file = file
        self._key = key
        self.size = size
        self.stop = stop or threading.Event()
        self._lock = threading.Lock()
        self.error: Exception | None = None
        """What reading raised first; SDKs wrap some of it in errors of their own."""

    def read(self, size: int = -1) -> bytes:
        """Read the next bytes."""
        with self._source_errors():
            if self.stop.is_set():
                raise Stopped
            remaining = self.size - self._file.tell()
            expected = remaining if size < 0 else min(size, remaining)
            data = self._file.read(expected)
            if len(data) < expected:
                raise ValueError("it became shorter meanwhile")
        return data

    def read_at(self, start: int, size: int) -> bytes:
        """Read at a position; several threads may do so concurrently."""
        with self._lock:
            self.seek(start)
            return self.read(size)

    def tell(self) -> int:
        """Return the position."""
        with self._source_errors():
            return self._file.tell()

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a position, as SDKs do before they repeat a request."""
        with self._source_errors():
            return self._file.seek(offset, whence)

    def seekable(self) -> bool:
        """Return True, which SDKs ask."""
        return True

    @classmethod
    @contextmanager
    def opened(
        cls, source: BlobSource, key: str, stop: threading.Event | None = None
    ) -> Iterator[UploadFile]:
        """Open a source; what reading it raises replaces what an SDK makes of that."""
        with ExitStack() as stack:
            with source_errors(key):
                file = cls(stack.enter_context(source.reader()), key, source.size, stop)
            try:
                yield file
            except Exception:
                if file.error is not None:
                    raise file.error from None
                raise

    @contextmanager
    def _source_errors(self) -> Iterator[None]:
        try:
            with source_errors(self._key):
                yield
        except Exception as error:
            self.error = self.error or error
            raise


class StoppableWrite(Generic[T]):
    """A blocking write in a thread that its caller can stop.

    ``write`` receives an event; soon after that is set it raises `Stopped`, if unfinished.
    Without an executor it runs in the threads of the event loop.
    """

    def __init__(
        self, write: Callable[[threading.Event], T], executor: Executor | None = None
    ) -> None:
        self.stop = threading.Event()
        self.future: Future[T] = Future()
        self._write = write
        self._executor = executor

    async def run(self) -> T:
        """Write; when cancelled, return only after the thread has finished.

        What is written can then be deleted for good: nothing stores it later.
        """
        asyncio.get_running_loop().run_in_executor(self._executor, self._run)
        waiter = asyncio.wrap_future(self.future)
        try:
            return await asyncio.shield(waiter)
        except asyncio.CancelledError:
            self.stop.set()
            self.future.cancel()  # Succeeds only while the call waits for a thread.
            while not waiter.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([waiter])
            if not waiter.cancelled():
                waiter.exception()  # Retrieved, so that asyncio does not log it.
            raise

    def _run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return  # Cancelled before a thread was free.
        with suppress(InvalidStateError):  # Its caller was told an error.
            try:
                self.future.set_result(self._write(self.stop))
            except BaseException as error:
                self.future.set_exception(error)


class BlockingStorage(ABC):
    """An `Inventory` whose subclass makes blocking calls of an SDK.

    The threads are its own, so what else the application does in threads never waits for an
    upload. A cancelled `put` returns only when its thread has finished the request under
    way, so it cannot store the blob later. ``location`` names the bucket in messages, and
    ``name_of`` turns a key with the prefix into a name that the store accepts.
    """

    def __init__(self, location: str, prefix: str, name_of: Callable[[str], str]) -> None:
        self.location = location
        self._prefix = prefix.strip("/")
        self._name_of = name_of
        self._session: _Session | None = None
        self._lock = threading.Lock()
        self._client: Any = None

    async def put(self, key: str, source: BlobSource, *, mime: str, name: str = "") -> int:
        """Store a blob; see `StorageClient.put`.

        The SDK drops or never commits what an upload that failed or was cancelled has sent.
        """
        target = self._name(key)
        headers = content_type(mime), content_disposition(mime, name)
        with source_errors(key):
            is_small = source.size <= SMALL
        session = self._opened()

        def write(stop: threading.Event) -> int:
            with self._errors(f"write {key!r}"), UploadFile.opened(source, key, stop) as file:
                self._upload(target, file, *headers)
                return file.size

        pool = session.small if is_small else session.large
        upload = StoppableWrite(write, pool)
        session.uploads.add(upload)
        try:
            return await upload.run()
        except Stopped:
            raise closed_error(self.location) from None
        finally:
            session.uploads.discard(upload)

    async def read_urls(self, keys: Sequence[str]) -> Mapping[str, str]:
        """Sign links; see `StorageClient.read_urls`."""
        names = {key: self._name(key) for key in keys}
        if not names:
            return {}
        session = self._opened()
        sign, is_local = await self._call(session, self._signer)
        if is_local:
            return await self._call(session, lambda: {key: sign(names[key]) for key in names})
        urls = await in_lanes(lambda key: self._call(session, sign, names[key]), names)
        return {key: urls[key] for key in names}

    async def open(self, key: str) -> AsyncGenerator[bytes, None]:
        """Read a blob in chunks; see `StorageClient.open`."""
        session, pieces = self._opened(), self._download(key, self._name(key))
        while (piece := await self._call(session, next, pieces, None)) is not None:
            for start in range(0, len(piece), CHUNK):
                yield piece[start : start + CHUNK]

    async def list_blobs(self) -> AsyncGenerator[BlobInfo, None]:
        """List all blobs below the prefix; see `Inventory.list_blobs`."""
        session, pages = self._opened(), self._pages()
        while (page := await self._call(session, next, pages, None)) is not None:
            for blob in page:
                yield blob

    async def stat(self, key: str) -> BlobInfo:
        """Look one blob up; see `Inventory.stat`."""
        return await self._call(self._opened(), self._look_up, key, self._name(key))

    async def clear_unfinished(self, *_: object, **__: object) -> int:
        """Return 0: these clouds drop what no upload finished after a week."""
        return 0

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete blobs, some concurrently; see `StorageClient.delete`."""
        session = self._opened()

        def remove(key: str, name: str) -> None:
            with self._errors(f"delete {key!r}"):
                self._remove(name)

        await delete_each(keys, self._name, partial(self._call, session, remove))

    async def check(self) -> str:
        """Write, read and delete a small blob; see `StorageClient.check`."""
        await check_round_trip(self)
        return f"the {self.location}"

    async def close(self) -> None:
        """Close the connections; see `StorageClient.close`.

        An upload under way raises a StorageError. What is called later opens the store again.
        """
        session, self._session = self._session, None
        if session is not None:
            await session.close(closed_error(self.location))
            await asyncio.to_thread(self._drop_client)

    @abstractmethod
    def _errors(self, action: str) -> AbstractContextManager[None]:
        """Turn the SDK's exceptions into errors of ours; see `cloud.cloud_errors`."""

    @abstractmethod
    def _upload(self, name: str, file: UploadFile, mime: str, disposition: str) -> None:
        """Upload a file; repeat no request once ``file.stop`` is set."""

    @abstractmethod
    def _download(self, key: str, name: str) -> Iterator[bytes]:
        """Read a blob in pieces of a few megabytes, each of the same version."""

    @abstractmethod
    def _remove(self, name: str) -> None:
        """Delete a blob; the caller ignores BlobNotFound."""

    @abstractmethod
    def _pages(self) -> Iterator[list[BlobInfo]]:
        """List the blobs below the prefix, one page a request."""

    @abstractmethod
    def _look_up(self, key: str, name: str) -> BlobInfo:
        """Look one blob up."""

    @abstractmethod
    def _signer(self) -> tuple[Callable[[str], str], bool]:
        """Return a function that links to a name, and whether it does so without a request."""

    @abstractmethod
    def _connect(self) -> Any:
        """Make the SDK's client."""

    @abstractmethod
    def _disconnect(self, client: Any) -> None:
        """Close the SDK's client."""

    def _connected(self) -> Any:
        """Return the SDK's client; the first call after `close` makes a new one."""
        with self._lock:
            if self._client is None:
                self._client = self._connect()
            return self._client

    def _drop_client(self) -> None:
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            self._disconnect(client)

    def _name(self, key: str) -> str:
        return self._name_of(f"{self._prefix}/{key}" if self._prefix and key else key)

    def _opened(self) -> _Session:
        if self._session is None:
            self._session = _Session()
        return self._session

    async def _call(self, session: _Session, function: Callable[..., T], *args: Any) -> T:
        if session.closed:  # What began before closing must not connect again.
            raise closed_error(self.location)
        return await asyncio.wrap_future(session.calls.submit(function, *args))


class _Session:
    """The threads between two calls of ``close``, and the uploads in them."""

    def __init__(self) -> None:
        self.calls = ThreadPoolExecutor(CALLS, "chainlit-sqla-store")
        self.small = ThreadPoolExecutor(SMALL_UPLOADS, "chainlit-sqla-small-upload")
        self.large = ThreadPoolExecutor(LARGE_UPLOADS, "chainlit-sqla-large-upload")
        self.uploads: set[StoppableWrite[int]] = set()
        self.closed = False

    async def close(self, error: StorageError) -> None:
        """Stop the uploads; one whose request is stuck is abandoned after a while."""
        self.closed = True
        uploads = list(self.uploads)
        for upload in uploads:
            upload.stop.set()
        if uploads:
            futures = [upload.future for upload in uploads]
            await asyncio.to_thread(wait, futures, timeout=CLOSE_SECONDS)
        for upload in uploads:
            with suppress(InvalidStateError):  # It has ended.
                upload.future.set_exception(error)
        for pool in (self.calls, self.small, self.large):
            pool.shutdown(wait=False, cancel_futures=True)
