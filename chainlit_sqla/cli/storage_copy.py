"""``storage copy``."""

from __future__ import annotations

import shlex
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.filesize import decimal

from ..errors import ConfigurationError, StorageError
from ..settings import Settings
from ..storage.copy import PARALLEL, Plan, Result, Transfer
from ..storage.copy_endpoints import Ends
from ..storage.journal import Amount, Journal
from ..storage.urls import shown_url
from .copy_progress import Display
from .runtime import EXIT_INTERRUPTED, forward_warnings, run_async


def copy(
    source: Annotated[
        str, typer.Option("--from", metavar="URL", help="The store to copy from; stays as it is.")
    ],
    target: Annotated[str, typer.Option("--to", metavar="URL", help="The store to copy to.")],
    parallel: Annotated[
        int, typer.Option("--parallel", min=1, metavar="N", help="Blobs copied at once.")
    ] = PARALLEL,
    journal: Annotated[
        Path | None,
        typer.Option(
            "--journal",
            metavar="FILE",
            help="Where to keep what is copied already; a file in CHAINLIT_SQLA_DATA_DIR "
            "unless named.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell what would be copied.")
    ] = False,
) -> None:
    """Copy all files of conversations to another store.

    Each is read back and compared by its SHA-256. Interrupted, it goes on where it was when
    the same command is run again; run again after its end, it copies what came since: once
    more when the application is stopped, before it starts with the new store. Nothing is
    deleted, and the application goes on using the store that it has. URLs are those of
    CHAINLIT_SQLA_STORAGE. A file passes through the temporary folder (TMPDIR).

    Exit code 0 when all is copied, 1 when something is not, 130 after Ctrl+C.
    """
    settings = Settings.load()
    ends = ends_of(source, target, settings)
    try:
        if dry_run:
            plan = run_async(_plan(ends))
            typer.echo(_planned(plan, source))
            return
        result = run_async(_copy(ends, journal or default_journal(ends, settings), parallel))
    except KeyboardInterrupt:
        again = "" if dry_run else " Run the same command again to go on."
        typer.echo(f"Interrupted.{again}", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    typer.echo(done(result, source))
    if result.failed or result.stopped:
        complain(result)
    if result.copied.blobs + result.kept.blobs and settings.storage_url != target:
        typer.echo(
            "Nothing was switched. If the application is running, stop it and run this command "
            "once more, for files that came meanwhile; then start it with "
            f"CHAINLIT_SQLA_STORAGE={shlex.quote(shown_url(target))}"
        )


def ends_of(source: str, target: str, settings: Settings) -> Ends:
    """Open the two stores of a copy.

    Args:
        source: The URL of the store to copy from.
        target: The URL of the store to copy to.
        settings: The settings.

    Raises:
        ConfigurationError: Both are the same store, or a URL cannot be used.
    """
    for option, value in (("--from", source), ("--to", target)):
        if not value.strip():
            raise ConfigurationError(f"{option} is empty; give it a URL such as s3://bucket")
    return Ends.open(source, target, settings)


def default_journal(ends: Ends, settings: Settings) -> Path:
    """Where to keep what is copied already, unless a file was named.

    Args:
        ends: The two stores.
        settings: The settings.

    Raises:
        StorageError: The folder cannot be made.
    """
    folder = settings.data_path
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"Cannot make the folder {folder} for the journal ({error.strerror}); "
            "name a file by --journal, or set CHAINLIT_SQLA_DATA_DIR"
        ) from error
    return folder / f"storage-copy-{ends.digest}.db"


@asynccontextmanager
async def transfer_of(
    ends: Ends, path: Path | None, parallel: int = PARALLEL
) -> AsyncIterator[tuple[Transfer, Journal]]:
    """A copy that shows how far it is, with its journal; the stores are closed at the end.

    Args:
        ends: The two stores.
        path: The journal's file; None: nothing is kept.
        parallel: Blobs copied at once.
    """
    async with aclosing(ends):
        names = str(ends.source_place), str(ends.target_place)
        with Journal(path, *names) as journal, Display() as display, forward_warnings(display.say):
            yield (
                Transfer(ends.source, ends.target, journal, parallel=parallel, watch=display.show),
                journal,
            )


async def _plan(ends: Ends) -> Plan:
    async with transfer_of(ends, None) as (transfer, _):
        return await transfer.plan()


async def _copy(ends: Ends, path: Path, parallel: int) -> Result:
    async with transfer_of(ends, path, parallel) as (transfer, _):
        return await transfer.run()


def _planned(plan: Plan, source: str) -> str:
    if not plan.todo.blobs:
        return _empty(source, "--from")
    missing = plan.todo - plan.there
    there = (
        f"; {_amount(plan.there, '')} are there already, with the same size"
        if plan.there.blobs
        else ""
    )
    return f"{_amount(missing)} would be copied{there}. Nothing was written."


def done(result: Result, source: str, option: str = "--from") -> str:
    """Say what a copy did.

    Args:
        result: Of the copy.
        source: The URL of the store that was copied.
        option: Which option named it.
    """
    words = [f"{_amount(result.copied)} copied and verified, {result.failed:,} failed."]
    if not (result.copied.blobs or result.kept.blobs or result.failed or result.gone):
        words = [_empty(source, option)]
    if result.kept.blobs:
        words.append(f"{_amount(result.kept)} were there already, verified.")
    if result.gone:
        words.append(f"{result.gone:,} were deleted from the source meanwhile.")
    if result.left_over:
        words.append(
            f"{result.left_over:,} of the target are no longer in the source: "
            "`chainlit-sqla storage check` on the new store finds such leftovers when they are "
            "an hour old."
        )
    return " ".join(words)


def _empty(source: str, option: str) -> str:
    return f"There are no blobs in {shown_url(source)}; if there should be some, correct {option}."


def _amount(amount: Amount, noun: str = " blob") -> str:
    plural = "s" if noun and amount.blobs != 1 else ""
    return f"{amount.blobs:,}{noun}{plural} ({decimal(amount.size)})"


def complain(result: Result) -> NoReturn:
    """Tell what was not copied.

    Args:
        result: Of the copy.

    Raises:
        StorageError: Always.
    """
    for key, reason in result.failures:
        typer.echo(reason if repr(key) in reason else f"{key!r}: {reason}", err=True)
    if more := result.failed - len(result.failures):
        typer.echo(f"... and {more:,} more", err=True)
    if result.stopped:
        raise StorageError(
            f"{result.stopped}, so something is wrong with a store; correct that and run the "
            "same command again to go on"
        )
    what, them = (
        ("1 blob was", "it") if result.failed == 1 else (f"{result.failed:,} blobs were", "these")
    )
    raise StorageError(f"{what} not copied; run the same command again to try {them} again")
