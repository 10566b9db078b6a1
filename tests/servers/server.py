"""`DatabaseServer`: what servers of all kinds of databases have in common for the tests."""

from __future__ import annotations

import asyncio
import atexit
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, Protocol, TypeVar
from urllib.parse import urlsplit

from . import broker
from .require import unavailable

T = TypeVar("T")


def run_apart(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a loop and thread of its own: the caller may stand in a loop."""

    def run() -> T:
        # Not asyncio.run: Chainlit's nest_asyncio replaces it by one for the main thread.
        loop = asyncio.new_event_loop()
        try:
            return loop.run_until_complete(work)
        finally:
            loop.close()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(run).result()


class Engine(Protocol):
    """What runs a server that the tests started themselves."""

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


def find_server(
    kind: str,
    rungs: Mapping[str, Callable[[], S | str]],
    wanted: str,
    repair: str,
    *,
    own: bool,
) -> S:
    """Start or find a server; ends the test by `unavailable` when there is none.

    The rungs are tried in their order, or the one that the variable `wanted` names. Each starts
    a server or says why it cannot; picklable, since the workers of xdist have the controller
    call it. An `own` server may be killed: it is none by URL, and no other test's of this run.
    """
    chosen = os.environ.get(wanted, "")
    if chosen and chosen not in rungs:
        raise ValueError(f"{wanted}={chosen!r} is none of {', '.join(rungs)}")
    missing = []
    for origin, start in rungs.items():
        if (chosen and origin != chosen) or (own and origin == "url"):
            continue
        server = start() if own or origin == "url" else _shared_server(f"{kind} {origin}", start)
        if not isinstance(server, str):
            return server
        missing.append(f"{origin}: {server}")
    return unavailable(f"no {kind} server ({'; '.join(missing)})", repair)


def _shared_server(name: str, start: Callable[[], S | str]) -> S | str:
    """A server that all tests of a run use that leave it running: a start takes seconds.

    It is returned as one that is not ours: `stop` drops what was made on it.
    """
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
