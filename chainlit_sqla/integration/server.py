"""Additions to Chainlit's server: a route for local files and a guard for feedback.

Both precede Chainlit's routes, the last of which matches every path. They are added when a
data layer is created.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Message, Receive, Scope, Send

from ..errors import NotTheAuthor
from ..storage.local.client import LocalStorage
from ..storage.local.route import file_route

feedback_user: ContextVar[str | None] = ContextVar("chainlit_sqla_feedback_user", default=None)
"""The identifier of the user whose feedback request is being handled."""

_authorization_errors: ContextVar[list[NotTheAuthor] | None] = ContextVar(
    "chainlit_sqla_authorization_errors", default=None
)


def install_routes(storage: object) -> bool:
    """Add the routes to Chainlit's server, replacing those of an earlier layer.

    Returns whether the server is loaded; scripts run without it.
    """
    server = sys.modules.get("chainlit.server")
    app: Starlette | None = getattr(server, "app", None)
    if server is None or app is None:
        return False
    root_path = server.config.run.root_path or ""
    routes: list[BaseRoute] = [FeedbackGuard(app, f"{root_path}/feedback")]
    if isinstance(storage, LocalStorage):
        routes.append(file_route(storage, root_path))
    previous = getattr(app.state, "chainlit_sqla_routes", [])
    others = [route for route in app.router.routes if route not in previous]
    app.router.routes[:] = routes + others
    app.state.chainlit_sqla_routes = routes
    return True


def public_prefix() -> str:
    """Return what precedes our paths in a browser: the root paths that Chainlit runs below."""
    parent = os.environ.get("CHAINLIT_PARENT_ROOT_PATH", "")
    return (parent + os.environ.get("CHAINLIT_ROOT_PATH", "")).rstrip("/")


@contextmanager
def report_authorization_error() -> Iterator[None]:
    """Report a `NotTheAuthor` to the guard of the current request, which answers 403.

    Without the guard, Chainlit answers 500.
    """
    try:
        yield
    except NotTheAuthor as error:
        errors = _authorization_errors.get()
        if errors is not None:
            errors.append(error)
        raise


class FeedbackGuard(BaseRoute):
    """Restricts feedback to the author of the thread.

    Chainlit's PUT and DELETE /feedback check who is logged in, but not whose thread it is.
    The guard passes the user to the layer, the layer checks ownership inside its transaction
    (so there is no second reading of the body that could differ), and the guard answers 403.
    """

    def __init__(self, app: Starlette, path: str) -> None:
        self._app = app
        self._pattern = Route(path, _never_called, methods=["PUT", "DELETE"])

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match PUT and DELETE of the path, by the rules of Chainlit's own routes."""
        match, _ = self._pattern.matches(scope)
        return (Match.FULL if match is Match.FULL else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Delegate to Chainlit's route, which calls the layer in this context."""
        errors: list[NotTheAuthor] = []
        user_token = feedback_user.set(_logged_in_user(Request(scope)))
        errors_token = _authorization_errors.set(errors)

        async def send_unless_refused(message: Message) -> None:
            if not errors:
                await send(message)

        try:
            await self._delegate(scope, receive, send_unless_refused)
        except NotTheAuthor:
            pass
        finally:
            feedback_user.reset(user_token)
            _authorization_errors.reset(errors_token)
        if errors:
            refusal = JSONResponse({"detail": "You are not the author of this thread"}, 403)
            await refusal(scope, receive, send)

    async def _delegate(self, scope: Scope, receive: Receive, send: Send) -> None:
        for route in self._app.router.routes:
            if route is self:
                continue
            match, child_scope = route.matches(scope)
            if match is Match.FULL:
                scope.update(child_scope)
                await route.handle(scope, receive, send)
                return
        await self._app.router.default(scope, receive, send)


async def _never_called(_request: Request) -> Response:
    raise AssertionError("only the pattern of this route is used")


def _logged_in_user(request: Request) -> str | None:
    """Return the user of a request by Chainlit's own rules, None if nobody is logged in.

    Chainlit itself answers 401 to an invalid token.
    """
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
        return None
