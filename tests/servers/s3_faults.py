"""An HTTP front before an S3 server that fails, resets or holds the requests a test names."""

from __future__ import annotations

import asyncio
import re
import threading
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from .ports import free_port
from .proxy import reset

CHUNK = 65_536
_ERROR = "<?xml version='1.0'?><Error><Code>{code}</Code><Message>ordered</Message></Error>"


@dataclass
class Fault:
    """What happens to requests.

    Args:
        match: A regular expression, searched for in such as ``PUT /bucket/key?partNumber=2``.
        times: How often it happens; None: always.
        status: Answered instead of what the server would say; 0: see `reset`.
        code: The code of the error document.
        reset: Reset the connection; without it, and a status, the request is held until
            `Front.calm`.
        after: Bytes of the body that come before it is reset, or reach the server before
            it is held.
    """

    match: str
    times: int | None = None
    status: int = 0
    code: str = ""
    reset: bool = False
    after: int = 0
    met: threading.Event = field(default_factory=threading.Event)
    """Set when the first such request has come."""

    def takes(self, line: str) -> bool:
        """Whether it happens to this request; counts it."""
        if self.times == 0 or not re.search(self.match, line):
            return False
        if self.times is not None:
            self.times -= 1
        return True


class Front:
    """Passes requests on to the server at a URL; runs in a thread of its own."""

    def __init__(self, endpoint: str) -> None:
        at = urlsplit(endpoint)
        self._target = (str(at.hostname), at.port or 80)
        self._port = free_port()
        self.endpoint = f"http://127.0.0.1:{self._port}"
        self.requests: list[str] = []
        self._faults: list[Fault] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._calm = asyncio.Event()
        self._links: set[asyncio.Task[None]] = set()

    def fail(self, match: str, status: int, code: str, times: int | None = None) -> Fault:
        return self._add(Fault(match, times, status, code))

    def reset(self, match: str, after: int, times: int | None = None) -> Fault:
        """Reset the connection in the middle of the body of a request."""
        return self._add(Fault(match, times, reset=True, after=after))

    def hold(self, match: str, after: int = 0) -> Fault:
        """Take requests and pass on no more of them, nor answer, until `calm`."""
        return self._add(Fault(match, after=after))

    def calm(self) -> None:
        """Fail no more; pass on what is held."""

        async def let_go() -> None:
            self._faults.clear()
            self._calm.set()
            self._calm = asyncio.Event()

        asyncio.run_coroutine_threadsafe(let_go(), self._loop).result()

    def __enter__(self) -> Front:
        self._thread.start()
        serving = asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._server = asyncio.run_coroutine_threadsafe(serving, self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        for link in self._links:
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)

    def _add(self, fault: Fault) -> Fault:
        self._faults.append(fault)
        return fault

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handle one request; a connection carries no second one."""
        link = asyncio.current_task()
        assert link
        self._links.add(link)
        try:
            await self._handle(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            reset(writer)
        finally:
            writer.close()
            self._links.discard(link)

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        line = " ".join(head.decode("latin-1").split(" ", 2)[:2])
        found = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
        size = int(found[1]) if found else 0
        self.requests.append(line)
        fault = next((fault for fault in self._faults if fault.takes(line)), None)
        if fault and (fault.status or fault.reset):
            fault.met.set()
            await _misbehave(fault, head, size, reader, writer)
            return
        calm, body = self._calm, b""
        if fault and not fault.after:
            # Whoever sends it waits for the answer then, and notices nothing else.
            if b"100-continue" not in head.lower():
                body = await reader.readexactly(size)
            fault.met.set()
            await calm.wait()
        there, back = await asyncio.open_connection(*self._target)
        back.write(head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1) + body)

        async def send() -> None:
            if fault and fault.after:
                await _copy(reader, back, fault.after)
                fault.met.set()
                await calm.wait()
            await _copy(reader, back, size - len(body) - (fault.after if fault else 0))

        sending = asyncio.create_task(send())
        answer = asyncio.create_task(_answer(there, writer))
        try:
            # A server that is gone reads nothing more.
            await asyncio.wait([sending, answer], return_when=asyncio.FIRST_COMPLETED)
            if fault and not sending.done():
                await calm.wait()
            if sending.done():
                sending.result()
            await answer
        finally:
            sending.cancel()
            answer.cancel()
            back.close()


async def _misbehave(
    fault: Fault,
    head: bytes,
    size: int,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    if b"100-continue" in head.lower():
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    if fault.reset:
        await reader.readexactly(min(fault.after, size))
        reset(writer)
        return
    while size and (data := await reader.read(min(CHUNK, size))):
        size -= len(data)
    body = _ERROR.format(code=fault.code).encode()
    about = f"Content-Type: application/xml\r\nContent-Length: {len(body)}\r\nConnection: close"
    writer.write(f"HTTP/1.1 {fault.status} Ordered\r\n{about}\r\n\r\n".encode() + body)
    await writer.drain()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy an answer and announce that the connection ends, so that no client reuses it."""
    while (head := await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 "):
        writer.write(head)
    writer.write(head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
    await _copy(reader, writer)


async def _copy(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, size: int | None = None
) -> None:
    """Copy so many bytes; None: to the end."""
    while size != 0 and (data := await reader.read(min(CHUNK, size or CHUNK))):
        writer.write(data)
        await writer.drain()
        size = None if size is None else size - len(data)
