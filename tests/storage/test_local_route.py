"""The route of local files, asked as a browser, a proxy and an attacker would."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from chainlit_sqla.storage.base import BlobSource
from chainlit_sqla.storage.local.client import FILES_PATH, LocalStorage
from chainlit_sqla.storage.local.route import file_route

DATA = bytes(range(256)) * 1000


async def catch_all(request: Request) -> PlainTextResponse:
    return PlainTextResponse("the page of the application")


def client(app: Any, root_path: str = "") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, root_path=root_path)
    return httpx.AsyncClient(transport=transport, base_url="http://test", verify=False)


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "files")


@pytest.fixture
async def http(storage: LocalStorage) -> AsyncIterator[httpx.AsyncClient]:
    app = Starlette(routes=[Route("/{path:path}", catch_all)])
    app.router.routes.insert(0, file_route(storage))
    async with client(app) as http:
        yield http


async def stored(storage: LocalStorage, mime: str = "image/png", name: str = "a.png") -> str:
    await storage.put("k", BlobSource(data=DATA), mime=mime, name=name)
    return (await storage.read_urls(["k"]))["k"]


async def test_a_file_with_its_headers(storage: LocalStorage, http: httpx.AsyncClient) -> None:
    url = await stored(storage)
    assert url.startswith(FILES_PATH + "/")
    answer = await http.get(url)
    assert (answer.status_code, answer.content) == (200, DATA)
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-length"] == "256000"
    assert answer.headers["content-disposition"] == 'inline; filename="a.png"'
    assert answer.headers["cache-control"] == "private"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "content-security-policy" not in answer.headers
    assert answer.headers["accept-ranges"] == "bytes"


@pytest.mark.parametrize(
    ("asked", "expected", "status"),
    [
        ("bytes=0-9", DATA[:10], 206),
        ("bytes=250000-", DATA[250_000:], 206),
        ("bytes=-5", DATA[-5:], 206),
        ("bytes=0-0", DATA[:1], 206),
        ("bytes=" + ",".join(f"{n}-{n}" for n in range(2000)), DATA, 200),
    ],
)
async def test_a_player_reads_a_range_and_whoever_asks_for_many_the_whole(
    storage: LocalStorage, http: httpx.AsyncClient, asked: str, expected: bytes, status: int
) -> None:
    answer = await http.get(await stored(storage, "video/mp4"), headers={"Range": asked})
    assert (answer.status_code, answer.content) == (status, expected)
    assert status == 200 or answer.headers["content-range"].endswith("/256000")
    assert answer.headers["content-type"] == "video/mp4"


@pytest.mark.parametrize(
    "mime", ["text/html", "image/svg+xml", "application/xhtml+xml", "Text/XML; charset=utf-8"]
)
async def test_active_types_cannot_act(
    storage: LocalStorage, http: httpx.AsyncClient, mime: str
) -> None:
    answer = await http.get(await stored(storage, mime, "x.html"))
    assert answer.headers["content-disposition"] == 'attachment; filename="x.html"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "sandbox"


async def test_a_link_is_refused_before_there_is_a_secret(
    storage: LocalStorage, http: httpx.AsyncClient
) -> None:
    assert (await http.get(f"{FILES_PATH}/{'A' * 96}")).status_code == 403
    assert not storage.root.exists()


async def test_refusals_say_little(storage: LocalStorage, http: httpx.AsyncClient) -> None:
    url = await stored(storage)
    refused = [
        url[:-1] + ("A" if url[-1] != "A" else "B"),
        url[:-1],
        url + "A",
        FILES_PATH + "/x",
        FILES_PATH + "/" + "é" * 96,
        FILES_PATH + "/" + "%00" * 96,
        FILES_PATH + "/..%2f..%2fetc%2fpasswd",
        *(url + more for more in ("=", "%00", "%20", "%0a", "*", "%D9%A0")),
    ]
    for attempt in refused:
        answer = await http.get(attempt)
        assert answer.status_code in (200, 403), attempt
        if answer.status_code == 200:  # An encoded slash is another path: not ours.
            assert answer.text == "the page of the application"
            continue
        assert answer.headers["content-type"].startswith("text/plain")
        assert answer.headers["cache-control"] == "no-store"
        assert len(answer.content) < 100


async def test_a_deleted_file(storage: LocalStorage, http: httpx.AsyncClient) -> None:
    url = await stored(storage)
    await storage.delete(["k"])
    answer = await http.get(url)
    assert (answer.status_code, answer.text) == (404, "This file was deleted.")


@pytest.mark.parametrize("proxy_strips", [True, False])
async def test_below_a_root_path(tmp_path: Path, proxy_strips: bool) -> None:
    storage = LocalStorage(tmp_path, url_prefix=lambda: "/chat")
    url = await stored(storage)
    assert url.startswith("/chat/chainlit-sqla/files/")
    routes = [file_route(storage, "" if proxy_strips else "/chat/")]
    app = Starlette(routes=[*routes, Route("/{path:path}", catch_all)])
    async with client(app, "/chat" if proxy_strips else "") as http:
        assert (await http.get(url)).content == DATA
        if proxy_strips:
            assert (await http.get(url.removeprefix("/chat"))).content == DATA
