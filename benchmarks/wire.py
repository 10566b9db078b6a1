"""Counts what passes between clients and a PostgreSQL server.

The messages are those of PostgreSQL's protocol, version 3
(https://www.postgresql.org/docs/current/protocol-message-formats.html): a type of one byte
and a length of four, but for what a client sends before the server knows it.
"""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from urllib.parse import urlsplit, urlunsplit

CHUNK = 65_536
_ENCRYPTION = {80_877_103, 80_877_104}
"""The codes of requests for TLS and GSSAPI, which the server answers with one byte."""
_ASKING = frozenset(b"QSHF")
"""Query, Sync, Flush, FunctionCall: after these a client waits for an answer."""
_DONE = frozenset(b"Cs")
"""CommandComplete, and PortalSuspended: the client wanted no more than the first rows."""


@dataclass(slots=True)
class Counts:
    """What was counted.

    Args:
        statements: Statements that the server completed, BEGIN and COMMIT among them.
        trips: Times that a client asked and had to wait for the answer.
    """

    statements: int = 0
    trips: int = 0


class _Messages:
    """Cuts a stream into messages, without keeping their contents."""

    def __init__(self) -> None:
        self._head = b""
        self._rest = 0

    def types(self, data: bytes) -> Iterator[int]:
        """Give the types of the messages that end in this piece of the stream."""
        at = 0
        while at < len(data):
            if self._rest:
                step = min(self._rest, len(data) - at)
                self._rest -= step
                at += step
            else:
                step = min(5 - len(self._head), len(data) - at)
                self._head += data[at : at + step]
                at += step
                if len(self._head) < 5:
                    return
                (length,) = struct.unpack("!i", self._head[1:])
                self._rest = length - 4
            if not self._rest:
                yield self._head[0]
                self._head = b""


class Watch:
    """Follows one connection.

    Args:
        counts: What to add to.
    """

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._requests = _Messages()
        self._answers = _Messages()
        self._greeting: bytes | None = b""
        self._refusals = 0
        self._waiting = False

    def sent(self, data: bytes) -> None:
        """Take a piece of what the client sends."""
        if self._greeting is not None:
            data = self._greet(self._greeting + data)
        for kind in self._requests.types(data):
            if kind in _ASKING and not self._waiting:
                self._counts.trips += 1
                self._waiting = True

    def answered(self, data: bytes) -> None:
        """Take a piece of what the server sends."""
        if self._refusals:
            if data[:1] not in (b"N", b""):
                raise ValueError("Encrypted traffic cannot be counted; switch TLS off")
            self._refusals -= 1
            data = data[1:]
        for kind in self._answers.types(data):
            self._waiting = False
            if kind in _DONE:
                self._counts.statements += 1

    def _greet(self, data: bytes) -> bytes:
        """Take the messages without a type; return what follows them."""
        while len(data) >= 8:
            length, code = struct.unpack("!ii", data[:8])
            if len(data) < length:
                break
            data = data[length:]
            if code not in _ENCRYPTION:
                self._greeting = None
                return data
            self._refusals += 1
        self._greeting = data
        return b""


class CountingProxy:
    """Passes connections on to a server and counts, in a thread of its own.

    Args:
        host: The server's.
        port: The server's.

    Example:
        >>> proxy = CountingProxy("127.0.0.1", 5432)
        >>> before = proxy.counts
        >>> work(proxy.url(url))
        >>> proxy.counts.trips - before.trips
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._counts = Counts()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        self.port: int = self._server.sockets[0].getsockname()[1]

    @property
    def counts(self) -> Counts:
        """What was counted until now."""
        return replace(self._counts)

    def url(self, url: str) -> str:
        """Return the URL that reaches, through this proxy, the database at `url`."""
        parts = urlsplit(url)
        account = parts.netloc.rpartition("@")[0]
        return urlunsplit(parts._replace(netloc=f"{account}@127.0.0.1:{self.port}"))

    def stop(self) -> None:
        """End the proxy and the connections through it."""

        async def close() -> None:
            self._server.close()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        watch = Watch(self._counts)
        there, back = await asyncio.open_connection(*self._target)
        pumps = (_pump(reader, back, watch.sent), _pump(there, writer, watch.answered))
        try:
            await asyncio.gather(*pumps)
        except OSError:
            pass  # One side has reset the connection; the other shall see its end.
        finally:
            back.close()
            writer.close()


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, see: Callable[[bytes], None]
) -> None:
    while data := await reader.read(CHUNK):
        see(data)
        writer.write(data)
        await writer.drain()
    writer.write_eof()
