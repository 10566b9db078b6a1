"""``search``: build, drop and describe the database's index for searching messages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import typer

from ..database import Database
from ..queries import search_index
from .options import Schema, Url, open_database, settings_for
from .runtime import run_async

app = typer.Typer(help="Manage the search index.", no_args_is_help=True)


@app.command()
def enable(url: Url = None, schema: Schema = None) -> None:
    """Build the index that makes searches of long histories fast.

    Safe to run again: it completes or repairs an index whose building was interrupted.
    Conversations can be read and written meanwhile; each write costs more with the index.
    """
    _run(search_index.enable, url, schema)


@app.command()
def disable(url: Url = None, schema: Schema = None) -> None:
    """Drop the index; searches find the same without it."""
    _run(search_index.disable, url, schema)


@app.command()
def status(url: Url = None, schema: Schema = None) -> None:
    """Show the size and age of the index and whether searches use it."""
    _run(search_index.status, url, schema)


def _run(
    command: Callable[[Database], Awaitable[str]], url: str | None, schema: str | None
) -> None:
    settings = settings_for(url, schema)

    async def work() -> str:
        async with open_database(settings) as database:
            return await command(database)

    typer.echo(run_async(work()))
