"""Blobs in a bucket of Google Cloud Storage."""

from __future__ import annotations

import asyncio
import os
import re
import threading
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ...errors import ConfigurationError, MissingExtraError, StorageError, StorageUnavailable
from ..base import CHUNK, BlobInfo, BlobSource
from ..credentials import refuse_credentials
from ..headers import content_disposition, content_type
from ..keys import possible_names
from ..probe import probe
from ..worker_threads import until_over
from .keys import object_name

if TYPE_CHECKING:
    from .bucket import GoogleBucket

LONGEST_EXPIRY = 7 * 24 * 3600
CALLS_AT_ONCE = 32
"""Threads for everything but uploads."""

SMALL_AT_ONCE = 6
"""Uploads of small blobs, each with some three times its bytes in memory."""

LANES = 16
"""Of these threads, how many one call uses at most."""

SMALL = 1024 * 1024
"""Bytes of a blob that need not wait for the large uploads of others."""

_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")

T = TypeVar("T")


class GCSStorage:
    """An `Inventory` over a bucket of Google Cloud Storage.

    Google's client blocks, so it runs in threads of its own: what else the application
    does in threads never waits for an upload. A cancelled `put` ends only when its thread
    has let go of the upload, after the request under way; so it cannot store the blob
    later. Uploads that did not end are dropped by Google itself after a week.

    Object names are keys in which control characters are written as ``%XX``; such a key
    must have 1,024 bytes at most after that.

    Args:
        bucket: The bucket; it must exist.
        prefix: Put before all keys, with a "/" between.
        project: The project; needed by nothing here, sent for the record.
        client_email: The e-mail address of a service account. Without `private_key`: the
            account that signs links, by IAM; empty: that of the credentials.
        private_key: The key of this account, in PEM; empty: Application Default
            Credentials (the machine's service account, workload identity,
            ``GOOGLE_APPLICATION_CREDENTIALS``, ``gcloud auth application-default login``).
        endpoint: The URL of a server other than Google's; empty: that of
            ``STORAGE_EMULATOR_HOST``, if set. Without a key it is taken for an emulator,
            unless its host is Google's (Private Service Connect): it is asked without a
            login, and links are not signed.
        expiry: Seconds until a link ends, a week at most. A link that IAM signed may end
            earlier: Google changes the keys of its accounts.
        uploads_at_once: Uploads of more than a megabyte, each with up to 24 MB in memory.
        retry_seconds: How long a request that fails in a way that may pass is repeated.
        credentials: Of google-auth, for other ways to log in; instead of `private_key`.

    Raises:
        ConfigurationError: An argument cannot work.
        MissingExtraError: google-cloud-storage is not installed.

    Example:
        ``GCSStorage("attachments", prefix="chat")``
    """

    def __init__(
        self,
        bucket: str,
        *,
        prefix: str = "",
        project: str = "",
        client_email: str = "",
        private_key: str = "",
        endpoint: str = "",
        expiry: int = 3600,
        uploads_at_once: int = 4,
        retry_seconds: float = 30.0,
        credentials: Any = None,
    ) -> None:
        # Google's own client and its other emulators go by this variable, too.
        endpoint = (endpoint or os.environ.get("STORAGE_EMULATOR_HOST", "")).rstrip("/")
        _check_arguments(bucket, client_email, private_key, endpoint, expiry)
        try:
            from .bucket import GoogleBucket
            from .credentials import login
            from .errors import Place
        except ImportError as error:
            raise MissingExtraError("Google Cloud Storage", "gcs") from error
        self.place = Place(bucket, endpoint)
        self._prefix = prefix.strip("/")
        self._uploads_at_once = uploads_at_once
        self._threads: _Threads | None = None
        self._bucket: GoogleBucket = GoogleBucket(
            self.place,
            project=project,
            client_email=client_email,
            credentials=login(client_email, private_key, endpoint, credentials),
            expiry=expiry,
            retry_seconds=retry_seconds,
            connections=CALLS_AT_ONCE + SMALL_AT_ONCE + uploads_at_once,
        )

    async def put(self, key: str, source: BlobSource, *, mime: str, name: str = "") -> int:
        """Store a blob; see `StorageClient.put`."""
        target = self._name(key)
        stop = threading.Event()
        threads = self._pools()
        future = (threads.small if _is_small(source) else threads.uploads).submit(
            self._bucket.write,
            key,
            target,
            source,
            mime=content_type(mime),
            disposition=content_disposition(mime, name),
            stop=stop,
        )
        return await until_over(future, stop)

    async def read_urls(self, keys: Sequence[str]) -> Mapping[str, str]:
        """Sign links; see `StorageClient.read_urls`."""
        names = {key: self._name(key) for key in keys}
        if not names:
            return {}
        signer = await self._call(self._bucket.signer)

        def sign(key: str) -> str:
            return self._bucket.link(names[key], signer)

        # Threads that compute stand in each other's way, and in that of the event loop;
        # those that wait for IAM don't.
        urls = await self._in_lanes(sign, list(names), 1 if self._bucket.signs_here else LANES)
        return {key: urls[key] for key in names}

    async def open(self, key: str) -> AsyncGenerator[bytes, None]:
        """Read a blob in chunks; see `StorageClient.open`."""
        pieces = self._bucket.read(key, self._name(key))
        while (piece := await self._call(next, pieces, None)) is not None:
            for start in range(0, len(piece), CHUNK):
                yield piece[start : start + CHUNK]

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete blobs, some at once; see `StorageClient.delete`."""
        names, impossible = possible_names(keys, self._name)

        def remove(key: str) -> StorageError | None:
            try:
                self._bucket.remove(key, names[key])
            except StorageUnavailable:  # It ends a lane: the store may be away for all keys.
                raise
            except StorageError as error:
                return error
            return None

        failed = await self._in_lanes(remove, list(names), LANES)
        for error in [*filter(None, failed.values()), *impossible]:
            raise error

    async def list_blobs(self) -> AsyncGenerator[BlobInfo, None]:
        """List all blobs below the prefix; see `Inventory.list_blobs`."""
        pages = self._bucket.pages(object_name(f"{self._prefix}/") if self._prefix else "")
        while (page := await self._call(next, pages, None)) is not None:
            for info in page:
                yield info

    async def stat(self, key: str) -> BlobInfo:
        """Look one blob up; see `Inventory.stat`."""
        return await self._call(self._bucket.look_up, key, self._name(key))

    async def clear_unfinished(
        self,
        before: datetime,  # noqa: ARG002
        *,
        is_ours: Callable[[str], bool],  # noqa: ARG002
        remove: bool,  # noqa: ARG002
    ) -> int:
        """Count nothing, since Google drops them after a week; see `Inventory`."""
        return 0

    async def check(self) -> str:
        """Write, read and delete a small blob; see `StorageClient.check`."""
        await probe(self)
        return f"the {self.place}"

    async def close(self) -> None:
        """Close the connections; see `StorageClient.close`."""
        threads, self._threads = self._threads, None
        if threads is not None:
            for pool in threads:
                pool.shutdown(wait=False)
            self._bucket.close()

    def _name(self, key: str) -> str:
        return object_name(f"{self._prefix}/{key}" if self._prefix and key else key)

    def _pools(self) -> _Threads:
        if self._threads is None:
            self._threads = _Threads(
                ThreadPoolExecutor(CALLS_AT_ONCE, "chainlit-sqla-gcs"),
                ThreadPoolExecutor(SMALL_AT_ONCE, "chainlit-sqla-gcs-small"),
                ThreadPoolExecutor(self._uploads_at_once, "chainlit-sqla-gcs-upload"),
            )
        return self._threads

    async def _call(self, function: Callable[..., T], *args: Any) -> T:
        return await asyncio.wrap_future(self._pools().calls.submit(function, *args))

    async def _in_lanes(
        self, function: Callable[[str], T], keys: list[str], lanes: int
    ) -> dict[str, T]:
        """Call a function for each key, in some threads; an error ends its own thread only."""
        waiting = iter(keys)  # Threads take turns at it, so no key waits for a certain one.

        def lane() -> list[tuple[str, T]]:
            return [(key, function(key)) for key in waiting]

        calls = [self._call(lane) for _ in range(min(lanes, len(keys)))]
        results: dict[str, T] = {}
        for result in await asyncio.gather(*calls, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result
            results.update(result)
        return results


class _Threads(NamedTuple):
    calls: ThreadPoolExecutor
    small: ThreadPoolExecutor
    uploads: ThreadPoolExecutor


def _is_small(source: BlobSource) -> bool:
    try:
        return source.size <= SMALL
    except (OSError, ValueError):  # Told by the thread, which reads it.
        return True


def _check_arguments(
    bucket: str, client_email: str, private_key: str, endpoint: str, expiry: int
) -> None:
    if not bucket:
        raise ConfigurationError("Google Cloud Storage needs the name of a bucket; set BUCKET_NAME")
    if not _BUCKET.fullmatch(bucket):
        raise ConfigurationError(
            f"{bucket!r} cannot be a bucket of Google Cloud Storage; correct BUCKET_NAME "
            "or the storage URL (lower-case letters, digits, '-', '_' and '.')"
        )
    if private_key and not client_email:
        raise ConfigurationError(
            "A private key needs the account that it belongs to; set APP_GCS_CLIENT_EMAIL, too"
        )
    refuse_credentials("gs", endpoint)
    if endpoint and not re.match(r"https?://[^/]", endpoint):
        raise ConfigurationError(
            f"The endpoint {endpoint!r} for Google Cloud Storage is no URL; write it (or "
            "STORAGE_EMULATOR_HOST) like http://localhost:9023"
        )
    if not 0 < expiry <= LONGEST_EXPIRY:
        raise ConfigurationError(
            f"Google signs links for 1 to {LONGEST_EXPIRY:,} seconds, not {expiry:,}; "
            "correct STORAGE_EXPIRY_TIME"
        )
