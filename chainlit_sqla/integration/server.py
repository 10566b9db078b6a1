"""What the layer adds to Chainlit's own server: a route for files, a guard for feedback.

Both stand before Chainlit's routes, the last of which answers every path.
"""

from __future__ import annotations

import os
import sys
from contextvars import ContextVar

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Message, Receive, Scope, Send

from ..errors import NotTheAuthor
from ..storage.local.client import LocalStorage
from ..storage.local.route import ROUTE_NAME, file_path, file_route

requester: ContextVar[str | None] = ContextVar("chainlit_sqla_requester", default=None)
"""The identifier of the user whose feedback request is being answered."""


def attach(storage: object) -> bool:
    """Add our routes to Chainlit's server, replacing those of an earlier layer.

    Args:
        storage: The layer's store; a local one gets its route.

    Returns:
        Whether there is a server: a script has none.
    """
    app, prefix = _server()
    if app is None:
        return False
    routes: list[BaseRoute] = [FeedbackGuard(app, f"{prefix}/feedback")]
    if isinstance(storage, LocalStorage):
        routes.append(file_route(storage, prefix))
    earlier = getattr(app.state, "chainlit_sqla_routes", [])
    kept = [route for route in app.router.routes if route not in earlier]
    app.router.routes[:] = routes + kept
    app.state.chainlit_sqla_routes = routes
    return True


def attach_early() -> None:
    """Answer links to local files before there is a layer, which Chainlit makes at first use.

    Without it, a link in a page that was open while the server started again would get
    Chainlit's page, by its last route.
    """
    app, prefix = _server()
    if app is None or hasattr(app.state, "chainlit_sqla_routes"):
        return

    async def make_layer_and_serve(request: Request) -> Response:
        from chainlit.data import get_data_layer

        get_data_layer()  # type: ignore[no-untyped-call]
        for route in app.state.chainlit_sqla_routes:
            if getattr(route, "name", "") == ROUTE_NAME:
                answer: Response = await route.endpoint(request)
                return answer
        return PlainTextResponse("There is no such file.", 404)

    early = Route(file_path(prefix), make_layer_and_serve, methods=["GET", "HEAD"])
    app.router.routes.insert(0, early)
    app.state.chainlit_sqla_routes = [early]


def _server() -> tuple[Starlette | None, str]:
    """Chainlit's server, None where there is none, and the root path of its patterns."""
    server = sys.modules.get("chainlit.server")
    app: Starlette | None = getattr(server, "app", None)
    return (app, server.config.run.root_path or "") if server and app else (None, "")


def public_prefix() -> str:
    """What a browser puts before our paths: the root paths that Chainlit runs below."""
    parent = os.environ.get("CHAINLIT_PARENT_ROOT_PATH", "")
    return (parent + os.environ.get("CHAINLIT_ROOT_PATH", "")).rstrip("/")


class FeedbackGuard(BaseRoute):
    """Lets only the author of a thread give or take back feedback in it.

    Chainlit's PUT and DELETE /feedback ask who is logged in, but not whose thread it is.
    The guard says who asks, the layer refuses inside its transaction, by what it was really
    given and not by a second reading of the body, and the guard answers 403.

    Args:
        app: Chainlit's server.
        path: The path of its feedback routes.
    """

    def __init__(self, app: Starlette, path: str) -> None:
        self._app = app
        self._like = Route(path, _never, methods=["PUT", "DELETE"])

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """PUT and DELETE of the one path, read as Chainlit's own routes read it."""
        match, _ = self._like.matches(scope)
        return (Match.FULL if match is Match.FULL else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on to Chainlit's route, which calls the layer in this context."""
        identifier = _logged_in(Request(scope))
        token = requester.set(identifier)
        refusals: list[NotTheAuthor] = []
        refused = _refusals.set(refusals)

        async def answer(message: Message) -> None:
            if not refusals:
                await send(message)

        try:
            await self._pass_on(scope, receive, answer)
        except NotTheAuthor:
            pass
        finally:
            requester.reset(token)
            _refusals.reset(refused)
        if refusals:
            refusal = JSONResponse({"detail": "You are not the author of this thread"}, 403)
            await refusal(scope, receive, send)

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


_refusals: ContextVar[list[NotTheAuthor] | None] = ContextVar(
    "chainlit_sqla_refusals", default=None
)


async def _never(_request: Request) -> Response:
    raise AssertionError("only the pattern of this route is used")


def note_refusal(error: NotTheAuthor) -> None:
    """Tell the guard of the request being answered, if any, why the layer refuses it.

    Args:
        error: The reason.
    """
    refusals = _refusals.get()
    if refusals is not None:
        refusals.append(error)


def _logged_in(request: Request) -> str | None:
    """Who asks, read as Chainlit reads it; None where nobody is logged in.

    Chainlit itself answers 401 to a token that it cannot read.
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
