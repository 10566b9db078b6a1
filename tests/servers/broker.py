"""One server of each kind for all workers of a run: the controller starts and ends it.

Without xdist there is one process, and `tests.servers.server.shared` keeps its servers.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable
from multiprocessing.connection import Client, Listener
from pathlib import Path
from threading import Lock, Thread
from typing import Any

ADDRESS, KEY = "TEST_BROKER_ADDRESS", "TEST_BROKER_KEY"


class Broker:
    """Runs functions for the workers, one at a time, in the process that owns the servers."""

    def __init__(self, call: Callable[[Any], Any]) -> None:
        self._call = call
        self._lock = Lock()
        self._folder = tempfile.TemporaryDirectory(prefix="test-broker-")
        address = str(Path(self._folder.name) / "socket")
        key = secrets.token_bytes(16)
        self._listener = Listener(address, authkey=key)
        os.environ[ADDRESS], os.environ[KEY] = address, key.hex()
        Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()
        self._folder.cleanup()
        del os.environ[ADDRESS], os.environ[KEY]

    def _serve(self) -> None:
        while True:
            try:
                connection = self._listener.accept()
            except (OSError, EOFError):
                return  # Closed.
            Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: Any) -> None:
        with connection:
            request = connection.recv()
            with self._lock:
                try:
                    answer: tuple[Any, BaseException | None] = self._call(request), None
                except Exception as error:
                    answer = None, RuntimeError(repr(error))
            connection.send(answer)


_controller: list[tuple[str, bytes]] = []


def use_controller() -> None:
    """Have the controller start the servers; called by workers, not by what tests start."""
    if ADDRESS in os.environ:
        _controller.append((os.environ[ADDRESS], bytes.fromhex(os.environ[KEY])))


def has_controller() -> bool:
    """Whether another process starts the servers for this one."""
    return bool(_controller)


def ask(request: Any) -> Any:
    address, key = _controller[0]
    with Client(address, authkey=key) as connection:
        connection.send(request)
        result, error = connection.recv()
    if error is not None:
        raise error
    return result
