"""Who may change what: by Chainlit's own routes, in a browser's session, and in the app's code."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from chainlit import data
from chainlit.auth import create_jwt, get_current_user
from chainlit.config import config
from chainlit.context import init_http_context
from chainlit.server import app
from chainlit.types import Feedback
from chainlit.user import User

from chainlit_sqla.errors import NotTheAuthor
from tests.contract.build import (
    elements_of,
    file_element,
    listed,
    message,
    new_id,
    said,
    steps_of,
    thread,
)
from tests.contract.fixtures import Socket

ALICE = "alice@example.org"


@dataclass
class Site:
    """Chainlit's server with a login, and the layer; alice has a thread with feedback."""

    app: Any
    layer: Any
    thread_id: str
    step_id: str
    feedback_id: str

    async def request(self, method: str, path: str, body: Any, *headers: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            return await client.request(method, path, json=body, headers=list(headers))

    async def attack(self, *headers: Any) -> list[int]:
        """Try to overwrite and to delete alice's feedback; return what the server answers."""
        changed: dict[str, Any] = {
            "forId": self.step_id,
            "threadId": self.thread_id,
            "value": 0,
            "comment": "Bob",
        }
        changed["id"] = self.feedback_id
        put = {"sessionId": "none", "feedback": changed}
        answers = [
            await self.request("PUT", "/feedback", put, *headers),
            await self.request("DELETE", "/feedback", {"feedbackId": self.feedback_id}, *headers),
        ]
        return [answer.status_code for answer in answers]

    async def feedback(self) -> Any:
        feedback = (await steps_of(self.layer, self.thread_id))[self.step_id]["feedback"]
        return feedback and (feedback["value"], feedback["comment"])


def token(name: str) -> str:
    return str(create_jwt(User(identifier=name)))


@pytest.fixture
async def chainlit(layer: Any, alice: Any, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("CHAINLIT_AUTH_SECRET", "a secret of the tests only, long enough for HS256")
    monkeypatch.setattr(config.code, "password_auth_callback", lambda *_: None)
    monkeypatch.setattr(data, "_data_layer", layer)
    monkeypatch.setattr(data, "_data_layer_initialized", True)
    thread_id = await thread(layer, alice)
    step_id = await said(layer, thread_id)
    given = Feedback(forId=step_id, value=1, threadId=thread_id, comment="Clear")
    return Site(app, layer, thread_id, step_id, await layer.upsert_feedback(given))


def bearer(value: str) -> tuple[str, str]:
    return "Authorization", value


@pytest.mark.parametrize(
    "headers",
    [
        ["Bearer {bob}"],
        ["Bearer  {bob}"],
        ["bearer \t {bob}"],
        ["BEARER {bob}", "Bearer {alice}"],
        [" Bearer {bob} "],
        ["Bearer"],
        ["Basic {bob}"],
        ["{bob}"],
        [],
    ],
)
async def test_feedback_is_changed_by_its_author_only(
    chainlit: Site, bob: Any, headers: list[str]
) -> None:
    tokens = {name: token(f"{name}@example.org") for name in ("alice", "bob")}
    answers = await chainlit.attack(*(bearer(header.format(**tokens)) for header in headers))
    assert set(answers) <= {401, 403}
    assert await chainlit.feedback() == (1, "Clear")
    assert await chainlit.attack(bearer(f"Bearer {tokens['alice']}")) == [200, 200]
    assert await chainlit.feedback() is None


async def test_without_a_login_there_are_no_users(
    chainlit: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config.code, "password_auth_callback", None)
    assert await chainlit.attack() == [200, 200]
    assert await chainlit.feedback() is None


async def nobody() -> None:
    return None


async def broken() -> User:
    return "bob@example.org"  # type: ignore[return-value]


@pytest.mark.parametrize("dependency", [nobody, broken, lambda: None])
async def test_a_login_that_names_no_user_is_refused(
    chainlit: Site,
    dependency: Callable[[], Awaitable[Any]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setitem(chainlit.app.dependency_overrides, get_current_user, dependency)
    assert await chainlit.attack() == [403, 403]
    assert await chainlit.feedback() == (1, "Clear")
    assert "Feedback not changed: it is not known which user" in caplog.text


@pytest.fixture
def unguarded(chainlit: Site) -> Site:
    """Chainlit's server before its first request, which creates the layer and the guard."""
    routes, installed = chainlit.app.router.routes, chainlit.app.state.chainlit_sqla_routes
    routes[:] = [route for route in routes if route not in installed]
    chainlit.app.dependency_overrides.clear()
    return chainlit


async def test_the_first_request_after_a_start_is_refused(unguarded: Site, bob: Any) -> None:
    headers = bearer(f"Bearer {token('bob@example.org')}")
    assert min(await unguarded.attack(headers)) >= 403
    assert await unguarded.feedback() == (1, "Clear")


# In sessions, and without one


async def run_in(enter: Callable[[], object], call: Callable[[], Awaitable[Any]]) -> Any:
    """Run a call in a context, as Chainlit does: in a task of its own."""

    async def run() -> Any:
        return await call()

    context = contextvars.copy_context()
    context.run(enter)
    return await asyncio.create_task(run(), context=context)


@dataclass
class Target:
    """A thread of alice's with everything in it, and what is called on it."""

    layer: Any
    alice: Any
    thread_id: str
    step_id: str
    element_id: str
    feedback_id: str

    @classmethod
    async def make(cls, layer: Any, alice: Any, thread_id: str) -> Target:
        await layer.update_thread(thread_id, user_id=alice.id)
        step_id = await said(layer, thread_id, metadata={"favorite": True})
        element = file_element(thread_id, step_id)
        await layer.create_element(element)
        given = Feedback(forId=step_id, value=1, threadId=thread_id)
        feedback_id = await layer.upsert_feedback(given)
        return cls(layer, alice, thread_id, step_id, element.id, feedback_id)

    def element(self) -> Any:
        return file_element(self.thread_id, self.step_id, name="another")

    def step(self, id: str = "", **changes: Any) -> Any:
        return message(self.thread_id, **{"id": id or new_id(), "output": "changed", **changes})

    def feedback(self) -> Feedback:
        return Feedback(forId=self.step_id, value=0, threadId=self.thread_id)

    async def state(self) -> str:
        """All that is stored of it; links are signed at each reading."""
        thread = await self.layer.get_thread(self.thread_id)
        for element in thread["elements"] if thread else ():
            element["url"] = ""
        return repr(thread)


CALLS: dict[str, Callable[[Target], Awaitable[Any]]] = {
    "get_user": lambda t: t.layer.get_user(t.alice.identifier),
    "create_user": lambda t: t.layer.create_user(User(identifier=new_id())),
    "upsert_feedback": lambda t: t.layer.upsert_feedback(t.feedback()),
    "delete_feedback": lambda t: t.layer.delete_feedback(t.feedback_id),
    "create_element": lambda t: t.layer.create_element(t.element()),
    "get_element": lambda t: t.layer.get_element(t.thread_id, t.element_id),
    "delete_element": lambda t: t.layer.delete_element(t.element_id, t.thread_id),
    "create_step": lambda t: t.layer.create_step(t.step()),
    "update_step": lambda t: t.layer.update_step(t.step(t.step_id)),
    "update_step without threadId": lambda t: t.layer.update_step({"id": t.step_id, "name": "x"}),
    "delete_step": lambda t: t.layer.delete_step(t.step_id),
    "get_step": lambda t: t.layer.get_step(t.step_id),
    "set_step_favorite": lambda t: t.layer.set_step_favorite(t.step(t.step_id), False),
    "get_favorite_steps": lambda t: t.layer.get_favorite_steps(t.alice.id),
    "get_thread_author": lambda t: t.layer.get_thread_author(t.thread_id),
    "get_thread": lambda t: t.layer.get_thread(t.thread_id),
    "update_thread": lambda t: t.layer.update_thread(t.thread_id, name="changed"),
    "delete_thread": lambda t: t.layer.delete_thread(t.thread_id),
    "list_threads": lambda t: listed(t.layer, t.alice),
}
READS = {name for name in CALLS if name.startswith(("get", "list", "create_user"))}
ARCHITECTURE = Path(__file__).parents[2] / "docs" / "architecture.md"


def enter_context(name: str, socket: Socket, target: Target, bob: Any) -> None:
    """Enter a context of the table."""
    kind, _, who = name.partition(" ")
    users = {
        "session with `cl.User`": User(identifier=target.alice.identifier),
        "session without a user": None,
        "without a user": None,
        "of the owner": target.alice,
    }
    user = users.get(who, bob)
    if kind == "HTTP":
        init_http_context(user=user)
    if kind == "socket":
        inside = who in ("of the owner", "of another, in the thread")
        socket.enter(target.thread_id if inside else new_id()).user = user


async def outcome(name: str, method: str, target: Target, socket: Socket, bob: Any) -> str:
    before = await target.state()
    try:
        result = await run_in(
            lambda: enter_context(name, socket, target, bob), lambda: CALLS[method](target)
        )
    except NotTheAuthor:
        return "refused" if await target.state() == before else "refused, but done"
    if method in READS:
        return "done" if result else "nothing"
    return "done" if await target.state() != before else "nothing"


async def test_a_method_does_what_it_says_or_raises(
    layer: Any, alice: Any, bob: Any, socket: Socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "_data_layer", None)  # The context of a script writes nothing.
    monkeypatch.setattr(data, "_data_layer_initialized", True)
    lines = ARCHITECTURE.read_text().splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith(("| M", "| `"))]
    start = next(number for number, row in enumerate(rows) if row[0] == "Method")
    table = {row[0].replace("`", ""): row[1:] for row in rows[start : start + 1 + len(CALLS)]}
    contexts = table.pop("Method")
    assert table.keys() == CALLS.keys()
    found = {}
    for method in CALLS:
        targets = [await Target.make(layer, alice, new_id()) for _ in contexts]
        found[method] = [
            await outcome(name, method, target, socket, bob)
            for name, target in zip(contexts, targets, strict=True)
        ]
    assert found == table


async def test_what_does_not_exist_is_deleted_already(
    layer: Any, alice: Any, bob: Any, socket: Socket
) -> None:
    target = await Target.make(layer, alice, new_id())
    socket.enter(target.thread_id).user = alice
    for _ in range(2):
        await layer.delete_element(target.element_id, target.thread_id)
        await layer.delete_step(target.step_id)
    assert target.step_id not in await steps_of(layer, target.thread_id)
    # The same ids in a thread of bob's: hers were deleted, whatever a repeated deletion finds.
    theirs = await thread(layer, bob)
    await layer.create_step(message(theirs, id=target.step_id))
    await layer.delete_step(target.step_id)
    assert await steps_of(layer, theirs)


async def test_a_refusal_is_logged_once(
    layer: Any, alice: Any, bob: Any, socket: Socket, caplog: pytest.LogCaptureFixture
) -> None:
    target = await Target.make(layer, alice, new_id())
    socket.enter(new_id()).user = bob
    for method in ("delete_step", "delete_element", "create_element"):
        caplog.clear()
        task = asyncio.create_task(CALLS[method](target))  # Chainlit drops it.
        await asyncio.wait([task])
        del task
        gc.collect()
        [record] = [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert "'bob@example.org' is not the author of" in record.getMessage()


PLANTS: dict[str, Callable[[Any, str], Awaitable[Any]]] = {
    "step": lambda layer, thread_id: layer.create_step(message(thread_id)),
    "element": lambda layer, thread_id: layer.create_element(file_element(thread_id)),
    "name": lambda layer, thread_id: layer.update_thread(thread_id, name="Bob's"),
    "deletion": lambda layer, thread_id: layer.delete_step("a step"),
    "deletion of an element": lambda layer, thread_id: layer.delete_element("an element"),
}


@pytest.mark.parametrize("plant", PLANTS)
async def test_nothing_of_another_is_in_a_thread_when_its_owner_comes(
    layer: Any, alice: Any, bob: Any, socket: Socket, plant: str
) -> None:
    thread_id = new_id()

    async def begin() -> None:
        await layer.create_step(message(thread_id, id="a step"))
        await layer.create_element(file_element(thread_id, id="an element"))
        await layer.update_thread(thread_id, name="Alice's", user_id=alice.id)

    def enter(user: Any) -> Callable[[], None]:
        return lambda: setattr(socket.enter(thread_id), "user", user)

    await run_in(enter(bob), lambda: PLANTS[plant](layer, thread_id))
    if plant.startswith("deletion"):
        await run_in(enter(alice), begin)
        assert list(await steps_of(layer, thread_id)) == ["a step"]
        assert list(await elements_of(layer, thread_id)) == ["an element"]
        return
    with pytest.raises(NotTheAuthor):
        await run_in(enter(alice), begin)
    assert await layer.get_thread_author(thread_id) == bob.identifier
    assert await listed(layer, alice) == []


async def test_a_feedback_before_the_first_message_begins_its_authors_thread(
    chainlit: Site, alice: Any, bob: Any, socket: Socket
) -> None:
    layer, thread_id, greeting = chainlit.layer, new_id(), message("")
    feedback = {"forId": greeting["id"], "threadId": thread_id, "value": 1}
    body, headers = {"sessionId": "none", "feedback": feedback}, bearer(f"Bearer {token(ALICE)}")
    answer = await chainlit.request("PUT", "/feedback", body, headers)
    assert answer.is_success, answer.text
    socket.enter(thread_id).user = bob
    with pytest.raises(NotTheAuthor):
        await layer.update_thread(thread_id, user_id=bob.id)
    socket.enter(thread_id).user = alice
    await layer.create_step(greeting | {"threadId": thread_id})
    await layer.update_thread(thread_id, user_id=alice.id)
    assert (await steps_of(layer, thread_id))[greeting["id"]]["feedback"]["value"] == 1
    assert thread_id in await listed(layer, alice)
