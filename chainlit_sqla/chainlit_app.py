"""What the layer adds to Chainlit's own server: a route for files, a guard for feedback.

Both stand before Chainlit's routes, the last of which answers every path.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Match
from starlette.types import Message, Receive, Scope, Send

from .storage.local import LocalStorage
from .storage.local_route import file_route

IsAllowed = Callable[[str, str, MutableMapping[str, Any]], Awaitable[bool]]
"""Whether a user (by identifier) may send a feedback request (method, body)."""

_LARGEST_BODY = 1_000_000


def attach(storage: object, is_allowed: IsAllowed) -> bool:
    """Add our routes to Chainlit's server, replacing those of an earlier layer.

    Args:
        storage: The layer's store; a local one gets its route.
        is_allowed: Asked before feedback is taken.

    Returns:
        Whether there is a server: a script has none.
    """
    server = sys.modules.get("chainlit.server")
    if server is None:
        return False
    app: Starlette = server.app
    prefix: str = server.config.run.root_path or ""
    routes: list[BaseRoute] = [FeedbackGuard(app, f"{prefix}/feedback", is_allowed)]
    if isinstance(storage, LocalStorage):
        routes.append(file_route(storage, prefix))
    earlier = getattr(app.state, "chainlit_sqla_routes", [])
    kept = [route for route in app.router.routes if route not in earlier]
    app.router.routes[:] = routes + kept
    app.state.chainlit_sqla_routes = routes
    return True


def public_prefix() -> str:
    """What a browser puts before our paths: the root paths that Chainlit runs below."""
    parent = os.environ.get("CHAINLIT_PARENT_ROOT_PATH", "")
    return (parent + os.environ.get("CHAINLIT_ROOT_PATH", "")).rstrip("/")


class FeedbackGuard(BaseRoute):
    """Lets only the author of a thread give or take back feedback in it.

    Chainlit's PUT and DELETE /feedback ask who is logged in, but not whose thread it is.
    A request that passes goes on to Chainlit's own route with its body unread.

    Args:
        app: Chainlit's server.
        path: The path of its feedback routes.
        is_allowed: Decides.
    """

    def __init__(self, app: Starlette, path: str, is_allowed: IsAllowed) -> None:
        self._app = app
        self._path = path
        self._is_allowed = is_allowed

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """PUT and DELETE of the one path."""
        wanted = scope["type"] == "http" and scope["method"] in {"PUT", "DELETE"}
        path = scope.get("path", "").removeprefix(scope.get("root_path", "").rstrip("/"))
        if wanted and path == self._path:
            return Match.FULL, {}
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse with 403, or pass on."""
        body = await _read(Request(scope, receive))
        if body is None:
            await JSONResponse({"detail": "Too large"}, 413)(scope, receive, send)
        elif await self._refuses(Request(scope, receive), body):
            refusal = JSONResponse({"detail": "You are not the author of this thread"}, 403)
            await refusal(scope, receive, send)
        else:
            await self._pass_on(scope, _replay(body, receive), send)

    async def _refuses(self, request: Request, body: bytes) -> bool:
        identifier = await _logged_in(request)
        if identifier is None:
            return False  # Chainlit refuses it, or knows no logins.
        try:
            payload = orjson.loads(body)
        except ValueError:
            return False  # Chainlit answers that the body is no JSON.
        if not isinstance(payload, dict):
            return False
        return not await self._is_allowed(identifier, request.method, payload)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        for route in self._app.router.routes:
            if route is self:
                continue
            match, child = route.matches(scope)
            if match is Match.FULL:
                scope.update(child)
                await route.handle(scope, receive, send)
                return
        await self._app.router.default(scope, receive, send)


async def _logged_in(request: Request) -> str | None:
    from chainlit.auth import get_token_from_cookies, require_login
    from chainlit.auth.jwt import decode_jwt

    if not require_login():  # type: ignore[no-untyped-call]
        return None
    scheme, _, header = request.headers.get("Authorization", "").partition(" ")
    token = get_token_from_cookies(request.cookies)
    token = token or (header if scheme.lower() == "bearer" else None)
    if not token:
        return None
    try:
        return str(decode_jwt(token).identifier)
    except Exception:
        return None  # Chainlit answers 401.


async def _read(request: Request) -> bytes | None:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST_BODY:
            return None
    return body


def _replay(body: bytes, receive: Receive) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return messages.pop() if messages else await receive()

    return again
