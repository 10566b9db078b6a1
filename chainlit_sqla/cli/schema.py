"""``upgrade``, ``downgrade`` and ``current``."""

from __future__ import annotations

from typing import Annotated

import typer

from . import revisions
from .options import Schema, Url, settings_for
from .output import confirm
from .runtime import run_async


def upgrade(
    revision: Annotated[str, typer.Argument(help="Where to go: a revision, or head.")] = "head",
    url: Url = None,
    schema: Schema = None,
) -> None:
    """Make the tables or bring them up to date.

    Safe to run again, and from several machines at once.
    """
    change = run_async(revisions.upgrade(settings_for(url, schema), revision))
    typer.echo(str(change))


def downgrade(
    revision: Annotated[str, typer.Argument(help="Where to go: a revision, -1, or base.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: Url = None,
    schema: Schema = None,
) -> None:
    """Take the tables back to an older revision.

    What that revision cannot hold is lost; "base" drops all tables of chainlit-sqla. Make a
    backup first.
    """
    settings = settings_for(url, schema)
    target, loss = run_async(revisions.plan_downgrade(settings, revision))
    if loss and not yes:
        typer.echo(loss)
        refusal = "Nothing was changed, for there is no terminal to ask on; add --yes"
        if not confirm("Go on?", refusal=refusal):
            typer.echo("Nothing was changed.")
            raise typer.Exit(1)
    typer.echo(str(run_async(revisions.downgrade(settings, target))))


def current(url: Url = None, schema: Schema = None) -> None:
    """Show the revision of the tables.

    Exit code 1 unless it is the one that this release needs.
    """
    state = run_async(revisions.state(settings_for(url, schema)))
    typer.echo(str(state))
    if not state.up_to_date:
        raise typer.Exit(1)
