"""Blobs in a container of Azure Blob Storage."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO

from ...errors import (
    BlobNotFound,
    ConfigurationError,
    MissingExtraError,
    StorageError,
    StorageUnavailable,
)
from ..base import CHUNK, BlobInfo, BlobSource, source_errors
from ..budget import Budget
from ..credentials import refuse_credentials
from ..headers import content_disposition, content_type, offered_name
from ..keys import key_behind, possible_names
from ..probe import probe
from .errors import Place, azure_errors
from .keys import blob_name, key_of

if TYPE_CHECKING:
    from .connection import Connection
    from .links import Signer

BLOCK_SIZE = 5 * 1024 * 1024
LONGEST_EXPIRY = 10 * 365 * 24 * 3600
LONGEST_DELEGATED_EXPIRY = 7 * 24 * 3600
DELETIONS_AT_ONCE = 16
FILES_AT_ONCE = 32
"""Files that are open for uploads; more than blocks, of which some wait for the network."""
PAGE = 500
"""Blobs listed with one request; a page is parsed in one go, while nothing else runs."""


class AzureStorage:
    """An `Inventory` over a container of an Azure storage account.

    Without a key, ``DefaultAzureCredential`` gets the tokens: from a workload identity, a
    managed identity, the environment or ``az login``. That identity needs the roles
    "Storage Blob Data Contributor" and, for links, "Storage Blob Delegator".

    Where the account has soft delete or versioning, it keeps what is deleted here until
    the time that is set there has passed.

    Args:
        container: The container; it must exist.
        account: The storage account.
        key: One of the account's two keys; empty: `credential`.
        prefix: Put before all keys, with a "/" between.
        endpoint: The URL of the blob service where it is not
            ``https://{account}.blob.core.windows.net``: of another cloud, a domain of
            one's own, or Azurite (``http://127.0.0.1:10000/devstoreaccount1``).
        expiry: Seconds until a link ends; a week at most without a key, and then those of
            more than six days may end up to an hour earlier.
        credential: An asynchronous token credential, such as those of
            ``azure.identity.aio``, which the caller closes; None: ``DefaultAzureCredential``.
        block_size: Bytes; larger blobs are sent in blocks of this size.
        blocks_at_once: Blocks of that size in memory at most, for all uploads together.
        attempts: How often a request is sent until it is given up.
        clock: The time in seconds since 1970, for links.

    Raises:
        ConfigurationError: An argument cannot work.
        MissingExtraError: The packages of the extra ``azure`` are not installed.

    Example:
        ``AzureStorage("attachments", account="acme", key="...")``
    """

    def __init__(
        self,
        container: str,
        *,
        account: str,
        key: str = "",
        prefix: str = "",
        endpoint: str = "",
        expiry: int = 3600,
        credential: Any = None,
        block_size: int = BLOCK_SIZE,
        blocks_at_once: int = 4,
        attempts: int = 4,
        clock: Callable[[], float] = time.time,
    ) -> None:
        _check_packages(identity=not key and credential is None)
        _check_names(container, account)
        _check_access(key, endpoint, expiry)
        self.place = Place(container, account, endpoint.rstrip("/"))
        self._url = self.place.endpoint or f"https://{account}.blob.core.windows.net"
        self._key = key
        self._prefix = prefix.strip("/")
        self._expiry = expiry
        self._credential = credential
        self._block_size = block_size
        self._blocks_at_once = blocks_at_once
        self._attempts = attempts
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._budget = Budget(blocks_at_once * block_size)
        self._open_files = asyncio.Semaphore(FILES_AT_ONCE)
        self._connection: Connection | None = None
        self._signer: Signer | None = None

    async def put(self, key: str, source: BlobSource, *, mime: str, name: str = "") -> int:
        """Store a blob; see `StorageClient.put`.

        Blocks of an upload that failed or was cancelled are no blob; Azure drops them after
        a week.
        """
        from azure.storage.blob import ContentSettings

        from .upload import MAX_BLOCKS, Upload

        target = self._name(key)
        headers = ContentSettings(
            content_type=content_type(mime), content_disposition=content_disposition(mime, name)
        )
        with azure_errors(f"write {key!r}", self.place):
            connection = self._connect()
            async with self._open_files:
                with ExitStack() as opened:
                    with source_errors(key):
                        file, size = await asyncio.to_thread(_opened, source, opened)
                    # Not before its turn: many at once would hold up the event loop.
                    blob = connection.container.get_blob_client(target)
                    block = max(self._block_size, -(-size // MAX_BLOCKS))
                    upload = Upload(blob, key, headers, size, block, self._budget)
                    return await connection.until_closed(upload.send(file))

    async def read_urls(self, keys: Sequence[str]) -> Mapping[str, str]:
        """Sign links to read one blob each; see `StorageClient.read_urls`."""
        names = {key: self._name(key) for key in keys}
        if not names:
            return {}
        with azure_errors("sign links", self.place):
            links = await self._connect_signer().links(list(names.values()))
        return dict(zip(names, links, strict=True))

    async def open(self, key: str) -> AsyncGenerator[bytes, None]:
        """Read a blob in chunks; see `StorageClient.open`."""
        target = self._name(key)
        with azure_errors(f"read {key!r}", self.place):
            stream = await self._connect().container.download_blob(target)
            async for piece in stream.chunks():
                for start in range(0, len(piece), CHUNK):
                    yield piece[start : start + CHUNK]

    async def list_blobs(self) -> AsyncGenerator[BlobInfo, None]:
        """List all blobs below the prefix; see `Inventory.list_blobs`."""
        below = f"{self._prefix}/" if self._prefix else ""
        start = self._name("x")[:-1] or None
        with azure_errors("list the blobs", self.place):
            container = self._connect().container
            async for found in container.list_blobs(start, results_per_page=PAGE):
                key = key_behind(found.name, key_of, blob_name)
                if key.startswith(below) and key != below:
                    yield _info(key.removeprefix(below), found)

    async def stat(self, key: str) -> BlobInfo:
        """Look one blob up; see `Inventory.stat`."""
        target = self._name(key)
        with azure_errors(f"look up {key!r}", self.place):
            blob = self._connect().container.get_blob_client(target)
            return _info(key, await blob.get_blob_properties())

    async def clear_unfinished(
        self,
        before: datetime,  # noqa: ARG002
        *,
        is_ours: Callable[[str], bool],  # noqa: ARG002
        remove: bool,  # noqa: ARG002
    ) -> int:
        """Return 0: Azure drops blocks that became no blob after a week."""
        return 0

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete blobs and their snapshots; see `StorageClient.delete`.

        Each has a request of its own, some at once: not all kinds of accounts know
        batches, and to make one of 256 keeps the event loop from everything else.
        """
        names, impossible = possible_names(dict.fromkeys(keys), self._name)
        waiting = iter(names.items())
        errors: list[StorageError] = []
        with azure_errors("delete blobs", self.place):
            container = self._connect().container
        async with asyncio.TaskGroup() as group:
            for _ in range(min(len(names), DELETIONS_AT_ONCE)):
                group.create_task(self._delete_each(container, waiting, errors))
        for error in errors + impossible:
            raise error

    async def check(self) -> str:
        """Write, read and delete a small blob; see `StorageClient.check`."""
        await probe(self)
        return f"the {self.place}"

    async def close(self) -> None:
        """Close the connections; see `StorageClient.close`.

        An upload under way is undone and raises a StorageError. It takes a quarter of a
        minute at most; what is called after that opens the store again.
        """
        connection, self._connection, self._signer = self._connection, None, None
        # What another loop opened cannot be closed from this one.
        if connection is not None and self._loop is asyncio.get_running_loop():
            await connection.close()

    def _name(self, key: str) -> str:
        return blob_name(f"{self._prefix}/{key}" if self._prefix and key else key)

    def _connect(self) -> Connection:
        from .connection import Connection

        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # A client works only in the loop that it was made in.
            self._loop, self._connection, self._signer = loop, None, None
            self._budget = Budget(self._blocks_at_once * self._block_size)
            self._open_files = asyncio.Semaphore(FILES_AT_ONCE)
        if self._connection is None:
            self._connection = Connection(
                self._url, self.place, self._key, self._credential, self._attempts
            )
        return self._connection

    def _connect_signer(self) -> Signer:
        from .links import Signer

        service = self._connect().service
        if self._signer is None:
            self._signer = Signer(
                self.place.account,
                self.place.container,
                self._url,
                self._expiry,
                self._key,
                service,
                self._clock,
            )
        return self._signer

    async def _delete_each(
        self, container: Any, waiting: Iterator[tuple[str, str]], errors: list[StorageError]
    ) -> None:
        """Delete blobs until none is waiting.

        A service that may be away ends this, but not the others that share what is waiting:
        it may be this one blob.
        """
        for key, name in waiting:
            try:
                with azure_errors(f"delete {key!r}", self.place):
                    await container.delete_blob(name, delete_snapshots="include")
            except BlobNotFound:
                continue
            except StorageUnavailable as error:
                errors.append(error)
                return
            except StorageError as error:
                errors.append(error)


def _opened(source: BlobSource, stack: ExitStack) -> tuple[BinaryIO, int]:
    return stack.enter_context(source.reader()), source.size


def _info(key: str, found: Any) -> BlobInfo:
    headers = found.content_settings
    return BlobInfo(
        key,
        found.size,
        found.last_modified,
        headers.content_type or "",
        offered_name(headers.content_disposition or ""),
    )


def _check_packages(*, identity: bool) -> None:
    try:
        import aiohttp  # noqa: F401
        import azure.storage.blob.aio

        if identity:
            import azure.identity.aio  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("Azure Blob Storage", "azure") from error


def _check_names(container: str, account: str) -> None:
    if not container:
        raise ConfigurationError(
            "Azure Blob Storage needs the name of a container; set BUCKET_NAME"
        )
    if not re.fullmatch(r"\$?[a-z0-9](?:-?[a-z0-9]){2,62}", container) or len(container) > 63:
        raise ConfigurationError(
            f"{container!r} cannot be the name of an Azure container (3 to 63 small letters, "
            "digits and single hyphens); correct BUCKET_NAME or the storage URL"
        )
    if not re.fullmatch("[a-z0-9]{3,24}", account):
        raise ConfigurationError(
            f"{account!r} cannot be the name of an Azure storage account (3 to 24 small "
            "letters and digits); correct APP_AZURE_STORAGE_ACCOUNT"
        )


def _check_access(key: str, endpoint: str, expiry: int) -> None:
    try:
        base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        raise ConfigurationError(
            "The key of the Azure storage account is not base64, so it is not whole; correct "
            "APP_AZURE_STORAGE_ACCESS_KEY"
        ) from None
    refuse_credentials("az", endpoint)
    if endpoint and not re.match(r"https?://[^/?#]+[^?#]*\Z", endpoint):
        raise ConfigurationError(
            f"The Azure endpoint {endpoint!r} is no URL; write it like "
            "https://account.blob.core.windows.net"
        )
    if not key and endpoint.startswith("http:"):
        raise ConfigurationError(
            f"Azure takes no token over {endpoint!r}; use https, or set "
            "APP_AZURE_STORAGE_ACCESS_KEY"
        )
    longest = LONGEST_EXPIRY if key else LONGEST_DELEGATED_EXPIRY
    if not 0 < expiry <= longest:
        raise ConfigurationError(
            f"Azure links are good for 1 to {longest:,} seconds here, not {expiry:,}; "
            "correct STORAGE_EXPIRY_TIME"
        )
