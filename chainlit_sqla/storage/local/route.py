"""The HTTP route that serves the links of `LocalStorage`."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from ...errors import BlobNotFound
from ..headers import content_disposition, disposition_type
from .client import FILES_PATH, LinkError, LocalStorage

ROUTE_NAME = "chainlit_sqla_files"


def file_route(storage: LocalStorage, prefix: str = "") -> Route:
    """Create the route, which belongs before any route that catches every path.

    ``prefix`` is a root path that the application's own routes carry in their patterns. It
    answers GET and HEAD: 403 for a link that was altered or has expired, 404 for a blob that was
    deleted, byte ranges otherwise.
    """

    async def serve(request: Request) -> Response:
        return await _serve(storage, request)

    path = f"{prefix.rstrip('/')}{FILES_PATH}/{{token}}"
    return Route(path, serve, methods=["GET", "HEAD"], name=ROUTE_NAME)


async def _serve(storage: LocalStorage, request: Request) -> Response:
    try:
        entry, path = await storage.resolve(request.path_params["token"])
        stat = await asyncio.to_thread(path.stat)
    except LinkError:
        return _refusal("This link is not valid or has expired. Reload the conversation.", 403)
    except (BlobNotFound, FileNotFoundError):
        return _refusal("This file was deleted.", 404)
    _drop_many_ranges(request)
    headers = {
        "Cache-Control": "private",
        "Content-Disposition": content_disposition(entry.mime, entry.name),
        "X-Content-Type-Options": "nosniff",
    }
    if disposition_type(entry.mime) == "attachment":
        headers["Content-Security-Policy"] = "sandbox"
    return FileResponse(path, headers=headers, media_type=entry.mime, stat_result=stat)


def _refusal(text: str, status: int) -> Response:
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return PlainTextResponse(text, status, headers)


def _drop_many_ranges(request: Request) -> None:
    """Serve the whole file to a request for several ranges.

    Browsers ask for one. Merging many takes quadratic time in Starlette 0.39 to 0.49.0
    (CVE-2025-62727), so one request could hold up the server.
    """
    headers = request.scope["headers"]
    request.scope["headers"] = [
        (name, value) for name, value in headers if not (name == b"range" and b"," in value)
    ]
