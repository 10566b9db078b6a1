"""``upgrade``, ``downgrade`` and ``current``."""

from __future__ import annotations

from typing import Annotated

import typer

from . import revisions
from .options import Schema, Url, settings_for
from .prompts import agreed
from .runtime import complete


def upgrade(
    revision: Annotated[str, typer.Argument(help="Where to go: a revision, or head.")] = "head",
    url: Url = None,
    schema: Schema = None,
) -> None:
    """Make the tables or bring them up to date.

    Safe to run again, and from several machines at once.
    """
    change = complete(revisions.upgrade(settings_for(url, schema), revision))
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
    target, loss = complete(revisions.plan_downgrade(settings, revision))
    if loss and not yes:
        typer.echo(loss)
        refusal = "Nothing was changed, for there is no terminal to ask on; add --yes"
        if not agreed("Go on?", refusal=refusal):
            typer.echo("Nothing was changed.")
            raise typer.Exit(1)
    typer.echo(str(complete(revisions.downgrade(settings, target))))


def current(url: Url = None, schema: Schema = None) -> None:
    """Show the revision of the tables.

    Exit code 1 unless it is the one that this release needs.
    """
    state = complete(revisions.state(settings_for(url, schema)))
    typer.echo(str(state))
    if not state.up_to_date:
        raise typer.Exit(1)
