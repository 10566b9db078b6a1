"""`run` gives an app without a data layer one that keeps its conversations."""

from __future__ import annotations

import socket
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from chainlit_sqla.storage.local.route import FILES_PATH
from tests.cli.conftest import Command
from tests.cli.programs import ROOT, SECONDS, App, run_program
from tests.servers.ports import free_port
from tests.servers.postgres import PostgresServer

EXAMPLES = ROOT / "examples"
SECRET = {"CHAINLIT_AUTH_SECRET": "a-secret-for-tests-that-is-long-enough"}
Serve = Callable[..., App]
Example = Callable[[str], str]

BARE = """
import chainlit as cl

@cl.on_message
async def answer(message):
    await cl.Message("Hello").send()
"""
OWN_LAYER = """
import chainlit as cl
from chainlit_sqla import SQLADataLayer

@cl.data_layer
def data_layer():
    return SQLADataLayer()
"""


def users(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [name for (name,) in connection.execute("SELECT identifier FROM users")]


@pytest.mark.full
@pytest.mark.parametrize(
    ("module", "arguments", "below"),
    [
        ("chainlit", ["run", str(EXAMPLES / "with_data_layer.py")], ""),
        ("uvicorn", ["mounted_fastapi:app", "--app-dir", str(EXAMPLES)], "/chat"),
    ],
)
def test_the_examples_keep_their_users(
    serve: Serve, folder: Path, module: str, arguments: list[str], below: str
) -> None:
    app = serve(*arguments, module=module, below=below, **SECRET)
    client = app.log_in("ada", "secret")
    assert client.get("/project/settings").json()["dataPersistence"] is True
    app.stop()
    assert users(folder / ".chainlit_sqla" / "chainlit.db") == ["ada"]


def test_an_unmodified_app_keeps_its_users(serve: Serve, example: Example, folder: Path) -> None:
    app = serve("run", example("minimal_app.py"), **SECRET)
    # The page may have been open before: links to files work right after the start.
    altered = httpx.get(app.url + FILES_PATH + "/none", trust_env=False)
    assert altered.status_code == 403
    client = app.log_in("ada", "secret")
    assert app.threads(client) == []
    assert client.get("/project/settings").json()["dataPersistence"] is True
    assert app.stop() == 0
    assert users(folder / ".chainlit_sqla" / "chainlit.db") == ["ada"]
    assert f"Conversations are stored in SQLite at sqlite:///{folder}" in app.said
    assert f"attachments in file://{folder}/.chainlit_sqla/files." in app.said
    assert "Warning" not in app.said


def test_database_url_does_not_select_chainlits_own_layer(
    serve: Serve, example: Example, cli: Command, database: str, postgres: PostgresServer
) -> None:
    assert cli("upgrade", "--url", database).code == 0
    app = serve("run", example("minimal_app.py"), DATABASE_URL=database, **SECRET)
    assert app.threads(app.log_in("ada", "secret")) == []
    app.stop()
    rows = postgres.execute("SELECT identifier FROM users", url=database)
    assert [row[0] for row in rows] == ["ada"]


@pytest.mark.full
def test_the_env_file_and_the_options_of_chainlit(
    serve: Serve, example: Example, folder: Path
) -> None:
    lines = [f"{name}={value}" for name, value in SECRET.items()]
    (folder / ".env").write_text("\n".join([*lines, "DATABASE_URL=sqlite:///from_file.db"]))
    options = ["--host", "127.0.0.1", "--root-path", "/below"]
    app = serve("run", "-d", *options, example("minimal_app.py"), "--no-cache", below="/below")
    assert app.threads(app.log_in("ada", "secret")) == []
    app.stop()
    assert users(folder / "from_file.db") == ["ada"]
    assert "POST /below/project/threads" in app.said  # The access log, by -d.


def test_a_port_in_use_is_reported(program: Command, example: Example, folder: Path) -> None:
    with socket.socket() as used:
        used.bind(("127.0.0.1", 0))
        used.listen()
        port = str(used.getsockname()[1])
        options = ["--headless", "--port", port, "--host", "0.0.0.0"]
        result = program("run", example("minimal_app.py"), *options, **SECRET)
    assert result.code == 1
    assert f"Port {port} of 0.0.0.0 cannot be used" in result.err
    assert "choose another with --port and --host" in result.err
    assert "Traceback" not in result.err
    for port in ("99999", "http"):
        result = program("run", example("minimal_app.py"), "-h", "--port", port, CHAINLIT_HOST="")
        assert (result.code, result.err.count("\n")) == (1, 1)
        assert result.err.startswith(f"Error: Port {port} of 127.0.0.1 cannot be used (")


def test_the_apps_own_data_layer_wins_and_gets_the_url(
    serve: Serve, example: Example, folder: Path
) -> None:
    (folder / "app.py").write_text(Path(example("minimal_app.py")).read_text() + OWN_LAYER)
    options = ["--url", "sqlite:///given.db", "--host", "127.0.0.1"]
    app = serve("run", *options, "app.py", DATABASE_URL="sqlite:///no.db", **SECRET)
    app.log_in("ada", "secret")
    app.stop()
    assert "Using the app's own @cl.data_layer." in app.said
    assert users(folder / "given.db") == ["ada"]
    assert not (folder / "no.db").exists()


@pytest.mark.full
def test_the_layer_remains_after_a_reload(serve: Serve, example: Example, folder: Path) -> None:
    """With --watch Chainlit forgets all that was registered, and DATABASE_URL is set."""
    text = Path(example("minimal_app.py")).read_text()
    (folder / "app.py").write_text(text)
    url = {"DATABASE_URL": "sqlite:///chats.db"}
    app = serve("run", "-w", "app.py", **SECRET, **url)
    changed = text.replace('"secret"', '"changed"')
    # The server answers before it watches.
    app.wait_for("Reloading app", lambda: (folder / "app.py").write_text(changed))
    client = log_in_when_reloaded(app)
    assert app.threads(client) == []
    app.stop()
    assert users(folder / "chats.db") == ["ada"]


def log_in_when_reloaded(app: App) -> httpx.Client:
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            return app.log_in("ada", "changed")
        except httpx.HTTPStatusError:
            assert time.monotonic() < deadline, app.said
            time.sleep(0.05)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name a Chainlit app"),
        (["--headless"], "name a Chainlit app"),
        (["app.txt"], "not 'app.txt'"),
        (["none.py"], "the file 'none.py' does not exist"),
    ],
)
def test_a_missing_app(cli: Command, folder: Path, arguments: list[str], words: str) -> None:
    (folder / "app.txt").touch()
    result = cli("run", *arguments)
    assert result.code == 2
    assert words in result.err
    assert {path.name for path in folder.iterdir()} == {"app.txt"}


def test_what_the_app_needs_is_checked_before_chainlit_starts(
    program: Command, example: Example, folder: Path, database: str, without_google: dict[str, str]
) -> None:
    unreachable = f"postgresql://me:secret@127.0.0.1:{free_port()}/x"
    result = program("run", example("minimal_app.py"), "-h", DATABASE_URL=unreachable)
    assert result.err.startswith("Error: PostgreSQL at 127.0.0.1:")
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert list(folder.iterdir()) == []
    environments = {
        "run: chainlit-sqla upgrade": {"DATABASE_URL": database},
        "Error: Google Cloud Storage needs an optional package": SECRET | without_google,
        "chainlit create-secret": {},
        "write it as gs://bucket/prefix": SECRET | {"CHAINLIT_SQLA_STORAGE": "gcs://attachments"},
    }
    for words, variables in environments.items():
        result = program("run", example("minimal_app.py"), "-h", **variables)
        assert result.code == 1
        assert words in result.err
        assert "Traceback" not in result.err


def test_an_error_in_the_app_or_its_options_is_shown(program: Command, folder: Path) -> None:
    (folder / "app.py").write_text("import chainlit\n\nboom = 1 / 0\n")
    result = program("run", "app.py", "-h")
    assert result.code == 1
    assert 'app.py", line 3' in result.err
    assert "ZeroDivisionError" in result.err
    result = program("run", "app.py", "--nonsense")
    assert result.code == 2
    assert "--nonsense" in result.err


@pytest.mark.full
def test_storage_that_fails_is_reported_at_the_start(serve: Serve, example: Example) -> None:
    store = f"s3://attachments?endpoint=http://127.0.0.1:{free_port()}"
    keys = {"APP_AWS_ACCESS_KEY": "key", "APP_AWS_SECRET_KEY": "secret"}
    app = serve("run", example("minimal_app.py"), CHAINLIT_SQLA_STORAGE=store, **keys, **SECRET)
    assert app.threads(app.log_in("ada", "secret")) == []
    app.stop()
    assert "Warning: attachments will not be stored. Cannot write " in app.said


def test_what_the_app_lacks_is_said(serve: Serve, program: Command, folder: Path) -> None:
    (folder / "app.py").write_text(BARE)
    app = serve("run", "app.py", DATABASE_URL="", BUCKET_NAME="")
    assert app.stop() == 0
    assert "Note: app.py has no login, and Chainlit shows past conversations only" in app.said
    assert "Note: app.py has no @cl.on_chat_resume" in app.said
    empty = (
        "Not used, since empty: DATABASE_URL, BUCKET_NAME; conversations are stored in sqlite:///"
    )
    assert app.said.count(empty) == 1
    (folder / "app.py").write_text("import chainlit\n")
    result = program("run", "app.py", "-h")
    assert result.code == 1
    assert result.err.startswith("Error: app.py has no @cl.on_message")


def test_a_login_without_a_secret(program: Command, example: Example) -> None:
    # Chainlit starts with an empty one, and fails at each login.
    result = program("run", example("minimal_app.py"), "-h", CHAINLIT_AUTH_SECRET="")
    repair = "has a login, which needs CHAINLIT_AUTH_SECRET; run: chainlit create-secret"
    assert result.code == 1
    assert result.err.startswith(f"Error: minimal_app.py {repair}")
    assert result.err.count("\n") == 1


def test_plain_chainlit_does_not_start_without_tables(
    folder: Path, database: str, example: Example
) -> None:
    command = [sys.executable, "-m", "chainlit", "run", example("with_data_layer.py"), "-h"]
    port = ["--port", str(free_port())]
    for url, words in (
        (database, "has no tables yet, this release needs"),
        ("postgres//x", "Cannot parse the database URL"),
    ):
        result = run_program([*command, *port], folder, SECRET | {"CHAINLIT_DATABASE_URL": url})
        assert result.code == 1
        (line,) = [line for line in result.out.splitlines() if " INFO " not in line]
        assert "Not started: " in line
        assert words in line
        assert "Your app is available" not in result.out
        assert result.err == ""


def test_plain_chainlit_has_its_layer_before_the_first_request(
    serve: Serve, example: Example
) -> None:
    app = serve("run", example("with_data_layer.py"), module="chainlit", **SECRET)
    # By the layer's route; without it, Chainlit answers with its page.
    assert httpx.get(app.url + FILES_PATH + "/none", trust_env=False).status_code == 403
    assert app.threads(app.log_in("ada", "secret")) == []


def test_plain_chainlit_starts_before_its_database(serve: Serve, example: Example) -> None:
    url = f"postgresql://me:secret@127.0.0.1:{free_port()}/x"
    variables = SECRET | {"CHAINLIT_DATABASE_URL": url}
    app = serve("run", example("with_data_layer.py"), module="chainlit", **variables)
    app.wait_for("Not read yet: postgresql://me:***@127.0.0.1")  # Said after a moment of grace.
