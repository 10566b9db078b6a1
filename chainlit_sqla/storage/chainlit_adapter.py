"""An adapter around Chainlit's own storage clients, which need not be installed."""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from ..errors import BlobNotFound, StorageError, StorageUnavailable
from .base import CHUNK, BlobSource, source_errors
from .cloud import check_round_trip, delete_each, in_lanes
from .headers import content_disposition, content_type
from .keys import url_safe_key

logger = logging.getLogger("chainlit_sqla")

_NO_BUCKET = re.compile(rb"NoSuchBucket|ContainerNotFound")  # S3, Google; Azure.


class ChainlitClientStorage:
    """A `StorageClient` over any Chainlit ``BaseStorageClient``.

    Chainlit's clients log an error and return ``{}``, False or the bare key; here each
    becomes a StorageError. They take a blob as bytes: unlike our own clients, ``put``
    holds the whole file in memory. They decide how long links last
    (``STORAGE_EXPIRY_TIME``).

    Args:
        client: An object with ``upload_file``, ``delete_file`` and ``get_read_url``.

    Example:
        ``ChainlitClientStorage(GCSStorageClient(bucket_name="attachments"))``
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._kind = type(client).__name__
        parameters = inspect.signature(client.upload_file).parameters
        self._accepts_disposition = "content_disposition" in parameters or any(
            parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()
        )
        self._closed = False

    async def put(self, key: str, source: BlobSource, *, mime: str, name: str = "") -> int:
        """Store a blob; see `StorageClient.put`.

        Any failure is a StorageUnavailable: the client does not report whether it is for good, and
        repeating is harmless, since keys are never used again.
        """
        target = url_safe_key(key)
        with source_errors(key):
            data = await asyncio.to_thread(_read, source)
        arguments = {"object_key": target, "data": data, "mime": content_type(mime)}
        if self._accepts_disposition:
            arguments["content_disposition"] = content_disposition(mime, name)
        try:
            answer = await self._client.upload_file(**arguments, overwrite=True)
        except Exception as error:
            raise self._error(f"write {key!r}", error, StorageUnavailable) from error
        if not answer:
            raise self._error(f"write {key!r}", kind=StorageUnavailable)
        return len(data)

    async def read_urls(self, keys: Sequence[str]) -> Mapping[str, str]:
        """Ask the client for its links; see `StorageClient.read_urls`."""
        urls = await in_lanes(self._read_url, keys)
        return {key: urls[key] for key in keys}

    async def open(self, key: str) -> AsyncGenerator[bytes, None]:
        """Read a blob through its link; see `StorageClient.open`."""
        import httpx  # Chainlit needs it too, but nothing else of ours does.

        url = await self._read_url(key)
        try:
            async with (
                httpx.AsyncClient(timeout=60, follow_redirects=True) as http,
                http.stream("GET", url) as answer,
            ):
                if answer.status_code == 404 and not _NO_BUCKET.search(await answer.aread()):
                    raise BlobNotFound(
                        f"There is no blob {key!r} in the store behind {self._kind}; "
                        "it was deleted or never stored"
                    )
                answer.raise_for_status()
                async for chunk in answer.aiter_bytes(CHUNK):
                    yield chunk
        except httpx.HTTPStatusError as error:
            raise self._error(
                f"read {key!r}", f"HTTP status {error.response.status_code}"
            ) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._error(f"read {key!r}", error) from error

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete blobs, some concurrently; see `StorageClient.delete`."""
        await delete_each(keys, url_safe_key, self._delete)

    async def check(self) -> str:
        """Write, read and delete a small blob; see `StorageClient.check`."""
        await check_round_trip(self)
        return f"the store behind Chainlit's {self._kind}"

    async def close(self) -> None:
        """Close the client; see `StorageClient.close`.

        An error is only logged: Chainlit's S3 client closes, then awaits the None of boto3.
        """
        if self._closed or not hasattr(self._client, "close"):
            return
        self._closed = True
        try:
            await self._client.close()
        except Exception as error:
            logger.debug("Not closed cleanly: Chainlit's %s: %s", self._kind, error)

    async def _read_url(self, key: str) -> str:
        target = url_safe_key(key)
        try:
            url = await self._client.get_read_url(target)
        except Exception as error:
            raise self._error(f"sign a link to {key!r}", error) from error
        if not isinstance(url, str) or url in ("", target):
            raise self._error(f"sign a link to {key!r}")
        return url

    async def _delete(self, key: str, target: str) -> None:
        try:
            is_deleted = await self._client.delete_file(target)
        except Exception as error:
            raise self._error(f"delete {key!r}", error) from error
        if not is_deleted and not await self._is_gone(key):
            raise self._error(f"delete {key!r}")

    async def _is_gone(self, key: str) -> bool:
        """Whether the blob does not exist, which some clients report like a failure."""
        try:
            async with aclosing(self.open(key)) as chunks:
                await anext(chunks, b"")
        except StorageError as error:
            return isinstance(error, BlobNotFound)
        return False

    def _error(
        self, action: str, why: object = "", kind: type[StorageError] = StorageError
    ) -> StorageError:
        reason = f" ({why})" if why else ""
        return kind(
            f"Cannot {action} with Chainlit's {self._kind}{reason}; "
            "see its warning in the log, and check its bucket and credentials"
        )


def _read(source: BlobSource) -> bytes:
    with source.reader() as file:
        return file.read()
