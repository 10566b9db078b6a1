"""Additions to Chainlit's server: file route, feedback guard, answers in outages.

The routes precede Chainlit's, the last of which matches every path. While the database is
unavailable, HTTP requests are answered by 503 and websockets by a message, and Chainlit logs no
traceback. All is added when a data layer is created.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from starlette.applications import Starlette
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Message, Receive, Scope, Send

from ..errors import (
    DatabaseUnavailable,
    InvalidCursor,
    InvalidSearch,
    NotTheAuthor,
    RejectedRow,
    RetriesExhausted,
    SchemaError,
    TooLarge,
    WriteQueueClosed,
    WriteQueueFull,
)
from ..storage.local.client import LocalStorage
from ..storage.local.route import file_route

feedback_user: ContextVar[str | None] = ContextVar("chainlit_sqla_feedback_user", default=None)
"""The identifier of the user whose feedback request is being handled."""

answer_seconds: ContextVar[float | None] = ContextVar("chainlit_sqla_answer_seconds", default=None)
"""How long the present request waits for a commit; `LEAVING`: not at all, None: until its end.

The server ends only after its requests.
"""
LEAVING = 0.0
_ANSWER_SECONDS = 5.0
_guard_errors: ContextVar[list[Exception] | None] = ContextVar(
    "chainlit_sqla_guard_errors", default=None
)
UNAVAILABLE = (
    DatabaseUnavailable,
    RetriesExhausted,
    SchemaError,
    WriteQueueClosed,
    WriteQueueFull,
)
"""The errors of a request that may succeed later; the layer has logged them."""
_REFUSALS: Mapping[type[Exception], tuple[str, int]] = {
    NotTheAuthor: ("You are not the author of this thread", 403),
    TooLarge: ("The text is too long", 413),
    RejectedRow: ("This cannot be stored", 400),
    InvalidCursor: ("Unknown page", 400),
    InvalidSearch: ("The search text is too long", 400),
}
"""Answers to requests that are at fault; the reason may be none of the client's business."""
_APOLOGY = "Past conversations are unavailable at the moment; try again soon"
_RETRY_AFTER = 5
_QUIET_SECONDS = 30.0
_MOST_KINDS = 100


def install_routes(storage: object) -> bool:
    """Add the routes to Chainlit's server, replacing those of an earlier layer.

    Returns whether the server is loaded; scripts run without it.
    """
    server = sys.modules.get("chainlit.server")
    app: Starlette | None = getattr(server, "app", None)
    if server is None or app is None:
        return False
    root_path = server.config.run.root_path or ""
    routes: list[BaseRoute] = [WriteGuard(app, root_path)]
    if isinstance(storage, LocalStorage):
        routes.append(file_route(storage, root_path))
    previous = getattr(app.state, "chainlit_sqla_routes", [])
    others = [route for route in app.router.routes if route not in previous]
    app.router.routes[:] = routes + others
    app.state.chainlit_sqla_routes = routes
    _install_answers(app, server.sio)
    return True


def public_prefix() -> str:
    """Return what precedes our paths in a browser: the root paths that Chainlit runs below."""
    parent = os.environ.get("CHAINLIT_PARENT_ROOT_PATH", "")
    return (parent + os.environ.get("CHAINLIT_ROOT_PATH", "")).rstrip("/")


def _install_answers(app: Starlette, sockets: Any) -> None:
    """Answer `UNAVAILABLE` errors and refusals, once for a server, whatever layers it gets."""
    if getattr(app.state, "chainlit_sqla_answers", False):
        return
    app.state.chainlit_sqla_answers = True
    middleware: Any = app.middleware_stack
    while middleware and not isinstance(middleware, ExceptionMiddleware):
        middleware = getattr(middleware, "app", None)
    kinds: tuple[type[Exception], ...] = (*UNAVAILABLE, *_REFUSALS)
    for kind in kinds:
        app.add_exception_handler(kind, _answer)
        if middleware:  # It is made at the first request, which may have created the layer.
            middleware.add_exception_handler(kind, _answer)
    handlers = sockets.handlers.get("/", {})
    for event, handler in handlers.items():
        handlers[event] = _apologize(sockets, event, handler)
    logging.getLogger("chainlit").addFilter(_QuietOutage())


async def _answer(_request: Request, error: Exception) -> Response:
    for kind, (detail, status) in _REFUSALS.items():
        if isinstance(error, kind):
            return JSONResponse({"detail": detail}, status)
    return JSONResponse({"detail": _APOLOGY}, 503, {"Retry-After": str(_RETRY_AFTER)})


def _apologize(
    sockets: Any, event: str, handler: Callable[..., Awaitable[Any]]
) -> Callable[..., Awaitable[Any]]:
    """Wrap a handler of websocket events: refuse to connect, or show a message, in an outage."""

    @functools.wraps(handler)
    async def handle(sid: str, *arguments: Any) -> Any:
        if event == "disconnect":  # The user is gone, and the server may wait to end.
            answer_seconds.set(LEAVING)
        try:
            return await handler(sid, *arguments)
        except UNAVAILABLE:
            if event == "connect":
                raise ConnectionRefusedError(_APOLOGY) from None
            if event == "connection_successful":  # Chainlit's answer to an unknown thread.
                await sockets.emit("resume_thread_error", _APOLOGY, to=sid)
            elif event != "disconnect":
                await sockets.emit("toast", {"message": _APOLOGY, "type": "error"}, to=sid)

    return handle


class _QuietOutage(logging.Filter):
    """Logs Chainlit's messages about `UNAVAILABLE` errors without tracebacks, and not each time."""

    def __init__(self) -> None:
        super().__init__()
        self._logged: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, UNAVAILABLE):
            return True
        record.exc_info = None
        kind, now = str(record.msg), time.monotonic()
        if now - self._logged.get(kind, -_QUIET_SECONDS) < _QUIET_SECONDS:
            return False
        if len(self._logged) >= _MOST_KINDS:
            self._logged.clear()
        self._logged[kind] = now
        return True


@contextmanager
def report_to_guard() -> Iterator[None]:
    """Report the error of a feedback request to its guard, which answers it.

    Without the guard, Chainlit answers 500.
    """
    try:
        yield
    except (RejectedRow, *UNAVAILABLE) as error:
        errors = _guard_errors.get()
        if errors is not None:
            errors.append(error)
        raise


class WriteGuard(BaseRoute):
    """Restricts feedback to the author of the thread, and the time that a change may take.

    Chainlit's PUT and DELETE /feedback check who is logged in, but not whose thread it is.
    The guard passes the user to the layer, the layer checks ownership inside its transaction
    (so there is no second reading of the body that could differ), and the guard answers 403.
    Chainlit answers 500 to any error here, so the guard answers 503 in an outage, too. Other
    requests that write have a time limit only.
    """

    def __init__(self, app: Starlette, root_path: str) -> None:
        self._app = app
        self._patterns = [
            Route(root_path + path, _never_called, methods=["PUT", "DELETE"])
            for path in ("/feedback", "/project/thread", "/project/thread/share")
        ]

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match PUT and DELETE of the paths, by the rules of Chainlit's own routes."""
        matches = (pattern.matches(scope)[0] for pattern in self._patterns)
        return (Match.FULL if Match.FULL in matches else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Delegate to Chainlit's route, which calls the layer in this context."""
        errors: list[Exception] = []
        seconds_token = answer_seconds.set(_ANSWER_SECONDS)
        user_token = feedback_user.set(_logged_in_user(Request(scope)))
        errors_token = _guard_errors.set(errors)

        async def send_unless_refused(message: Message) -> None:
            if not errors:
                await send(message)

        try:
            await self._delegate(scope, receive, send_unless_refused)
        except (RejectedRow, *UNAVAILABLE):
            pass
        finally:
            answer_seconds.reset(seconds_token)
            feedback_user.reset(user_token)
            _guard_errors.reset(errors_token)
        if errors:
            answer = await _answer(Request(scope), errors[0])
            await answer(scope, receive, send)

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
