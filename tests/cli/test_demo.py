"""`demo`: conversations that last, on a machine where nothing was set up."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.chat import Chat
from tests.cli.conftest import Command
from tests.cli.programs import App
from tests.servers.ports import free_port
from tests.until import until

Serve = Callable[..., App]


@pytest.mark.full
async def test_a_conversation_is_there_again_after_a_restart(serve: Serve, folder: Path) -> None:
    app = serve("demo")
    client = app.log_in("ada", "demo")
    async with Chat(client) as chat:
        await chat.wait_for_greeting()
        await chat.say("how many words are these")
        await chat.say("a red house", command="Picture")
        thread_id = chat.thread_id
        await until(lambda: is_greeted(thread(client, thread_id)))
    # Chainlit saves the session's metadata some time after the browser has left.
    await until(lambda: "questions" in thread(client, thread_id)["metadata"])
    before = thread(client, thread_id)
    app.stop()

    app = serve("demo")
    # The same login: the secret of the cookie was kept too.
    client.base_url = httpx.URL(app.url)
    assert [found["id"] for found in app.threads(client)] == [thread_id]
    assert without_urls(thread(client, thread_id)) == without_urls(before)
    outputs = [step["output"] for step in before["steps"]]
    assert "how many words are these" in outputs
    assert any("has 5 words" in output for output in outputs)
    types = {step["name"]: step["type"] for step in before["steps"]}
    assert types["analyse"] == types["count words"] == "tool"
    files = {element["name"]: element for element in thread(client, thread_id)["elements"]}
    assert set(files) == {"report.txt", "picture.svg", "tasklist"}
    report = client.get(files["report.txt"]["url"]).raise_for_status()
    assert report.text == "characters: 24\nwords: 5"
    image = client.get(files["picture.svg"]["url"]).raise_for_status()
    assert image.text.startswith("<svg")
    async with Chat(client, thread_id) as chat:
        await chat.wait_for("resume_thread")
        await chat.say("and now")
    assert any("Question 3" in step["output"] for step in thread(client, thread_id)["steps"])


def is_greeted(saved: dict[str, Any]) -> bool:
    """Chainlit saves what it held back until the first message beside answering it."""
    return any(step["name"] == "on_chat_start" and step["end"] for step in saved["steps"])


def thread(client: httpx.Client, thread_id: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/project/thread/{thread_id}").raise_for_status().json()
    return found


def without_urls(found: dict[str, Any]) -> dict[str, Any]:
    """Links to files are signed anew each time."""
    elements = [{**element, "url": None} for element in found["elements"]]
    return {**found, "elements": elements}


def test_it_says_where_things_are_and_writes_nowhere_else(serve: Serve, folder: Path) -> None:
    # The folder is that of another app, whose settings are none of the demo's business.
    other = {"DATABASE_URL": "postgresql://nobody@localhost:1/none", "BUCKET_NAME": "no-bucket"}
    (folder / ".env").write_text("CHAINLIT_AUTH_SECRET=of-the-other-app\nSLACK_BOT_TOKEN=x\n")
    app = serve("demo", **other)
    root = folder / ".chainlit_sqla" / "demo"
    for text in (f"http://localhost:{app.port}", "the password is: demo", str(root), "Ctrl+C"):
        assert text in app.said
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
