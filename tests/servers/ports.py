"""Free ports below the ephemeral range, so that no outgoing connection takes them."""

from __future__ import annotations

import contextlib
import random
import socket

_held: list[socket.socket] = []


def free_port() -> int:
    """Return a TCP port of 127.0.0.1, below 32768, that nothing listens on now.

    No other process of the tests is given it while this one runs, so it is still free when a
    server starts there, or starts again: the UDP port of the same number is kept as a mark.
    """
    while True:
        port = random.randrange(12_000, 32_768)
        mark = socket.socket(type=socket.SOCK_DGRAM)
        try:
            mark.bind(("127.0.0.1", port))
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            mark.close()
            continue
        _held.append(mark)
        return port


def listens(port: int) -> bool:
    """Whether something accepts connections on a TCP port of 127.0.0.1."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
