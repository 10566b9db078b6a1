"""The commands ``run`` and ``demo``: start Chainlit in this process with this data layer.

Chainlit creates folders and reads ``.env`` when it is imported, so it is imported late, when the
database is known to work.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import demo as demo_files
from ..database import migrator
from ..errors import ChainlitSqlaError, ConfigurationError, StorageError
from ..settings import Settings
from ..storage.base import StorageClient
from ..storage.open_store import mask_storage_url, storage_from, storage_url
from .app_checks import HANDLERS, NEEDS_SIGNATURE, NO_HANDLER, missing_callbacks, unsafe_chainlit
from .options import Schema, Url, describe_database, given_options, open_database, settings_for
from .runtime import run_async

_STORAGE_SECONDS = 15
_APP_SUFFIXES = {".py", ".py3"}
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_ALL_INTERFACES = {"0.0.0.0", "::"}  # noqa: S104


def run(
    context: typer.Context,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="APP [OPTIONS]",
            help="The file of the app; other options are passed to chainlit run.",
        ),
    ] = None,
    url: Url = None,
    schema: Schema = None,
) -> None:
    """Run a Chainlit app with this data layer.

    The app needs no change; an app's own @cl.data_layer takes precedence. The database is checked
    first, and its tables are created or upgraded if CHAINLIT_SQLA_AUTO_UPGRADE allows it, as it
    does by default on SQLite. All options of "chainlit run" are accepted, such as -w, -h, --host,
    --port and --root-path; "chainlit run --help" lists them.
    """
    chainlit_arguments = [*(arguments or []), *context.args]
    _check_app(chainlit_arguments)
    settings = settings_for(url, schema)
    for field, value in given_options(url, schema).items():
        # A data layer that the app makes itself reads the environment.
        os.environ[Settings.variables(field)[0]] = value
    storage = storage_from(settings)
    database = run_async(_prepare_database(settings))
    if problem := run_async(_check_storage(storage)):
        typer.echo(f"Warning: attachments will not be stored. {problem}", err=True)
    files = mask_storage_url(storage_url(settings))
    announcement = f"Conversations are stored in {database}, attachments in {files}."
    if problem := unsafe_chainlit():
        typer.echo(f"Warning: {problem}", err=True)
    _run_chainlit(chainlit_arguments, settings, announcement)


def demo(
    port: Annotated[
        int, typer.Option("--port", min=1, max=65535, help="The port to listen on.")
    ] = 8000,
    host: Annotated[
        str, typer.Option("--host", help="The address to listen on; 0.0.0.0 for all.")
    ] = "127.0.0.1",
    headless: Annotated[bool, typer.Option("--headless", help="Do not open a browser.")] = False,
) -> None:
    """Run a small demo app.

    It stores its conversations in a SQLite file and its attachments in a local folder, both below
    .chainlit_sqla/demo in the current folder. It ignores the environment and .env, except for
    CHAINLIT_AUTH_SECRET.
    """
    _check_port(host, port)  # Before anything is written.
    root = demo_files.create_folder(Path.cwd())
    settings = demo_files.settings(root)
    demo_files.enter(root)
    run_async(_prepare_database(settings))
    shown_host = "localhost" if host in _LOOPBACK | _ALL_INTERFACES else host
    lines = [
        f"Open    http://{shown_host}:{port}",
        f"Log in  with any name; the password is: {demo_files.PASSWORD}",
        f"Data    {root} (delete this folder to start over)",
        "Stop    Ctrl+C; the conversations are still there after the next start",
    ]
    if host not in _LOOPBACK:
        lines.append(f"Note    anyone who can reach port {port} can log in")
    options = ["--host", host, "--port", str(port), *(["--headless"] if headless else [])]
    _run_chainlit([str(demo_files.APP), *options], settings, "\n".join(lines))


def _check_app(arguments: Sequence[str]) -> None:
    """Check that an app is named and exists, before anything else is done."""
    names = [argument for argument in arguments if not argument.startswith("-")]
    app = next((name for name in names if Path(name).suffix in _APP_SUFFIXES), None)
    if app is None and not (app := os.environ.get("RUN_TARGET")):
        wrong = f", not {names[0]!r}" if names else ""
        raise typer.BadParameter(f"name a Chainlit app, a .py file{wrong}", param_hint="APP")
    if not Path(app).is_file():
        raise typer.BadParameter(f"the file {app!r} does not exist", param_hint="APP")


def _check_port(host: str, port: int | str) -> None:
    """Check that the server can listen: Chainlit exits with 0 if it cannot."""
    try:
        if int(port) >= 2**16:
            raise ValueError("a port is less than 65536")
        addresses = socket.getaddrinfo(
            host or None, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, kind, protocol, _, address in addresses:
            with socket.socket(family, kind, protocol) as listener:
                if os.name == "posix":  # As the server does: a port that was just left is free.
                    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                listener.bind(address)
    except (OSError, OverflowError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(
            f"Port {port} of {host} cannot be used ({reason}); stop the program that listens on "
            "it, or choose another with --port and --host"
        ) from None


async def _prepare_database(settings: Settings) -> str:
    """Check the database and its tables, close every connection again, and describe it."""
    async with open_database(settings) as database:
        await migrator.ensure(database)
        return describe_database(database)


async def _check_storage(storage: StorageClient) -> str:
    """Return what is wrong with the storage: an app seems to work until attachments are missed."""
    try:
        async with asyncio.timeout(_STORAGE_SECONDS):
            await storage.check()
    except StorageError as error:
        return str(error)
    except TimeoutError:
        return "The storage does not respond; run: chainlit-sqla doctor"
    finally:
        await storage.close()
    return ""


def _run_chainlit(arguments: Sequence[str], settings: Settings, announcement: str) -> None:
    """Run ``chainlit run`` with our layer for an app that has none, which is announced."""
    import chainlit.cli
    from chainlit.auth import require_login
    from chainlit.config import config
    from chainlit.data import get_data_layer

    def make_layer() -> Any:
        from ..data_layer import SQLADataLayer

        return SQLADataLayer(settings=settings)

    cli: Any = chainlit.cli
    load_module: Callable[..., None] = cli.load_module
    run_server: Callable[[str], None] = cli.run_chainlit

    def run_app(target: str) -> None:
        # Chainlit has put its options into the environment by now.
        for name in ("CHAINLIT_HOST", "CHAINLIT_PORT"):
            if os.environ.get(name) == "":
                del os.environ[name]
        host = os.environ.get("CHAINLIT_HOST", cli.DEFAULT_HOST)
        _check_port(host, os.environ.get("CHAINLIT_PORT", cli.DEFAULT_PORT))
        run_server(target)

    def load_app(target: str, *args: Any, **kwargs: Any) -> None:
        try:
            load_module(target, *args, **kwargs)
        except ChainlitSqlaError:
            raise
        except Exception:  # An error of the app, shown to its author as Python shows it.
            traceback.print_exc()
            raise SystemExit(1) from None
        login = bool(require_login())  # type: ignore[no-untyped-call]
        _check_callbacks(Path(target).name, config.code, login=login)
        # At a reload (--watch), Chainlit forgets what is registered but keeps the layer in use.
        if config.code.data_layer is make_layer:
            get_data_layer()  # type: ignore[no-untyped-call]
            typer.echo(announcement, err=True)
            return
        typer.echo("Using the app's own @cl.data_layer.", err=True)
        if "chainlit_sqla.data_layer" in sys.modules:
            get_data_layer()  # type: ignore[no-untyped-call]  # Its errors show now.

    # An app's own @cl.data_layer replaces this one when it is loaded; and with one registered,
    # Chainlit does not take its own layer for DATABASE_URL.
    config.code.data_layer = make_layer
    cli.run_chainlit, cli.load_module = run_app, load_app
    cli.cli.main(args=["run", *arguments], prog_name="chainlit-sqla")


def _check_callbacks(app: str, callbacks: Any, *, login: bool) -> None:
    """Say what the app lacks for its users to see their conversations."""
    if not any(getattr(callbacks, name, None) for name in HANDLERS):
        raise ConfigurationError(f"{app} {NO_HANDLER}")
    if login and not os.environ.get("CHAINLIT_AUTH_SECRET"):
        raise ConfigurationError(f"{app} {NEEDS_SIGNATURE}")
    for text in missing_callbacks(login=login, resume=callbacks.on_chat_resume is not None):
        typer.echo(f"Note: {app} {text}", err=True)
