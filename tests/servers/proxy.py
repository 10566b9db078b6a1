"""A TCP proxy that fails on command, for tests of lost and slow connections."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from .ports import free_port

CHUNK = 65_536

T = TypeVar("T")


class FlakyProxy:
    """Passes connections on to a server until it is told to misbehave.

    It runs in a thread of its own, so its methods are plain calls, from tests with and
    without an event loop, and work while the test's own loop is blocked.
    """

    def __init__(self, target_host: str, target_port: int) -> None:
        self.target = (target_host, target_port)
        self.port = free_port()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None
        self._links: set[_Link] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._cut: tuple[bytes, bool] | None = None

    def start(self) -> int:
        self._thread.start()
        self._call(self._listen())
        return self.port

    def stop(self) -> None:
        self.drop_all()
        self.refuse()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> FlakyProxy:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def url(self, url: str) -> str:
        """Return the URL that reaches, through this proxy, the database at `url`."""
        parts = urlsplit(url)
        account = parts.netloc.rpartition("@")[0]
        return urlunsplit(parts._replace(netloc=f"{account}@127.0.0.1:{self.port}"))

    def drop_all(self) -> int:
        """Reset the open connections on both sides; return how many there were."""

        async def drop() -> int:
            links = list(self._links)
            for link in links:
                link.reset()
            await asyncio.gather(*(link.done.wait() for link in links))
            return len(links)

        return self._call(drop())

    def refuse(self) -> None:
        """Refuse new connections; those that are open stay."""

        async def close() -> None:
            if self._server is not None:
                self._server.close()
                self._server = None

        self._call(close())

    def accept(self) -> None:
        """Take new connections again, after `refuse`, on the same port."""
        self._call(self._listen())

    def blackhole(self) -> None:
        """Let nothing through, not even the end of a connection, and answer nothing."""
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def cut_at(self, pattern: bytes, *, deliver: bool) -> None:
        """Reset, once, the connection on which the client next sends these bytes."""
        self._cut = (pattern, deliver)

    @property
    def cut_pending(self) -> bool:
        """Whether the cut ordered by `cut_at` is still to come."""
        return self._cut is not None

    def restore(self) -> None:
        """Behave: accept and let through; held traffic flows on."""
        self._cut = None
        self._loop.call_soon_threadsafe(self._flowing.set)
        self.accept()

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(writer)
        self._links.add(link)
        try:
            await self._flowing.wait()
            there, back = await asyncio.open_connection(*self.target)
            link.writers.append(back)
            await link.run(self._requests(reader, back, link), self._answers(there, writer, link))
        except (OSError, asyncio.CancelledError):
            link.reset()
        finally:
            self._links.discard(link)
            link.done.set()

    async def _requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: _Link
    ) -> None:
        while data := await reader.read(CHUNK):
            await self._flowing.wait()
            if self._cut is not None and self._cut[0] in data:
                deliver = self._cut[1]
                self._cut = None
                if not deliver:
                    link.reset()
                    return
                link.mute = True
            writer.write(data)
            await writer.drain()
        await self._flowing.wait()
        writer.write_eof()

    async def _answers(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: _Link
    ) -> None:
        while data := await reader.read(CHUNK):
            await self._flowing.wait()
            if link.mute:
                link.reset()
                return
            writer.write(data)
            await writer.drain()
        await self._flowing.wait()
        writer.write_eof()

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


class _Link:
    """One connection through the proxy: the client's side and, once open, the server's."""

    def __init__(self, client: asyncio.StreamWriter) -> None:
        self.writers = [client]
        self.mute = False
        self.done = asyncio.Event()
        self._pumps: list[asyncio.Task[None]] = []

    async def run(self, *pumps: Coroutine[Any, Any, None]) -> None:
        """Pass on in both directions until both have ended, or one fails."""
        self._pumps = [asyncio.ensure_future(pump) for pump in pumps]
        await asyncio.gather(*self._pumps)
        for writer in self.writers:
            writer.close()

    def reset(self) -> None:
        for writer in self.writers:
            reset(writer)
        for pump in self._pumps:
            pump.cancel()


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with a TCP reset, as a killed peer or a firewall does."""
    if (raw := writer.get_extra_info("socket")) is not None and raw.fileno() >= 0:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
