"""Blobs in a folder of this machine, read through signed links."""

from __future__ import annotations

import asyncio
import hashlib
import re
import threading
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from itsdangerous import BadData, TimestampSigner

from ...errors import BlobNotFound
from ..base import CHUNK, BlobInfo, BlobSource, source_errors
from ..blocking import StoppableWrite
from ..cloud import check_round_trip, delete_each
from ..headers import content_type
from .folder import Entry, Folder, blob_digest, folder_errors

FILES_PATH = "/chainlit-sqla/files"
"""Where the links point, below the prefix; see `local.route.file_route`."""


_TOKEN = re.compile(r"[0-9a-f]{64}\.[\w-]+\.[\w-]{64}", re.ASCII)
"""The last part of a link; Python's base64 would ignore other characters."""


class LinkError(ValueError):
    """The link was altered, was signed with another secret, or has expired."""


class LinkSigner(TimestampSigner):
    """Signs the digests of blobs with a clock of ours; each link has only one spelling."""

    def __init__(self, secret: bytes | str, clock: Callable[[], float]) -> None:
        # 48 bytes are base64 without spare bits, which could be changed unnoticed.
        super().__init__(
            secret, salt="chainlit-sqla: links to local files", digest_method=hashlib.sha384
        )
        self._clock = clock

    def get_timestamp(self) -> int:
        """Return the time that is signed."""
        return int(self._clock())


class LocalStorage:
    """An `Inventory` over a folder.

    Args:
        root: The folder; made on the first write.
        secret: Signs the links; when it changes, earlier links end. Empty: a random one
            that is kept in the folder.
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
        self._secret = secret
        self._expiry = expiry
        self._url_prefix = url_prefix
        self._clock = clock

    async def put(self, key: str, source: BlobSource, *, mime: str, name: str = "") -> int:
        """Store a blob; see `StorageClient.put`.

        When cancelled, it returns after the chunk that is being written.
        """

        def write(stop: threading.Event) -> int:
            with source_errors(key), source.reader():
                pass  # A source that cannot be read must not look like a fault of the folder.
            with folder_errors(f"write {key!r}", self.root):
                return self._folder.write(key, source, content_type(mime), name, stop)

        return await StoppableWrite(write).run()

    async def read_urls(self, keys: Sequence[str]) -> Mapping[str, str]:
        """Sign links for `file_route`; see `StorageClient.read_urls`."""
        if not keys:
            return {}
        signer = await self._signer(create=True)
        base = self._url_prefix() + FILES_PATH
        return {key: f"{base}/{signer.sign(blob_digest(key)).decode()}" for key in keys}

    async def open(self, key: str) -> AsyncGenerator[bytes, None]:
        """Read a blob in chunks; see `StorageClient.open`."""
        digest = blob_digest(key)
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
            for subfolder in await asyncio.to_thread(self._folder.subfolders):
                for blob in await asyncio.to_thread(self._folder.blobs_in, subfolder):
                    yield blob

    async def stat(self, key: str) -> BlobInfo:
        """Look one blob up; see `Inventory.stat`."""
        digest = blob_digest(key)
        with folder_errors(f"look up {key!r}", self.root):
            try:
                return await asyncio.to_thread(self._folder.stat, digest)
            except BlobNotFound:
                raise self._not_found(key) from None

    async def clear_unfinished(
        self,
        before: datetime,
        *,
        is_ours: Callable[[str], bool],  # noqa: ARG002 - the folder is ours alone
        remove: bool,
    ) -> int:
        """Count files that interrupted writes left; see `Inventory.clear_unfinished`."""
        with folder_errors("remove what interrupted writes left", self.root):
            return await asyncio.to_thread(self._folder.clear_leftovers, before, remove=remove)

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete blobs, some concurrently; see `StorageClient.delete`."""

        async def delete(key: str, digest: str) -> None:
            with folder_errors(f"delete {key!r}", self.root):
                await asyncio.to_thread(self._folder.remove, digest)

        await delete_each(keys, blob_digest, delete)

    async def check(self) -> str:
        """Write, read and delete a small blob; see `StorageClient.check`."""
        await check_round_trip(self)
        return f"the folder {self.root}"

    async def close(self) -> None:
        """Do nothing: no connection is open."""

    async def resolve(self, token: str) -> tuple[Entry, Path]:
        """Return the description of the blob that a link is for, and the file with its bytes.

        A LinkError means that the last part of the link, ``token``, was altered or has expired.
        """
        signer = await self._signer(create=False)
        if not _TOKEN.fullmatch(token):
            raise LinkError
        try:
            digest = signer.unsign(token, max_age=self._expiry - 1).decode()
        except (BadData, UnicodeError):
            raise LinkError from None
        with folder_errors("read a file", self.root):
            return await asyncio.to_thread(self._folder.find, digest)

    def _not_found(self, key: str) -> BlobNotFound:
        return BlobNotFound(
            f"There is no blob {key!r} in the folder {self.root}; it was deleted or never stored"
        )

    async def _signer(self, *, create: bool) -> LinkSigner:
        """Return what signs the links; the folder's own secret is created for a first link."""
        if not self._secret:
            with folder_errors("keep the secret that signs links", self.root):
                self._secret = await asyncio.to_thread(self._folder.secret, create=create) or b""
        if not self._secret:
            raise LinkError
        return LinkSigner(self._secret, self._clock)
