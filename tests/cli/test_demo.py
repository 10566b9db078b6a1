"""`demo`: conversations that last, on a machine where nothing was set up."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.conftest import Command
from tests.cli.programs import App
from tests.e2e.chat import Chat
from tests.e2e.person import Person
from tests.servers.ports import free_port
from tests.until import until

Serve = Callable[..., App]


@pytest.mark.full
async def test_a_conversation_is_there_again_after_a_restart(
    serve: Serve, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The demo greets without a file.
    monkeypatch.setattr(Chat, "_is_greeted", lambda chat: chat.count("task_end") >= 2)
    app = serve("demo")
    async with Person(app.url, "ada", "demo") as ada:
        chat = await ada.talk("how many words are these")
        await chat.send("a red house", command="Picture")
        await chat.disconnect(clear=False)

        async def is_saved() -> bool:
            # Chainlit saves the session's metadata some time after the browser has left.
            return "questions" in (await ada.thread(chat.thread))["metadata"]

        await until(is_saved)
        before = await ada.thread(chat.thread)
        app.stop()

        app = serve("demo")
        # The same login: the secret of the cookie was kept too.
        ada.url, ada.http.base_url = app.url, httpx.URL(app.url)
        assert list(await ada.threads()) == [chat.thread]
        saved = await ada.thread(chat.thread)
        assert without_urls(saved) == without_urls(before)
        outputs = [step["output"] for step in saved["steps"]]
        assert "how many words are these" in outputs
        assert any("has 5 words" in output for output in outputs)
        types = {step["name"]: step["type"] for step in saved["steps"]}
        assert types["analyse"] == types["count words"] == "tool"
        urls = {element["name"]: element["url"] for element in saved["elements"]}
        assert set(urls) == {"report.txt", "picture.svg", "tasklist"}
        assert (await ada.http.get(urls["report.txt"])).text == "characters: 24\nwords: 5"
        assert (await ada.http.get(urls["picture.svg"])).text.startswith("<svg")
        resumed = await ada.chat(chat.thread)
        await resumed.send("and now")
        assert any("Question 3" in answer for answer in resumed.answers())


def without_urls(thread: dict[str, Any]) -> dict[str, Any]:
    """Links to files are signed anew each time."""
    elements = [{**element, "url": None} for element in thread["elements"]]
    return {**thread, "elements": elements}


def test_it_says_where_things_are_and_writes_nowhere_else(serve: Serve, folder: Path) -> None:
    # The folder is that of another app, whose settings are none of the demo's business.
    other = {"DATABASE_URL": "postgresql://nobody@localhost:1/none", "BUCKET_NAME": "no-bucket"}
    (folder / ".env").write_text("CHAINLIT_AUTH_SECRET=of-the-other-app\nSLACK_BOT_TOKEN=x\n")
    app = serve("demo", **other)
    root = folder / ".chainlit_sqla" / "demo"
    for text in (f"http://localhost:{app.port}", "the password is: demo", str(root), "Ctrl+C"):
        assert text in app.said
    # The page for logging in says it, too.
    for language in ("en-US", "de-DE"):
        words = httpx.get(f"{app.url}/project/translations?language={language}", trust_env=False)
        title = words.json()["translation"]["auth"]["login"]["title"]
        assert title == "Log in with any name; the password is: demo"
    app.log_in("ada", "demo")
    with pytest.raises(httpx.HTTPStatusError, match="401"):
        app.log_in("ada", "wrong")
    secret = root / "auth_secret"
    assert secret.stat().st_mode & 0o777 == 0o600
    assert len(secret.read_text()) >= 32
    app.stop()
    assert {path.name for path in folder.iterdir()} == {".env", ".chainlit_sqla", app.log.name}
    assert {path.name for path in (folder / ".chainlit_sqla").iterdir()} == {".gitignore", "demo"}


def test_a_port_in_use(cli: Command, folder: Path) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        port = taken.getsockname()[1]
        result = cli("demo", "--port", str(port))
    assert result.code == 1
    assert result.err.startswith(f"Error: Port {port} of 127.0.0.1 cannot be used")
    assert "choose another with --port" in result.err
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_written(cli: Command, folder: Path) -> None:
    (folder / ".chainlit_sqla").touch()
    result = cli("demo", "--port", str(free_port()))
    assert result.code == 1
    assert "Cannot write to the folder" in result.err
    assert result.err.count("\n") == 1
