"""What people and the operator see while the database is away, or silent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.fixtures import postgres  # noqa: F401
from tests.servers.postgres import PostgresServer
from tests.servers.proxy import FlakyProxy
from tests.until import until

from .chat import Chat
from .person import PASSWORD, Person
from .server import AppServer

pytestmark = pytest.mark.full

CLOSE_SECONDS = 4
READ_SECONDS = 2


@pytest.fixture
def proxy(postgres: PostgresServer) -> Iterator[FlakyProxy]:  # noqa: F811
    with FlakyProxy(*postgres.address) as made:
        yield made
        made.restore()


def start(
    folder: Path, server: PostgresServer, proxy: FlakyProxy, *, mounted: bool = False
) -> AppServer:
    settings = {
        "DATABASE_URL": proxy.url(server.create_database()),
        "CHAINLIT_SQLA_AUTO_UPGRADE": "true",
        "CHAINLIT_SQLA_CLOSE_SECONDS": str(CLOSE_SECONDS),
        "CHAINLIT_SQLA_READ_SECONDS": str(READ_SECONDS),
    }
    return AppServer(folder, settings, mounted=mounted)


def lines(app: AppServer) -> list[str]:
    """What it printed but the app's own output and the start."""
    return [line for line in app.log().splitlines() if " - ERROR - " in line or "WARN" in line]


async def test_an_outage_is_answered_soon_and_told_in_a_few_lines(
    tmp_path: Path,
    postgres: PostgresServer,  # noqa: F811
    proxy: FlakyProxy,
) -> None:
    app = start(tmp_path, postgres, proxy)
    try:
        async with Person(app.url, "alice") as alice, Person(app.url) as bob:
            chat = await alice.talk("Echo before")
            proxy.refuse()
            proxy.drop_all()
            began = time.monotonic()
            form = {"username": "bob", "password": PASSWORD}
            assert (await bob.http.post("/login", data=form)).status_code == 200
            for _ in range(3):
                for response in (
                    await alice.list_threads(),
                    await alice.get_thread(chat.thread),
                    await alice.rename(chat.thread, "New"),
                    await alice.delete(chat.thread),
                    await bob.list_threads(),
                ):
                    assert response.status_code == 503
                    assert "try again" in response.json()["detail"]
                    assert response.headers["Retry-After"] == "5"
            given = await alice.give_feedback(
                forId=next(iter(chat.steps)), threadId=chat.thread, value=1
            )
            assert given.status_code == 503
            await chat.send("Echo during the outage")  # It is answered all the same.
            bobs = await bob.chat()  # The layer does not know him yet.
            await bobs.send("Echo of Bob", wait=False)
            await bobs.wait(lambda: any("Echo of Bob" in answer for answer in bobs.answers()))
            again = await resume(alice, chat.thread)
            assert again.count("resume_thread_error") + (not again._client.connected) >= 1
            assert time.monotonic() - began < 60
            assert "Traceback" not in app.log()
            assert len(lines(app)) < 15, app.log()
            proxy.accept()
            await until(lambda: is_stored(alice, chat.thread, "Echo during the outage"))
            thread = await alice.thread(chat.thread)
            assert any(step.get("feedback") for step in thread["steps"])
            await bobs.wait(lambda: bool(bobs.thread))
            await until(lambda: is_listed(bob, bobs.thread))
            await again.disconnect()
        assert "Written again after " in app.log()
    finally:
        app.stop()


async def test_an_outage_is_answered_below_a_path(
    tmp_path: Path,
    postgres: PostgresServer,  # noqa: F811
    proxy: FlakyProxy,
) -> None:
    app = start(tmp_path, postgres, proxy, mounted=True)
    try:
        async with Person(app.url, "alice") as alice:
            assert (await alice.list_threads()).status_code == 200
            proxy.refuse()
            proxy.drop_all()
            assert (await alice.list_threads()).status_code == 503
            proxy.accept()
    finally:
        app.stop()


async def is_stored(person: Person, thread: str, text: str) -> bool:
    response = await person.get_thread(thread)
    return response.status_code == 200 and text in response.text


async def is_listed(person: Person, thread: str) -> bool:
    response = await person.list_threads()
    return response.status_code == 200 and thread in response.text


async def resume(person: Person, thread: str) -> Chat:
    """Open a window with a thread, and wait for the answer, which is no thread."""
    cookie = "; ".join(f"{name}={value}" for name, value in person.http.cookies.items())
    chat = Chat(person.url, person.name, cookie, thread=thread)
    opening = asyncio.create_task(chat.connect())
    try:
        await until(
            lambda: opening.done() or chat.count("resume_thread_error") + chat.count("toast") > 0
        )
    finally:
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
    return chat


async def test_sigterm_ends_the_server_while_the_database_is_silent(
    tmp_path: Path,
    postgres: PostgresServer,  # noqa: F811
    proxy: FlakyProxy,
) -> None:
    app = start(tmp_path, postgres, proxy)
    async with Person(app.url, "alice") as alice:
        chat = await alice.talk("Echo before")
        proxy.blackhole()
        await chat.send("Burst 100", wait=False)
        await until(lambda: "Part 99" in chat.answers())
        page = asyncio.create_task(alice.list_threads())  # The server ends after its requests.
        await asyncio.sleep(0)
        began = time.monotonic()
        await asyncio.to_thread(app.stop)
        assert time.monotonic() - began < READ_SECONDS + CLOSE_SECONDS + 6
        await asyncio.gather(page, return_exceptions=True)
    assert "Traceback" not in app.log()
    assert "Not finished in " in app.log()
    assert len(lines(app)) < 30, app.log()
