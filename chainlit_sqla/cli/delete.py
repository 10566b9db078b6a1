"""The command ``delete``: conversations, or users with everything that is stored of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated

import typer
from rich.filesize import decimal

from ..errors import ConfigurationError
from ..settings import Settings
from ..storage.open_store import storage_from
from ..transfer.deletion import DeletionResult, count_selected, delete_selected
from ..transfer.selection import Selection
from .options import (
    Schema,
    Threads,
    Url,
    Users,
    Yes,
    closed_at_end,
    describe_place,
    open_database,
    settings_for,
)
from .output import confirm, format_table, plural, progress
from .runtime import exit_interrupted, run_async, signals_as_interrupt

_NOUNS = {
    "users": "user",
    "threads": "conversation",
    "steps": "step",
    "elements": "element",
    "feedbacks": "feedback",
}


def delete(
    users: Users = None,
    threads: Threads = None,
    before: Annotated[
        str | None,
        typer.Option(
            "--before",
            metavar="DATE",
            help="Last activity before this day (2026-01-31, in UTC) or time.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be deleted; delete nothing.")
    ] = False,
    yes: Yes = False,
    url: Url = None,
    schema: Schema = None,
) -> None:
    """Delete conversations for good: their rows, and their files in the store.

    --user and --thread can be repeated and match any of their values; a conversation must meet
    every kind of condition. --user alone also deletes the user, who is a new one at the next
    login. The application may run meanwhile: what it still writes to a deleted conversation is
    dropped. An interrupted deletion continues when the same command is run again.
    CHAINLIT_SQLA_STORAGE names the store. See docs/deleting.md.

    Exit code 0 if everything is deleted; 1 after an error, or if files wait to be deleted; 130
    after Ctrl+C.
    """
    if not (users or threads or before):
        raise ConfigurationError("Nothing to delete: add --user, --thread or --before")
    selection = Selection.parse(users=users, threads=threads, before=before)
    try:
        with signals_as_interrupt():
            result = run_async(
                _delete(settings_for(url, schema), selection, dry_run=dry_run, yes=yes)
            )
    except KeyboardInterrupt:
        exit_interrupted("Interrupted. Run the same command again to continue.")
    if result is None:
        return
    deleted = ", ".join(plural(result.rows[table], noun) for table, noun in _NOUNS.items())
    typer.echo(f"Deleted {deleted} and {plural(result.files.deleted, 'file')}.")
    if result.rows["threads"]:
        kept = plural(result.rows["threads"], "tombstone")
        typer.echo(f"Late writes of a running application are dropped ({kept}).")
    result.files.raise_if_waiting()


async def _delete(
    settings: Settings, selection: Selection, *, dry_run: bool, yes: bool
) -> DeletionResult | None:
    async with (
        closed_at_end(storage_from(settings)) as storage,
        open_database(settings, needs_tables=True) as database,
    ):
        counts = await count_selected(database, selection)
        typer.echo("\n".join([*describe_place(database, settings), *_describe(counts)]))
        what = [plural(counts[table], _NOUNS[table]) for table in ("threads", "users")]
        question = f"Delete {' and '.join(what)} for good?"
        is_empty = not counts["threads"] + counts["users"]  # Files of an earlier run may wait.
        if dry_run or not (yes or is_empty or confirm(question)):
            typer.echo("Nothing was deleted.")
            return None
        with progress() as watch:
            return await delete_selected(database, storage, selection, watch)


def _describe(counts: Mapping[str, int]) -> Iterator[str]:
    rows = [(f"{noun}s", f"{counts[table]:,}") for table, noun in _NOUNS.items()]
    rows.append(("files", f"{counts['files']:,} ({decimal(counts['bytes'])})"))
    yield from format_table(rows)
    if counts["quarantined"]:
        yield (
            f"Not searched: {plural(counts['quarantined'], 'row')} that an import could not store, "
            "in chainlit_sqla_quarantine"
        )
