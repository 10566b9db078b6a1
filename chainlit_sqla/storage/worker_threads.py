"""Files and uploads in threads, which a cancelled caller does not leave behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, InvalidStateError
from contextlib import ExitStack, contextmanager, suppress
from typing import BinaryIO, Generic, TypeVar

from .base import BlobSource, source_errors

T = TypeVar("T")


class Stopped(Exception):
    """The caller of an upload was cancelled, or the store was closed."""


class UploadFile:
    """A file to upload that raises once its upload is stopped, or the file became shorter.

    Args:
        file: Opened for buffered binary reading.
        key: The object key, for messages.
        size: The bytes to read.
        stop: Ends the upload when set; None: nobody does.
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
        """Read the next bytes.

        Raises:
            Stopped: The upload was stopped.
            StorageError: The file cannot be read.
        """
        with self._noting_errors():
            if self.stop.is_set():
                raise Stopped
            with source_errors(self._key):
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
        with self._noting_errors(), source_errors(self._key):
            return self._file.tell()

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a position, as SDKs do before they repeat a request."""
        with self._noting_errors(), source_errors(self._key):
            return self._file.seek(offset, whence)

    def seekable(self) -> bool:
        """Return True."""
        return True

    @classmethod
    @contextmanager
    def opened(
        cls, source: BlobSource, key: str, stop: threading.Event | None = None
    ) -> Iterator[UploadFile]:
        """Open a source; what reading it raises replaces what an SDK makes of that.

        Raises:
            StorageError: The source cannot be read.
        """
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
    def _noting_errors(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.error = self.error or error
            raise


class StoppableWrite(Generic[T]):
    """A blocking write in a thread that its caller can stop.

    Args:
        write: Receives an event; soon after that is set it raises `Stopped`, unless it has
            finished.
        executor: The threads; None: those of the event loop.
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

    def abandon(self, error: Exception) -> None:
        """Raise an error in the caller of `run` without waiting for the thread."""
        with suppress(InvalidStateError):
            self.future.set_exception(error)

    def _run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return  # Cancelled before a thread was free.
        try:
            result = self._write(self.stop)
        except BaseException as error:
            with suppress(InvalidStateError):
                self.future.set_exception(error)
        else:
            with suppress(InvalidStateError):
                self.future.set_result(result)
