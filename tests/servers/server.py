"""`DatabaseServer`: what servers of all kinds of databases have in common for the tests."""

from __future__ import annotations

import atexit
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Protocol, TypeVar
from urllib.parse import urlsplit

from . import broker
from .require import unavailable


class Engine(Protocol):
    """What runs a server that the tests started themselves."""

    @property
    def url(self) -> str: ...
    def start(self) -> None: ...
    def kill(self) -> None: ...
    def stop(self) -> None: ...


class DatabaseServer(ABC):
    PORT: ClassVar[int]
    """Of a URL that names none."""
    NOT_OURS: ClassVar[tuple[str, str]]
    """Why a server that is not ours cannot be restarted, and the repair."""

    def __init__(self, url: str, origin: str, engine: Engine | None = None) -> None:
        self.url = url
        self.origin = origin
        self._engine = engine
        self._databases: set[str] = set()

    @abstractmethod
    def drop_database(self, url: str) -> None:
        """Drop a database, ending the connections to it; fine when it is gone already."""

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return parts.hostname or "127.0.0.1", parts.port or self.PORT

    def kill(self) -> None:
        """End the server at once, as a crash does; committed transactions survive."""
        self._own().kill()

    def start(self) -> None:
        """Start the killed server again, on the same port, with the same data."""
        self._own().start()

    def stop(self) -> None:
        """End the server; of a server that is not ours, drop the databases made here."""
        if self._engine is not None:
            self._engine.stop()
            return
        for name in list(self._databases):
            self.drop_database(name)

    def _own(self) -> Engine:
        if self._engine is None:
            unavailable(*self.NOT_OURS)
        return self._engine


S = TypeVar("S", bound=DatabaseServer)
_shared: dict[str, DatabaseServer] = {}
Start = Callable[[], "DatabaseServer | str"]


def shared(name: str, start: Callable[[], S | str]) -> S | str:
    """A server that all tests of a run use that leave it running: a start takes seconds."""
    request = (name, start)
    return broker.ask(request) if broker.has_controller() else start_shared(request)  # type: ignore[return-value]


def start_shared(request: tuple[str, Start]) -> DatabaseServer | str:
    name, start = request
    if name not in _shared:
        started = start()
        if isinstance(started, str):
            return started
        atexit.register(started.stop)
        _shared[name] = started
    server = _shared[name]
    return type(server)(server.url, server.origin)
