"""Who may change what: by Chainlit's own routes, in a browser's session, and in the app's code."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from chainlit import data
from chainlit.auth import create_jwt, get_current_user
from chainlit.config import config
from chainlit.server import app
from chainlit.types import Feedback
from chainlit.user import User

from tests.contract.build import said, steps_of, thread


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

    async def share(self, shared: bool) -> None:
        body = {"threadId": self.thread_id, "isShared": shared}
        headers = ("Authorization", f"Bearer {token('alice@example.org')}")
        assert (await self.request("PUT", "/project/thread/share", body, headers)).is_success


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
async def unguarded(chainlit: Site, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    """Chainlit's server before its first request, which creates the layer."""
    routes, overrides = list(chainlit.app.router.routes), dict(chainlit.app.dependency_overrides)
    installed = chainlit.app.state.chainlit_sqla_routes
    chainlit.app.router.routes[:] = [route for route in routes if route not in installed]
    chainlit.app.dependency_overrides.clear()
    yield chainlit
    chainlit.app.router.routes[:] = routes
    chainlit.app.dependency_overrides |= overrides


async def test_the_first_request_after_a_start_is_refused(unguarded: Site, bob: Any) -> None:
    headers = bearer(f"Bearer {token('bob@example.org')}")
    assert min(await unguarded.attack(headers)) >= 403
    assert await unguarded.feedback() == (1, "Clear")
