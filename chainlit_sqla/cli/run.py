"""``run``: ``chainlit run`` with conversations that last."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ..database import migrator as migrations
from ..errors import StorageError
from ..settings import Settings
from ..storage.base import StorageClient
from ..storage.config import storage_from, storage_url
from ..storage.urls import shown_url
from .launch import launch
from .options import Schema, Url, describe_database, given_options, open_database, settings_for
from .runtime import run_async

_STORE_SECONDS = 15
_SUFFIXES = {".py", ".py3"}


def run(
    context: typer.Context,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="APP [OPTIONS]", help="The app's file; all other options go to chainlit run."
        ),
    ] = None,
    url: Url = None,
    schema: Schema = None,
) -> None:
    """Run a Chainlit app with this data layer.

    The app needs no change. The database is checked first, and its tables are made where
    that is allowed (CHAINLIT_SQLA_AUTO_UPGRADE; on SQLite it is). An app's own
    @cl.data_layer wins. The other options are those of "chainlit run": -w, -h, --host, --port,
    --root-path and the others that "chainlit run --help" lists.
    """
    given = [*(arguments or []), *context.args]
    check_app(given)
    settings = settings_for(url, schema)
    for field, value in given_options(url, schema).items():
        # For a layer that the app makes itself.
        os.environ[Settings.variables(field)[0]] = value
    # Settings that cannot work are told before anything is started.
    storage = storage_from(settings)
    place = run_async(prepare(settings))
    if trouble := run_async(look_at_store(storage)):
        typer.echo(f"Warning: files will not be stored. {trouble}", err=True)
    files = shown_url(storage_url(settings))
    launch(given, settings, f"Conversations are kept in {place}, files in {files}.")


def check_app(arguments: Sequence[str]) -> None:
    """See that an app is named and there, before anything else is done.

    Raises:
        typer.BadParameter: It is not.
    """
    names = [word for word in arguments if not word.startswith("-")]
    app = next((name for name in names if Path(name).suffix in _SUFFIXES), None)
    if app is None and not (app := os.environ.get("RUN_TARGET")):
        named = f" ({names[0]!r} is none)" if names else ""
        raise typer.BadParameter(f"name a Chainlit app, a .py file{named}", param_hint="APP")
    if not Path(app).is_file():
        raise typer.BadParameter(f"there is no file {app!r}", param_hint="APP")


async def look_at_store(storage: StorageClient) -> str:
    """Try the store, since an app whose files are lost looks well until they are missed.

    Returns:
        What is wrong; empty: nothing.
    """
    try:
        async with asyncio.timeout(_STORE_SECONDS):
            await storage.check()
    except StorageError as error:
        return str(error)
    except TimeoutError:
        return "The store does not answer; run: chainlit-sqla doctor"
    finally:
        await storage.close()
    return ""


async def prepare(settings: Settings) -> str:
    """Make sure that the database can be used, and leave no connection to it open.

    Returns:
        The database for people.
    """
    async with open_database(settings) as database:
        await migrations.ensure(database)
        return describe_database(database)
