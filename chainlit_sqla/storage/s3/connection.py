"""The connection to an S3 server: its clients, and how they end in bounded time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any

from ..budget import Budget
from ..cloud import bounded_close, closed_error
from .errors import Place
from .session import add_content_md5, open_session
from .upload import ABORT_SECONDS


class Connection:
    """Clients of aiobotocore, good in one event loop and until they are closed.

    Args:
        place: The bucket, for errors.
        session: Of aiobotocore; None: a new one.
        make: Makes a client in a session, for an endpoint or, with none, the store's own.
        public_endpoint: Where signed links point; empty: to the server itself.
        memory: Bytes of uploads in memory at most.
    """

    def __init__(
        self,
        place: Place,
        session: Any,
        make: Callable[[Any, str], Any],
        public_endpoint: str,
        memory: int,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.budget = Budget(memory)
        self.turn = asyncio.Lock()
        self.closing: asyncio.Future[None] = self.loop.create_future()
        """Raises what uploads under way have to raise once the store is being closed."""
        self.client: Any = None
        self.signer: Any = None
        self._place = place
        self._session = session
        self._make = make
        self._public_endpoint = public_endpoint
        self._uploads: set[asyncio.Future[None]] = set()
        self._lock = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._closed = False

    async def open(self) -> None:
        """Make the clients, unless they are there.

        Raises:
            StorageError: They were closed meanwhile.
        """
        async with self._lock:
            if self.client is None and not self._closed:
                await self._open()
        self._check()

    @contextmanager
    def upload(self) -> Iterator[None]:
        """Let closing wait until an upload has given up its parts."""
        over = self.loop.create_future()
        self._uploads.add(over)
        try:
            yield
        finally:
            self._uploads.discard(over)
            over.set_result(None)

    async def close(self) -> None:
        """End the uploads under way, and close the clients; nothing is sent after that."""
        if not self.closing.done():
            self.closing.set_exception(closed_error(str(self._place)))
            self.closing.exception()  # Looked at: there may be no upload that does.
        if self._uploads:
            await asyncio.wait(set(self._uploads), timeout=ABORT_SECONDS)
        self._closed = True
        async with bounded_close(str(self._place)), self._lock:
            await self._stack.aclose()

    async def _open(self) -> None:
        session = await open_session(self._session)
        client = await self._stack.enter_async_context(self._make(session, ""))
        client.meta.events.register("before-call.s3.DeleteObjects", add_content_md5)
        # Of itself a closed client fails unlike any error of S3, or connects again.
        client.meta.events.register("before-send.s3", self._check)
        self.signer = client
        if self._public_endpoint:
            signer = self._make(session, self._public_endpoint)
            self.signer = await self._stack.enter_async_context(signer)
        self.client = client

    def _check(self, **_: Any) -> None:
        if self._closed:
            raise closed_error(str(self._place))
