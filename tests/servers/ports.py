"""Free ports below the ephemeral range, so that no outgoing connection takes them."""

from __future__ import annotations

import random
import socket


def free_port() -> int:
    """Return a TCP port of 127.0.0.1, below 32768, that nothing listens on now."""
    while True:
        port = random.randrange(12_000, 32_768)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
