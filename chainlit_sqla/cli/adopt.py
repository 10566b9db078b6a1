"""The commands ``adopt`` and ``unadopt``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ..database import Database
from ..errors import DatabaseUnavailable
from ..settings import Settings
from ..transfer.in_place import Adoption, BackupRemoval, InPlaceChange, Report, Unadoption
from ..transfer.records import count_by_kind
from .options import Schema, Url, Yes, describe_database, open_database, settings_for
from .output import KIND_NAMES, confirm, format_reasons, format_table, plural, progress
from .runtime import exit_interrupted, run_async, signals_as_interrupt

DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Do everything, roll it back, and print what would change. It takes as long as the "
        "change itself and locks the tables meanwhile.",
    ),
]
DropDependents = Annotated[
    bool,
    typer.Option(
        "--drop-dependents",
        help="Drop the views, policies, triggers and foreign keys that depend on the tables, and "
        "print the statements that create them.",
    ),
]
DropOld = Annotated[
    bool,
    typer.Option(
        "--drop-old",
        help="Drop the tables that an earlier adoption renamed, instead of adopting.",
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        metavar="FILE",
        help="The file for records that Chainlit's tables cannot hold; "
        "default: chainlit-sqla-unadopted-TIME.jsonl in the current folder.",
    ),
]

_REPLACED = (
    "The tables in {database} will be replaced.\nStop the application, and make a backup first."
)
_BACKUP_REMOVED = (
    "The tables …_before_adoption in {database} will be removed for good.\n"
    "They are the backup of the adoption: without them, unadopt has only today's conversations."
)


def adopt(
    dry_run: DryRun = False,
    drop_dependents: DropDependents = False,
    drop_old: DropOld = False,
    yes: Yes = False,
    url: Url = None,
    schema: Schema = None,
) -> None:
    """Take over a database of Chainlit's SQLAlchemy layer, in place.

    Any variant of the tables, on PostgreSQL or SQLite. Stop the application first. Chainlit's
    tables are renamed to …_before_adoption and stay as the backup; their conversations are copied
    into new tables and compared. Rows that these cannot hold go into the table
    chainlit_sqla_quarantine. Everything is one transaction: after an interruption, the database is
    as it was. `chainlit-sqla unadopt` goes back.
    """
    kind, warning = (BackupRemoval, _BACKUP_REMOVED) if drop_old else (Adoption, _REPLACED)
    make = partial(kind, drop_dependents=drop_dependents)
    _run(make, settings_for(url, schema), dry_run, yes, warning)


def unadopt(
    dry_run: DryRun = False,
    drop_dependents: DropDependents = False,
    output: Output = None,
    yes: Yes = False,
    url: Url = None,
    schema: Schema = None,
) -> None:
    """Give a database back to Chainlit's own SQLAlchemy layer, with today's conversations.

    Stop the application first. The tables that an adoption renamed get what changed since, and
    their names back; a database without them gets the tables that Chainlit documents. Records that
    Chainlit's tables cannot hold are written to a file for `chainlit-sqla import`. Everything is
    one transaction.
    """
    file = output or Path(f"chainlit-sqla-unadopted-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.jsonl")
    make = partial(Unadoption, file=file, drop_dependents=drop_dependents)
    _run(make, settings_for(url, schema), dry_run, yes, _REPLACED)


def _run(
    make: Callable[..., InPlaceChange],
    settings: Settings,
    dry_run: bool,
    yes: bool,
    warning: str,
) -> None:
    Database(settings=settings, read_only=True)  # Refuses a file that does not exist.
    database = Database(settings=settings, limits=False)
    change: InPlaceChange | None = None
    report = Report()
    try:
        if not dry_run and not yes:
            with suppress(DatabaseUnavailable):  # The change says so, or recovers the file.
                report = run_async(_check(make, settings))
        if not dry_run and not yes and not report.nothing_to_do:
            refusal = (
                "No changes made: confirmation needs a terminal. Try --dry-run, make a backup, "
                "then re-run with --yes"
            )
            question = warning.format(database=describe_database(database))
            if not confirm("Continue?", question, refusal=refusal):
                typer.echo("No changes made.")
                raise typer.Exit(1)
        if not report.nothing_to_do:
            with signals_as_interrupt(), progress() as watch:
                change = make(database, watch=watch)
                report = run_async(_change(change, database, dry_run))
    except KeyboardInterrupt:
        committing = change is not None and change.committing
        state = "The change was nearly complete" if committing else "No changes made"
        exit_interrupted(f"Interrupted. {state}; run the same command again.")
    if report.nothing_to_do:
        typer.echo(f"{report.nothing_to_do}; nothing to do.")
        return
    typer.echo(describe_database(database) + (": dry run, no changes made" if dry_run else ""))
    for line in _report_lines(report):
        typer.echo(line)
    if isinstance(change, Adoption):
        typer.echo("The old tables stay as …_before_adoption until: chainlit-sqla adopt --drop-old")


async def _check(make: Callable[..., InPlaceChange], settings: Settings) -> Report:
    """Check for reading only, so that a file does not change before the answer."""
    async with open_database(settings, read_only=True) as database:
        return await make(database).check()


async def _change(change: InPlaceChange, database: Database, dry_run: bool) -> Report:
    try:
        return await change.run(dry_run=dry_run)
    except Exception:
        if (task := asyncio.current_task()) and task.cancelling():
            raise asyncio.CancelledError from None  # The error follows from Ctrl+C.
        raise
    finally:
        await database.close()


def _report_lines(report: Report) -> Iterator[str]:
    rows = [("", "before", "after", "in the file" if report.in_file else "quarantined")]
    left_out = report.in_file + count_by_kind(report.quarantined)
    for kind, name in KIND_NAMES.items():
        before, after = f"{report.before[kind]:,}", f"{report.after[kind]:,}"
        rows.append((name, before, after, f"{left_out[kind]:,}"))
    if not report.dropped:
        yield from format_table(rows)
    for name, count in report.dropped.items():
        yield f"Dropped {name} with {plural(count, 'row')}"
    title = "In the table chainlit_sqla_quarantine:"
    yield from format_reasons(title, report.quarantined, KIND_NAMES)
    title = "Copied, but for a value that is in the table chainlit_sqla_quarantine:"
    yield from format_reasons(title, report.partly_quarantined, KIND_NAMES)
    if report.unknown_columns:
        names = ", ".join(report.unknown_columns)
        yield f"Columns that are not ours, kept in extra and in the old tables: {names}"
    if report.in_file:
        counts = ", ".join(f"{kind}: {count:,}" for kind, count in sorted(report.in_file.items()))
        yield (
            "Records that Chainlit's tables do not hold completely, and the entries of the "
            f"quarantine, are in {report.file or 'a file'} ({counts})."
        )
    for dependent in report.dependents:
        yield f"Dropped: {dependent.name}. To create it again:"
        yield f"  {dependent.create};"
    if report.revoked:
        yield report.revoked
    if report.threads:
        yield f"{plural(report.threads, 'thread')} compared, {report.seconds:.1f} s"
