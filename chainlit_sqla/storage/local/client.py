"""Blobs in a folder of this machine, read through signed links."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

from ...errors import BlobNotFound
from ..base import CHUNK, BlobInfo, BlobSource, source_errors
from ..headers import content_type
from ..keys import key_bytes, possible_names
from ..probe import probe
from ..worker_threads import in_thread
from .folder import Entry, Folder, folder_errors
from .listing import blob_info, blobs_on, clear_strays, shelves
from .signed_urls import LinkError, blob_digest, sign, signing_key, verify

FILES_PATH = "/chainlit-sqla/files"
"""Where the links point, below the prefix; see `local_route.file_route`."""


class LocalStorage:
    """An `Inventory` over a folder.

    Args:
        root: The folder; made on the first write.
        secret: Signs the links; when it changes, links made so far end. Empty: a
            random one that is kept in the folder.
        expiry: Seconds until a link ends.
        url_prefix: Called for each batch of links; what stands before `FILES_PATH`:
            nothing, a root path or an origin, without a slash at its end.
        clock: The time in seconds since 1970.

    Example:
        ``LocalStorage(Path("files"), secret="...")``
    """

    def __init__(
        self,
        root: Path,
        *,
        secret: bytes | str = "",
        expiry: int = 3600,
        url_prefix: Callable[[], str] = lambda: "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.root = root.absolute()  # The process may change its folder later.
        self._folder = Folder(self.root)
        raw = secret.encode() if isinstance(secret, str) else secret
        self._signing_key = signing_key(raw) if raw else None
        self._expiry = expiry
        self._url_prefix = url_prefix
        self._clock = clock

    async def put(self, key: str, source: BlobSource, *, mime: str, name: str = "") -> int:
        """Store a blob; see `StorageClient.put`.

        When cancelled, it ends after the chunk that is being written.
        """
        digest = _digest(key)
        arguments = (digest, key, source, content_type(mime), name)
        return await in_thread(partial(self._put, *arguments))

    async def read_urls(self, keys: Sequence[str]) -> Mapping[str, str]:
        """Sign links for `file_route`; see `StorageClient.read_urls`."""
        if not keys:
            return {}
        signing = self._signing_key
        if signing is None:
            signing = await asyncio.to_thread(self._own_key, make=True)
        expires = int(self._clock()) + self._expiry
        base = self._url_prefix() + FILES_PATH
        return {
            key: f"{base}/{sign(blob_digest(key_bytes(key)), expires, signing)}" for key in keys
        }

    async def open(self, key: str) -> AsyncGenerator[bytes, None]:
        """Read a blob in chunks; see `StorageClient.open`."""
        digest = _digest(key)
        with folder_errors(f"read {key!r}", self.root):
            try:
                file = await asyncio.to_thread(self._folder.open, digest)
            except BlobNotFound:
                raise self._not_found(key) from None
            with file:
                while chunk := await asyncio.to_thread(file.read, CHUNK):
                    yield chunk

    async def list_blobs(self) -> AsyncGenerator[BlobInfo, None]:
        """List all blobs; see `Inventory.list_blobs`."""
        with folder_errors("list the blobs", self.root):
            for shelf in await asyncio.to_thread(shelves, self.root):
                for info in await asyncio.to_thread(blobs_on, self._folder, shelf):
                    yield info

    async def stat(self, key: str) -> BlobInfo:
        """Look one blob up; see `Inventory.stat`."""
        digest = _digest(key)
        with folder_errors(f"look up {key!r}", self.root):
            try:
                entry, path = await asyncio.to_thread(self._folder.find, digest)
                return blob_info(entry, await asyncio.to_thread(path.stat))
            except (BlobNotFound, FileNotFoundError):
                raise self._not_found(key) from None

    async def clear_unfinished(
        self,
        before: datetime,
        *,
        is_ours: Callable[[str], bool],  # noqa: ARG002 - the folder has nobody else's
        remove: bool,
    ) -> int:
        """Count files that interrupted writes left; see `Inventory.clear_unfinished`."""
        with folder_errors("clear what interrupted writes left", self.root):
            return await asyncio.to_thread(clear_strays, self._folder, before, remove=remove)

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete blobs; see `StorageClient.delete`."""
        digests, impossible = possible_names(keys, _digest)
        failed = await asyncio.to_thread(self._folder.remove, digests.values())
        for key, digest in digests.items():
            if error := failed.get(digest):
                with folder_errors(f"delete {key!r}", self.root):
                    raise error
        for refused in impossible:
            raise refused

    async def check(self) -> str:
        """Write, read and delete a small blob; see `StorageClient.check`."""
        await probe(self)
        return f"the folder {self.root}"

    async def close(self) -> None:
        """Nothing to release."""

    async def resolve(self, token: str) -> tuple[Entry, Path]:
        """Find the blob that a link is for.

        Args:
            token: The last part of the link.

        Returns:
            What is known about the blob, and the file with its bytes.

        Raises:
            LinkError: The link was altered or has expired.
            BlobNotFound: The blob was deleted.
            StorageError: The folder cannot be read.
        """
        signing = self._signing_key
        if signing is None:
            signing = await asyncio.to_thread(self._own_key, make=False)
        digest = verify(token, self._clock(), signing)
        with folder_errors("read a file", self.root):
            return await asyncio.to_thread(self._folder.find, digest.hex())

    def _not_found(self, key: str) -> BlobNotFound:
        return BlobNotFound(
            f"There is no blob {key!r} in the folder {self.root}; it was deleted or never stored"
        )

    def _put(
        self,
        digest: str,
        key: str,
        source: BlobSource,
        mime: str,
        name: str,
        stop: threading.Event,
    ) -> int:
        with source_errors(key), source.reader():
            pass  # What is wrong with the source must not look like a fault of the folder.
        with folder_errors(f"write {key!r}", self.root):
            return self._folder.write(digest, key, source, mime, name, stop)

    def _own_key(self, *, make: bool) -> bytes:
        with folder_errors("keep the secret that signs links", self.root):
            secret = self._folder.make_secret() if make else self._folder.secret()
        if secret is None:
            raise LinkError
        self._signing_key = signing_key(secret)
        return self._signing_key


def _digest(key: str) -> str:
    return blob_digest(key_bytes(key)).hex()
