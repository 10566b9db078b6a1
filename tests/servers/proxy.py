"""A TCP proxy that fails on command, for tests of lost and slow connections."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from .ports import free_port

CHUNK = 65_536
IN_FLIGHT = 64
"""Chunks that a slow link holds in one direction."""

SHUTDOWN = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0"
SHUTDOWN = b"E" + struct.pack("!I", len(SHUTDOWN) + 4) + SHUTDOWN
"""What PostgreSQL sends before it ends a connection."""
UNTYPED = (80_877_102, 80_877_103, 80_877_104)
"""Codes of requests to cancel, for TLS and for GSS: no startup message yet."""

T = TypeVar("T")


class FlakyProxy:
    """Passes connections on to a server until it is told to misbehave.

    It runs in a thread of its own, so its methods are plain calls, from tests with and
    without an event loop, and work while the test's own loop is blocked.

    Attributes:
        round_trips: How often clients of PostgreSQL sent what the server answers before they go
            on: Sync, Flush or a simple query, after the startup.
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
        self._cut: tuple[bytes, bool, bool] | None = None
        self._delay = 0.0
        self._deaf = False
        self.round_trips = 0

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

    def go_silent(self, *, new: bool = False) -> None:
        """Swallow what the open connections still send, in both directions, without ending them.

        A network does this that has forgotten them. The server's ends stay open, too.

        Args:
            new: Treat connections that come from now on alike, until `restore`.
        """

        async def silence() -> None:
            self._deaf = new
            for link in self._links:
                link.silent = True

        self._call(silence())

    def delay(self, seconds: float) -> None:
        """Let what is sent from now on take this long, each way."""
        self._delay = seconds

    def switch_to(self, port: int, host: str = "127.0.0.1") -> None:
        """Lead new connections to another server; those that are open stay."""
        self.target = (host, port)

    def end_in_two_steps(self, pause: float = 0.1) -> int:
        """Tell the clients of PostgreSQL that the server shuts down, and close after a pause.

        Returns:
            How many connections there were.
        """

        async def end() -> int:
            links = [link for link in self._links if not link.silent]
            await asyncio.gather(*(link.end_in_two_steps(pause) for link in links))
            return len(links)

        return self._call(end())

    def cut_at(self, pattern: bytes, *, deliver: bool, silently: bool = False) -> None:
        """Reset, once, the connection on which the client next sends these bytes.

        Args:
            pattern: Bytes that the client sends.
            deliver: Whether the server gets them.
            silently: Forget the connection, as `go_silent` does, instead of resetting it.
        """
        self._cut = (pattern, deliver, silently)

    @property
    def cut_pending(self) -> bool:
        """Whether the cut ordered by `cut_at` is still to come."""
        return self._cut is not None

    def restore(self) -> None:
        """Behave: accept and let through; held traffic flows on, swallowed traffic is lost."""
        self._cut = None
        self._deaf = False
        self._loop.call_soon_threadsafe(self._flowing.set)
        self.accept()

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(writer, silent=self._deaf)
        self._links.add(link)
        try:
            await self._flowing.wait()
            if link.silent:
                return await link.run(self._swallow(reader))
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
        messages = _Messages()
        async for data in self._arrivals(reader, link):
            self.round_trips += sum(type in b"QSH" for type in messages.feed(data))
            if self._cut is not None and self._cut[0] in data:
                _, deliver, silently = self._cut
                self._cut = None
                if silently:
                    link.silent = True
                    if not deliver:
                        continue
                elif not deliver:
                    link.reset()
                    return
                link.mute = not silently
            writer.write(data)
            await writer.drain()
        await self._end(writer, link)

    async def _answers(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: _Link
    ) -> None:
        async for data in self._arrivals(reader, link):
            if link.mute:
                link.reset()
                return
            link.between_answers.clear()
            writer.write(data)
            await writer.drain()
            if data not in (b"N", b"S"):  # The answer to a request for TLS has no length.
                link.answers.feed(data)
            if link.answers.complete:
                link.between_answers.set()
        await self._end(writer, link)

    async def _swallow(self, reader: asyncio.StreamReader) -> None:
        while await reader.read(CHUNK):
            pass

    async def _arrivals(self, reader: asyncio.StreamReader, link: _Link) -> AsyncIterator[bytes]:
        """What a peer sends, a while after it was sent; nothing more once the link is silent."""
        in_flight: asyncio.Queue[tuple[float, bytes | OSError]] = asyncio.Queue(IN_FLIGHT)

        async def read() -> None:
            data: bytes | OSError = b"-"
            while data and not isinstance(data, OSError):
                try:
                    data = await reader.read(CHUNK)
                except OSError as error:
                    data = error
                await in_flight.put((self._loop.time() + self._delay, data))

        link.start(read())
        while True:
            due, data = await in_flight.get()
            await asyncio.sleep(max(0.0, due - self._loop.time()))
            await self._flowing.wait()
            if isinstance(data, OSError):
                raise data
            if not data:
                return
            if not link.silent:
                yield data

    async def _end(self, writer: asyncio.StreamWriter, link: _Link) -> None:
        if link.silent:
            await asyncio.Event().wait()  # Until the link is reset: the peer learns nothing.
        writer.write_eof()

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


class _Link:
    """One connection through the proxy: the client's side and, once open, the server's."""

    def __init__(self, client: asyncio.StreamWriter, *, silent: bool) -> None:
        self.writers = [client]
        self.mute = False
        self.silent = silent
        self.done = asyncio.Event()
        self.answers = _Messages(typed=True)
        self.between_answers = asyncio.Event()
        self.between_answers.set()
        self._tasks: list[asyncio.Task[None]] = []
        self._is_ended = False

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start what ends with this link."""
        self._tasks.append(asyncio.ensure_future(work))
        return self._tasks[-1]

    async def run(self, *pumps: Coroutine[Any, Any, None]) -> None:
        """Pass on in both directions until both have ended, or one fails."""
        await asyncio.gather(*map(self.start, pumps))
        for writer in self.writers:
            writer.close()

    async def end_in_two_steps(self, pause: float) -> None:
        await self.between_answers.wait()
        self.silent = True
        self.writers[0].write(SHUTDOWN)
        await asyncio.sleep(pause)
        for writer in self.writers:
            writer.close()
        self._is_ended = True
        self.reset()

    def reset(self) -> None:
        if not self._is_ended:
            for writer in self.writers:
                reset(writer)
        for task in self._tasks:
            task.cancel()


class _Messages:
    """Finds the messages of PostgreSQL's protocol in what one side sends, part by part.

    Args:
        typed: Whether the first message has a type already; a client's has none.
    """

    def __init__(self, *, typed: bool = False) -> None:
        self._typed = typed
        self._head = b""
        self._rest = 0

    @property
    def complete(self) -> bool:
        return not self._head and not self._rest

    def feed(self, data: bytes) -> bytes:
        """Return the types of the messages that begin in this part."""
        types = b""
        while data:
            if skipped := min(self._rest, len(data)):
                self._rest -= skipped
                data = data[skipped:]
                continue
            size = 5 if self._typed else 8
            missing = size - len(self._head)
            self._head += data[:missing]
            data = data[missing:]
            if len(self._head) < size:
                break
            if self._typed:
                types += self._head[:1]
                self._rest = max(0, int.from_bytes(self._head[1:]) - 4)
            else:
                length, code = struct.unpack("!II", self._head)
                self._typed = code not in UNTYPED
                self._rest = max(0, length - 8)
            self._head = b""
        return types


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with a TCP reset, as a killed peer or a firewall does."""
    if (raw := writer.get_extra_info("socket")) is not None and raw.fileno() >= 0:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
