"""``import --delete-missing``: what is told and asked before anything is deleted."""

from __future__ import annotations

from collections.abc import Iterator

import typer

from ..settings import Settings
from ..transfer.importing import Missing, Result
from ..transfer.importing.target import Target
from ..transfer.sources.jsonl import BAD
from .options import open_database
from .output import KIND_NAMES, confirm
from .runtime import run_async

_SHOWN = 20
_ONLY_THERE = "What an app has written only into the target is among them."
_NO_TERMINAL = (
    "Nothing was deleted, for there is no terminal to ask on; make a backup of the target, then "
    "add --yes"
)


def delete_missing(result: Result, settings: Settings, *, yes: bool) -> None:
    """Say what the target has and the source has not, ask, and delete it.

    Args:
        result: Of the import, after the comparison.
        settings: Of the target.
        yes: Whether not to ask.

    Raises:
        ConfigurationError: There is nobody to ask.
        typer.Exit: The answer was no, or it cannot be known what is missing.
    """
    missing = result.missing
    if missing is None:
        return
    if result.resumed:  # Whose threads the first part met is not known any more.
        typer.echo(
            "Nothing was deleted, since the import had been interrupted: run the same command "
            "once more.",
            err=True,
        )
        raise typer.Exit(1)
    if (reason := _doubt(result)) and missing.places:
        typer.echo(f"Nothing was deleted, since {reason}.", err=True)
        raise typer.Exit(1)
    if missing.stay:
        typer.echo(
            f"Threads in the target that stay, of users whom the source does not know: "
            f"{missing.stay:,}."
        )
    if not missing.places:
        typer.echo(
            f"The target has nothing {'else ' if missing.stay else ''}that the source has not."
        )
        return
    for line in told(missing):
        typer.echo(line)
    if not yes and not confirm("Delete it?", _ONLY_THERE, refusal=_NO_TERMINAL):
        typer.echo("Nothing was deleted.")
        raise typer.Exit(1)
    run_async(_delete(missing, settings, result.source))
    typer.echo(f"Deleted from the target: {_amount(missing)}.")


def _doubt(result: Result) -> str:
    """Why what seems to be missing in the source may be there; empty: it is not."""
    if bad := result.read[BAD]:
        lines = "1 line" if bad == 1 else f"{bad:,} lines"
        return (
            f"{lines} of {result.source} could not be read, and may be what is missing: export "
            "the file again and import that one"
        )
    if not result.read["thread"]:
        return f"{result.source} has no conversation at all: look whether it is the right source"
    return ""


def told(missing: Missing) -> Iterator[str]:
    """What would be deleted, as lines for people.

    Args:
        missing: It.
    """
    yield f"Only in the target, to be deleted for good: {_amount(missing)}."
    for id in missing.places[:_SHOWN]:
        rows = missing.rows.get(id)
        what = f"{len(rows):,} row{'' if len(rows) == 1 else 's'} of it" if rows else "all of it"
        yield f"  thread {id}: {what}"
    if (more := len(missing.places) - _SHOWN) > 0:
        yield f"  and {more:,} more threads"


def _amount(missing: Missing) -> str:
    counts = missing.counts
    return ", ".join(
        f"{name} {counts[kind]:,}" for kind, name in KIND_NAMES.items() if counts[kind]
    )


async def _delete(missing: Missing, settings: Settings, source: str) -> None:
    async with open_database(settings) as database:
        await missing.delete(Target(database, source))
