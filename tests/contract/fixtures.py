"""Fixtures that the contract needs on every layer, ours or not; each folder adds ``backend``."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from chainlit.context import context_var, init_ws_context
from chainlit.session import WebsocketSession

from tests.contract.backends import Backend, Server
from tests.contract.build import new_id, person
from tests.servers.ports import free_port


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server for all tests of this run."""
    from tests.servers.postgres import start_postgres

    server = start_postgres()
    yield server
    server.stop()


@pytest.fixture
async def layer(backend: Backend) -> AsyncIterator[Any]:
    yield backend.open()
    await backend.close()


@pytest.fixture
async def alice(layer: Any) -> Any:
    return await person(layer, "alice@example.org")


@pytest.fixture
async def bob(layer: Any) -> Any:
    return await person(layer, "bob@example.org")


@dataclass
class Site:
    url: str
    requests: list[str] = field(default_factory=list)


@pytest.fixture
def site() -> Iterator[Site]:
    """A real web server that serves one picture under every path."""
    seen = Site("")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.requests.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"a picture")

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
    seen.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield seen
    server.shutdown()
    thread.join()
    server.server_close()


class Socket:
    """Enters Chainlit's context of a browser session, as its socket handlers do."""

    def __init__(self) -> None:
        self.sessions: list[WebsocketSession] = []
        self.before = context_var.get(None)

    def enter(self, thread_id: str, *, interacted: bool = True) -> WebsocketSession:
        """Make a session in a thread and enter its context."""

        async def emit(*args: Any) -> None:
            pass

        session = WebsocketSession(
            id=new_id(),
            socket_id=new_id(),
            emit=emit,  # type: ignore[arg-type]
            emit_call=emit,
            user_env={},
            client_type="webapp",
            thread_id=thread_id,
        )
        session.has_first_interaction = interacted
        self.sessions.append(session)
        init_ws_context(session)
        return session

    async def leave(self) -> None:
        for session in self.sessions:
            await session.delete()
        context_var.set(self.before)  # type: ignore[arg-type]


@pytest.fixture
async def socket() -> AsyncIterator[Socket]:
    made = Socket()
    yield made
    await made.leave()


__all__ = ["Site", "Socket", "alice", "bob", "layer", "postgres", "site", "socket"]
