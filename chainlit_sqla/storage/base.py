"""What every store of blobs offers: the `StorageClient` protocol.

A blob is written once under a key that is never used again, so a retry, a late
delete or a second upload can't touch a newer blob.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

ACTIVE_TYPES = frozenset(
    {"text/html", "application/xhtml+xml", "image/svg+xml", "text/xml", "application/xml"}
)
"""Types in which a browser runs script: served as a download, never inline."""


@dataclass(frozen=True, slots=True)
class BlobSource:
    """The bytes of a blob before they are stored.

    Exactly one of ``path`` and ``data`` is set. A file is opened by the storage
    client and streamed; it is never read into memory as a whole.

    Args:
        path: A file on this machine; the caller keeps it in place until ``put`` ends.
        data: The bytes themselves.
    """

    path: Path | None = None
    data: bytes | None = None

    @property
    def size(self) -> int:
        """The number of bytes."""
        if self.path is not None:
            return self.path.stat().st_size
        return len(self.data or b"")


@runtime_checkable
class StorageClient(Protocol):
    """A store of blobs: local folder, S3, or an adapter around another client.

    All methods raise `chainlit_sqla.errors.StorageError` whose message names the key
    and the repair. Implementations open their connections lazily, in the running
    loop, and may be used concurrently.
    """

    async def put(self, key: str, source: BlobSource, *, mime: str, name: str = "") -> int:
        """Store a blob, replacing one of the same key.

        Args:
            key: The object key, "/" separated, at most 1,024 bytes of UTF-8.
            source: Where the bytes come from.
            mime: The content type it is served with.
            name: The file name that a browser offers for it.

        Returns:
            The number of bytes stored.
        """
        ...

    async def read_urls(self, keys: Sequence[str]) -> Mapping[str, str]:
        """Sign URLs that a browser can read the blobs from until they expire.

        Args:
            keys: Object keys; whether they exist is not checked.

        Returns:
            A URL for each key.
        """
        ...

    def open(self, key: str) -> AsyncIterator[bytes]:
        """Read a blob in chunks.

        Raises:
            BlobNotFound: There is no blob under this key.
        """
        ...

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete blobs; a key that is not there is no error.

        Raises:
            StorageError: At least one blob could not be deleted.
        """
        ...

    async def check(self) -> str:
        """Write, read and delete a small blob.

        Returns:
            A sentence naming the store, for people.
        """
        ...

    async def close(self) -> None:
        """Release connections; closing twice is harmless."""
        ...


def shown_as(mime: str) -> str:
    """Tell whether a browser may show a type inside the page.

    Args:
        mime: A content type, with or without parameters.

    Returns:
        ``"inline"``, or ``"attachment"`` for `ACTIVE_TYPES`.

    Example:
        >>> shown_as("image/svg+xml; charset=utf-8")
        'attachment'
    """
    return "attachment" if mime.split(";")[0].strip().lower() in ACTIVE_TYPES else "inline"
