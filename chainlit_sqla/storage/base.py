"""The protocols that storage clients implement, and the blobs they exchange.

A blob is written once under a key that is never used again, so a retry, a late
delete or a second upload can't touch a newer blob.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

from ..errors import BlobRejected, StorageUnavailable
from .headers import offered_name

CHUNK = 256 * 1024
"""Bytes in one step of reading, copying or sending."""

EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""Errors of this process or machine that say nothing about the file that is opened."""

RAISE_LIMIT = "raise the limits of this process (ulimit -n)"


@dataclass(frozen=True, slots=True)
class BlobSource:
    """The bytes of a blob before they are stored; exactly one of the three is set.

    Storage clients stream a file; they never read all of it into memory.

    Args:
        path: A file on this machine; the caller keeps it in place until ``put`` ends.
        data: The bytes themselves.
        file: A file opened for buffered binary reading, see `opened`. It is read from
            its start, so a failed ``put`` can be repeated, but two must not run
            concurrently.

    Example:
        >>> BlobSource(data=b"hello").size
        5
    """

    path: Path | None = None
    data: bytes | None = None
    file: BinaryIO | None = None

    @classmethod
    def opened(cls, path: Path) -> BlobSource:
        """Open a file now, so that it may be deleted before it is stored; needs `close`."""
        return cls(file=path.open("rb"))

    @property
    def size(self) -> int:
        """The number of bytes; raises an OSError if the file does not exist."""
        if self.file is not None:
            return os.fstat(self.file.fileno()).st_size
        if self.path is not None:
            return self.path.stat().st_size
        return len(self.data or b"")

    @contextmanager
    def reader(self) -> Iterator[BinaryIO]:
        """Read the bytes from the start; raises an OSError if the file cannot be opened."""
        if self.file is not None:
            self.file.seek(0)
            yield self.file
        elif self.path is not None:
            with self.path.open("rb") as file:
                yield file
        else:
            yield io.BytesIO(self.data or b"")

    def close(self) -> None:
        """Close the file of `opened`; for other sources this does nothing."""
        if self.file is not None:
            self.file.close()


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """A blob as a store describes it, under its key without a prefix of the store's own.

    ``modified`` is when it was stored, in UTC by the store's clock. ``mime`` and the file name
    to offer are empty where there is none or a listing does not say it.
    """

    key: str
    size: int
    modified: datetime
    mime: str = ""
    name: str = ""

    @classmethod
    def from_headers(
        cls, key: str, size: int, modified: datetime, mime: str | None, disposition: str | None
    ) -> BlobInfo:
        """Describe a blob by its ``Content-Type`` and ``Content-Disposition``, if any."""
        return cls(key, size, modified, mime or "", offered_name(disposition or ""))


@contextmanager
def source_errors(key: str) -> Iterator[None]:
    """Raise a BlobRejected about the caller's file, as distinct from the store.

    It replaces an OSError, or the ValueError of a file that was closed. A file that cannot be
    opened only because too many are open is no reason to give its bytes up.
    """
    try:
        yield
    except (OSError, ValueError) as error:
        if getattr(error, "errno", None) in EXHAUSTED:
            raise StorageUnavailable(
                f"Cannot read the file to be stored under {key!r} ({error}); {RAISE_LIMIT}"
            ) from error
        raise BlobRejected(
            f"Cannot read the file to be stored under {key!r} ({error}); "
            "keep it in place until it is stored"
        ) from error


@runtime_checkable
class StorageClient(Protocol):
    """A store of blobs: a folder, a bucket, or an adapter around another client.

    All methods raise `chainlit_sqla.errors.StorageError` whose message names the key
    and the repair. Implementations open their connections lazily, in the running
    loop, and allow concurrent calls.
    """

    async def put(self, key: str, source: BlobSource, *, mime: str, name: str = "") -> int:
        """Store a blob, replacing one of the same key.

        Args:
            key: The object key, "/" separated, 1 to 1,024 bytes of UTF-8.
            source: Where the bytes come from; the caller closes it.
            mime: The content type it is served with.
            name: The file name that a browser offers for it.

        Returns:
            The number of bytes stored.
        """

    async def read_urls(self, keys: Sequence[str]) -> Mapping[str, str]:
        """Sign URLs that a browser can read the blobs from until they expire.

        Args:
            keys: Object keys; whether they exist is not checked.

        Returns:
            A URL for each key.
        """

    def open(self, key: str) -> AsyncIterator[bytes]:
        """Read a blob in chunks.

        Raises:
            BlobNotFound: There is no blob under this key.
        """

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete blobs; a key without a blob is no error.

        Everything that can be deleted is deleted: a key that is impossible or a blob that
        the store refuses to delete is reported at the end. Only a store that is unavailable
        ends it early.

        Args:
            keys: Object keys, in any number.

        Raises:
            StorageError: The first reason why a blob could not be deleted.
        """

    async def check(self) -> str:
        """Write, read and delete a small blob.

        Returns:
            The name of the store, such as "the folder /srv/files".
        """

    async def close(self) -> None:
        """Release connections; closing twice is harmless."""


@runtime_checkable
class Inventory(StorageClient, Protocol):
    """A `StorageClient` that lists its blobs; all but the adapter do.

    ``chainlit-sqla storage`` requires it; a data layer does not.
    """

    def list_blobs(self) -> AsyncIterator[BlobInfo]:
        """List all blobs, in no particular order and in bounded memory.

        A blob that is stored or deleted meanwhile may be missing or not.
        """

    async def stat(self, key: str) -> BlobInfo:
        """Look one blob up, with type and name; raises BlobNotFound if there is none."""

    async def clear_unfinished(
        self, before: datetime, *, is_ours: Callable[[str], bool], remove: bool
    ) -> int:
        """Count the unfinished uploads that began before a time in UTC; ``remove`` removes them.

        Their parts are billed but appear in no listing. The time must be early enough that no
        upload under way is touched. ``is_ours`` says by the key which uploads count, for other
        software may use the same bucket. Always 0 where the store cleans up itself.
        """
