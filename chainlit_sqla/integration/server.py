"""Additions to Chainlit's server: start check, file route, feedback guard, answers in outages.

The routes precede Chainlit's, the last of which matches every path. While the database is
unavailable, HTTP requests are answered by 503 and websockets by a message, and Chainlit logs no
traceback. All is added when a data layer is created, the check when its module is imported.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Message, Receive, Scope, Send

from .._internal.json import clean_text
from ..dialects import one_line
from ..errors import (
    ConfigurationError,
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
from .session import current_session, is_browser_session

log = logging.getLogger(__name__)

answer_seconds: ContextVar[float | None] = ContextVar("chainlit_sqla_answer_seconds", default=None)
"""How long the present request waits for a commit; `LEAVING`: not at all, None: until its end.

The server ends only after its requests.
"""
LEAVING = 0.0
_ANSWER_SECONDS = 5.0


@dataclass(slots=True)
class _GuardedRequest:
    """A request in the hands of `WriteGuard`.

    ``user`` is the identifier of the user that Chainlit has determined for it, ``errors`` are
    those that the guard answers. ``shares``: it is one of the share route.
    """

    shares: bool
    user: str | None = None
    errors: list[Exception] = field(default_factory=list)


_guarded: ContextVar[_GuardedRequest | None] = ContextVar("chainlit_sqla_guarded", default=None)
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
_START_SECONDS = 5.0
_MOST_KINDS = 100


def install_routes(storage: object) -> bool:
    """Add the routes to Chainlit's server, replacing those of an earlier layer.

    Returns whether the server is loaded; scripts run without it.
    """
    server, app = _loaded_server()
    if app is None:
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


def _loaded_server() -> tuple[Any, FastAPI | None]:
    """Return Chainlit's server and its app, None in scripts, which do not load them."""
    server = sys.modules.get("chainlit.server")
    return server, getattr(server, "app", None)


def check_when_server_starts() -> None:
    """Let Chainlit's server, if it is loaded, create its layer before the first request.

    It does not start where the layer's settings or tables cannot work, which somebody must repair;
    a database that is unavailable may come back.
    """
    server, app = _loaded_server()
    if app is None or getattr(app.state, "chainlit_sqla_start", False):
        return
    app.state.chainlit_sqla_start = True
    lifespan = app.router.lifespan_context

    @asynccontextmanager
    async def checked_lifespan(application: Any) -> AsyncIterator[Any]:
        code = server.config.code
        app_startup = code.on_app_startup  # It may prepare the database, so it runs first.

        async def start() -> None:
            if app_startup:
                await app_startup()
            await _check_layer(server.get_data_layer)

        code.on_app_startup = start
        async with lifespan(application) as state:
            yield state

    app.router.lifespan_context = checked_lifespan


async def _check_layer(get_data_layer: Callable[[], Any]) -> None:
    try:
        layer = get_data_layer()
        if callable(prepare := getattr(layer, "prepare", None)):
            async with asyncio.timeout(_START_SECONDS):
                await prepare()
    except (ConfigurationError, SchemaError) as error:
        log.critical("Not started: %s", one_line(error))
        os._exit(1)  # As Chainlit ends itself; after an exception the exit code would be 0.
    except (DatabaseUnavailable, TimeoutError):
        pass  # It may come back; until then, the layer reports it at each use.


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
    detail, status = _reason(error)
    headers = {"Retry-After": str(_RETRY_AFTER)} if status == 503 else None
    return JSONResponse({"detail": detail}, status, headers)


def _reason(error: Exception) -> tuple[str, int]:
    """Return what a client is told of an error, and the status of HTTP."""
    reasons = (reason for kind, reason in _REFUSALS.items() if isinstance(error, kind))
    return next(reasons, (_APOLOGY, 503))


def _apologize(
    sockets: Any, event: str, handler: Callable[..., Awaitable[Any]]
) -> Callable[..., Awaitable[Any]]:
    """Wrap a handler of websocket events: refuse to connect, or show a message, after an error."""

    @functools.wraps(handler)
    async def handle(sid: str, *arguments: Any) -> Any:
        if event == "disconnect":  # The user is gone, and the server may wait to end.
            answer_seconds.set(LEAVING)
        try:
            return await handler(sid, *arguments)
        except (RejectedRow, *UNAVAILABLE) as error:
            text, _ = _reason(error)
            if event == "connect":
                raise ConnectionRefusedError(text) from None
            if event == "connection_successful":  # Chainlit's answer to an unknown thread.
                await sockets.emit("resume_thread_error", text, to=sid)
            elif event != "disconnect":
                await sockets.emit("toast", {"message": text, "type": "error"}, to=sid)

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


def feedback_actor(storage: object) -> str | None:
    """Return who asks to change feedback, None if this is not limited to a user's threads.

    It is not for the app's own code, and where no login is configured. A request of Chainlit's
    server of which it is not known who sends it is refused: Chainlit did not tell, or the guard
    was installed when the request was under way already.
    """
    request = _guarded.get()
    if request is None and (current_session() or not _called_by_server()):
        return None
    if request and request.user is not None:
        return request.user
    if not _requires_login():
        return None
    if request is None:
        install_routes(storage)
    error = NotTheAuthor(
        "Feedback not changed: it is not known which user sent the request"
        + ("; check this release of Chainlit" if request else ", the first one; send it again")
    )
    log.error("%s", error)
    raise error


def is_share_request() -> bool:
    """Return whether Chainlit's share route calls, which alone may change what it sets."""
    request = _guarded.get()
    return request is not None and request.shares


def _called_by_server() -> bool:
    """Return whether a function of Chainlit's server awaits this call."""
    frame = sys._getframe(1)
    while frame and frame.f_globals.get("__name__") != "chainlit.server":
        frame = frame.f_back  # type: ignore[assignment]
    return frame is not None


def _requires_login() -> bool:
    try:
        from chainlit.auth import require_login

        return bool(require_login())  # type: ignore[no-untyped-call]
    except Exception:
        log.exception("Feedback not changed: Chainlit does not say whether it has a login")
        return True


def _record_users(app: FastAPI) -> None:
    """Record the user of guarded requests where Chainlit's routes, or the app, determine it."""
    dependency: Any = getattr(sys.modules.get("chainlit.auth"), "get_current_user", None)
    determine = app.dependency_overrides.get(dependency, dependency)
    if determine is None or hasattr(determine, "records_user"):
        return

    @functools.wraps(determine)  # FastAPI passes the arguments of the original.
    async def current_user(*args: Any, **kwargs: Any) -> Any:
        user = determine(*args, **kwargs)
        user = await user if inspect.isawaitable(user) else user
        identifier, request = getattr(user, "identifier", None), _guarded.get()
        if request is not None and isinstance(identifier, str):
            request.user = clean_text(identifier)
        return user

    current_user.records_user = True  # type: ignore[attr-defined]
    app.dependency_overrides[dependency] = current_user


class _HiddenAddress:
    """Hides where the database is from people in a chat; scripts and logs are told.

    Chainlit shows them the text of an error in ``on_message``.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, UNAVAILABLE) and is_browser_session():
            raise type(error)(_APOLOGY) from error


hidden_address = _HiddenAddress()


@contextmanager
def report_to_guard() -> Iterator[None]:
    """Report the error of a feedback request to its guard, which answers it.

    Without the guard, Chainlit answers 500.
    """
    try:
        yield
    except (RejectedRow, *UNAVAILABLE) as error:
        if request := _guarded.get():
            request.errors.append(error)
        raise


class WriteGuard(BaseRoute):
    """Restricts feedback to the author of the thread, and the time that a change may take.

    Chainlit's PUT and DELETE /feedback check who is logged in, but not whose thread it is.
    The guard passes the user that Chainlit determines to the layer, the layer checks ownership
    inside its transaction (so there is no second reading of the body that could differ), and the
    guard answers 403. Chainlit answers 500 to any error here, so the guard answers 503 in an
    outage, too. Other requests that write have a time limit only.
    """

    def __init__(self, app: FastAPI, root_path: str) -> None:
        self._app = app
        feedback, thread, share = (
            Route(root_path + path, _never_called, methods=["PUT", "DELETE"])
            for path in ("/feedback", "/project/thread", "/project/thread/share")
        )
        self._share = share
        self._patterns = feedback, thread, share

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match PUT and DELETE of the paths, by the rules of Chainlit's own routes."""
        matches = (pattern.matches(scope)[0] for pattern in self._patterns)
        return (Match.FULL if Match.FULL in matches else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Delegate to Chainlit's route, which calls the layer in this context."""
        request = _GuardedRequest(self._share.matches(scope)[0] is Match.FULL)
        seconds_token = answer_seconds.set(_ANSWER_SECONDS)
        guarded_token = _guarded.set(request)

        async def send_unless_refused(message: Message) -> None:
            if not request.errors:
                await send(message)

        try:
            _record_users(self._app)  # The app may have replaced the dependency meanwhile.
            await self._delegate(scope, receive, send_unless_refused)
        except (RejectedRow, *UNAVAILABLE):
            pass
        finally:
            answer_seconds.reset(seconds_token)
            _guarded.reset(guarded_token)
        if request.errors:
            answer = await _answer(Request(scope), request.errors[0])
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
