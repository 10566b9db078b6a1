"""An S3 server that takes everything and keeps nothing: what is measured with it is the client.

It answers after 5 ms, as a store in the same data centre does, and checks nothing.

Run as ``python -m benchmarks.sink PORT``.
"""

from __future__ import annotations

import asyncio
import sys
from urllib.parse import parse_qs, urlsplit

DELAY = 0.005
_ETAG = 'ETag: "00000000000000000000000000000000"\r\n'
_BEGUN = "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"
_ENDED = "<CompleteMultipartUploadResult><ETag>1-1</ETag></CompleteMultipartUploadResult>"


class Sink(asyncio.BufferedProtocol):
    """One connection; the bytes of bodies are overwritten by the next."""

    def __init__(self) -> None:
        self._buffer = bytearray(256 * 1024)
        self._head = bytearray()
        self._left = 0
        self._answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def get_buffer(self, _sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._left:
            self._left -= nbytes
        else:
            self._head += self._buffer[:nbytes]
            head, found, body = bytes(self._head).partition(b"\r\n\r\n")
            if not found:
                return
            self._head.clear()
            self._begin(head.decode("latin-1"), len(body))
        if not self._left:
            asyncio.get_running_loop().call_later(DELAY, self._transport.write, self._answer)

    def _begin(self, head: str, there: int) -> None:
        request, *lines = head.split("\r\n")
        method, url, _ = request.split(" ")
        fields = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        self._left = int(fields.get("content-length", 0)) - there
        if fields.get("expect", "").lower() == "100-continue" and self._left:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        query = parse_qs(urlsplit(url).query, keep_blank_values=True)
        body = _BEGUN if "uploads" in query else _ENDED if method == "POST" else ""
        status = "204 No Content" if method == "DELETE" else "200 OK"
        self._answer = (
            f"HTTP/1.1 {status}\r\n{_ETAG}Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )


async def serve(port: int) -> None:
    """Answer until the process ends."""
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
