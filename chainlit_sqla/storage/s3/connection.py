"""The connection to an S3 server: its clients, and how they end in bounded time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from typing import Any, TypeVar

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError

from ..cloud import CLOSE_SECONDS, closed_error
from .upload import ABORT_SECONDS, PARTS, Verification, expect_nothing

logger = logging.getLogger("chainlit_sqla")

SMALL_UPLOADS = 16
LARGE_UPLOADS = 4
"""Uploads at the same time; the others wait without an open file or a byte in memory."""

T = TypeVar("T")


class Connection:
    """Clients of aiobotocore, usable in one event loop until they are closed."""

    def __init__(
        self,
        location: str,
        session: Any,
        make_client: Callable[[Any, str], Any],
        public_endpoint: str,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.small = asyncio.Semaphore(SMALL_UPLOADS)
        self.large = asyncio.Semaphore(LARGE_UPLOADS)
        self.verifications = Verification(), Verification()
        """Of uploads in one request, and in parts."""
        self.client: Any = None
        self.signer: Any = None
        self._location = location
        self._session = session
        self._make_client = make_client
        self._public_endpoint = public_endpoint
        self._uploads: set[asyncio.Task[Any]] = set()
        self._lock = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._closed = False

    async def open(self) -> None:
        """Make the clients, unless they exist or the connection was closed meanwhile."""
        async with self._lock:
            if self.client is None and not self._closed:
                session = self._session or get_session()
                await asyncio.to_thread(_load_models, session)
                client = await self._stack.enter_async_context(self._make_client(session, ""))
                # A closed client of aiobotocore fails unlike any error of S3, or connects again.
                client.meta.events.register("before-send.s3", self._check_open)
                client.meta.events.register_last("before-call.s3", expect_nothing)
                self.signer = client
                if self._public_endpoint:
                    signer = self._make_client(session, self._public_endpoint)
                    self.signer = await self._stack.enter_async_context(signer)
                self.client = client
        self._check_open()

    async def until_closed(self, upload: Coroutine[Any, Any, T]) -> T:
        """Await an upload, which `close` cancels; then this raises a StorageError."""
        task = asyncio.create_task(upload)
        self._uploads.add(task)
        task.add_done_callback(self._uploads.discard)
        try:
            await asyncio.wait([task])
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait([task])
                if not task.cancelled():
                    task.exception()  # Retrieved, so that asyncio does not log it.
        if task.cancelled():
            raise closed_error(self._location)
        return task.result()

    async def close(self) -> None:
        """Cancel the uploads under way, and close the clients; nothing is sent after that."""
        for task in self._uploads:
            task.cancel()
        if self._uploads:
            await asyncio.wait(set(self._uploads), timeout=ABORT_SECONDS)
        self._closed = True
        try:
            async with asyncio.timeout(CLOSE_SECONDS), self._lock:
                await self._stack.aclose()
        except TimeoutError:
            logger.warning(
                "Not closed within %s s: connections to the %s, which were abandoned; check the "
                "network if this happens again",
                CLOSE_SECONDS,
                self._location,
            )

    def _check_open(self, **_: Any) -> None:
        if self._closed:
            raise closed_error(self._location)


def client_config(*, path_style: bool, attempts: int, patience: float) -> Any:
    """Configure a client; `S3Storage` describes the arguments."""
    # "virtual", not "auto": with "auto", links for other regions than us-east-1 go to a
    # host that redirects, and the redirect breaks the signature.
    options: dict[str, Any] = {
        "signature_version": "s3v4",
        # Signing a body hashes it in the event loop. Its CRC32 or MD5 is among the signed headers
        # instead, and is computed in a thread.
        "s3": {
            "addressing_style": "path" if path_style else "virtual",
            "payload_signing_enabled": False,
        },
        "retries": {"mode": "standard", "total_max_attempts": attempts},
        "connect_timeout": min(10, patience),
        "read_timeout": patience,
        "max_pool_connections": SMALL_UPLOADS + LARGE_UPLOADS * PARTS + 18,
    }
    # Servers other than Amazon's often refuse the checksums that newer botocore adds.
    for option in ("request_checksum_calculation", "response_checksum_validation"):
        if option in AioConfig.OPTION_DEFAULTS:
            options[option] = "when_required"
    return AioConfig(**options)


def _load_models(session: Any) -> None:
    """Load botocore's description of S3, which takes a tenth of a second; blocking."""
    loader = session.get_component("data_loader")
    # Another release may name its parts otherwise; the client loads them itself then.
    with suppress(BotoCoreError):
        for part in ("service-2", "endpoint-rule-set-1", "paginators-1"):
            loader.load_service_model("s3", part)
        loader.load_data("endpoints")
