"""A quick S3 server in this process: moto, which accepts any credentials."""

from __future__ import annotations

from .ports import free_port
from .require import missing_packages


def missing() -> str:
    """Return why the server cannot run here, or an empty string."""
    return missing_packages("moto", "flask_cors")


class MotoServer:
    """A thread that serves S3 on 127.0.0.1 and forgets all when it stops."""

    region = "us-east-1"
    access_key = "moto"
    secret_key = "moto-secret"

    def __init__(self) -> None:
        from moto.server import ThreadedMotoServer

        port = free_port()
        self.endpoint = f"http://127.0.0.1:{port}"
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
        self._server.start()

    def stop(self) -> None:
        self._server.stop()
