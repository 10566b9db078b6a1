"""The connection to Azure Blob Storage: clients of the SDK, credential and retries."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Coroutine
from typing import Any, TypeVar

from azure.storage.blob.aio import BlobServiceClient, ExponentialRetry

from ...errors import ConfigurationError, StorageError
from ..closing import bounded_close, closed
from .errors import Place
from .upload import UNDO_SECONDS

PIECE = 4 * 1024 * 1024
"""Bytes that one request reads; twice as much is in memory for each blob that is read."""
CONNECT_SECONDS = 10
READ_SECONDS = 60
_LONGEST_PAUSE = 10.0

# The SDK tells each request at INFO, and logs nothing of its own above that.
_quiet = logging.getLogger("chainlit_sqla.azure")
_quiet.setLevel(logging.WARNING)

T = TypeVar("T")


class Retry(ExponentialRetry):
    """Sends a request again after 408, 429, 5xx, a timeout or a lost connection.

    The SDK's own pauses begin at 15 seconds, and it knows no 429.

    Args:
        attempts: How often a request is sent until it is given up.
    """

    def __init__(self, attempts: int) -> None:
        times = attempts - 1
        super().__init__(
            retry_total=times, retry_connect=times, retry_read=times, retry_status=times
        )
        self._attempts = attempts
        self.closed: StorageError | None = None
        """What requests raise from now on; of itself the SDK fails oddly, or connects again."""

    def get_backoff_time(self, settings: dict[str, Any]) -> float:
        """Return the seconds to wait: 0.5, 1.5, 4.5 and so on, less up to a half."""
        return _pause(int(settings["count"]))

    async def send(self, request: Any) -> Any:  # type: ignore[override]
        """Send a request; see the class."""
        for count in range(1, self._attempts):
            response = await self._send(request)
            if response.http_response.status_code != 429:
                return response
            await asyncio.sleep(_pause(count))
        return await self._send(request)

    async def _send(self, request: Any) -> Any:
        if self.closed:
            raise self.closed
        try:
            return await super().send(request)  # type: ignore[no-untyped-call]
        except Exception as error:
            if self.closed:
                raise self.closed from error
            raise


class Connection:
    """Clients of the SDK for one container, good in one event loop.

    Args:
        url: The URL of the blob service.
        place: The account and the container.
        key: The account's key; empty: `credential`.
        credential: An asynchronous token credential; None: ``DefaultAzureCredential``,
            which is closed with the connection.
        attempts: How often a request is sent until it is given up.
    """

    def __init__(self, url: str, place: Place, key: str, credential: Any, attempts: int) -> None:
        self._place = place
        self._own: Any = None
        self._retry = Retry(attempts)
        self._uploads: set[asyncio.Task[Any]] = set()
        self._closing = asyncio.Event()
        if key:
            credential = {"account_name": place.account, "account_key": key}
        elif credential is None:
            credential = self._own = _default_credential()
        self.service = BlobServiceClient(
            url,
            credential,
            retry_policy=self._retry,
            connection_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            max_single_get_size=PIECE,
            max_chunk_get_size=PIECE,
            logger=_quiet,
        )
        self.container = self.service.get_container_client(place.container)

    async def until_closed(self, upload: Coroutine[Any, Any, T]) -> T:
        """Await an upload; cancel it when the store is being closed.

        Raises:
            StorageError: The store was closed before it ended.
        """
        task = asyncio.create_task(upload)
        closing = asyncio.create_task(self._closing.wait())
        self._uploads.add(task)
        task.add_done_callback(self._uploads.discard)
        try:
            await asyncio.wait([task, closing], return_when=asyncio.FIRST_COMPLETED)
        finally:
            closing.cancel()
            if not task.done():
                task.cancel()
                await asyncio.wait([task])
                if not task.cancelled():
                    task.exception()  # Looked at, so that nobody warns of it.
        if task.cancelled():
            raise closed(self._place)
        return task.result()

    async def close(self) -> None:
        """End the uploads under way, and close all; nothing is sent after that."""
        self._closing.set()
        if self._uploads:
            await asyncio.wait(set(self._uploads), timeout=UNDO_SECONDS)
        self._retry.closed = closed(self._place)
        async with bounded_close(self._place):
            await self.service.close()
            if self._own is not None:
                await self._own.close()


def _default_credential() -> Any:
    from azure.identity.aio import DefaultAzureCredential

    try:
        return DefaultAzureCredential()
    except ValueError as error:
        raise ConfigurationError(
            f"The variables AZURE_* of this machine cannot be used ({error}); correct them, or "
            "set APP_AZURE_STORAGE_ACCESS_KEY"
        ) from error


def _pause(count: int) -> float:
    longest: float = min(0.5 * 3 ** (count - 1), _LONGEST_PAUSE)
    return random.uniform(longest / 2, longest)  # noqa: S311
