"""The commands ``adopt`` and ``unadopt``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from .._internal.aio import Watch, quiet
from ..database import Database
from ..dialects import driver_error
from ..errors import DatabaseUnavailable
from ..settings import Settings
from ..transfer.in_place import (
    Adoption,
    BackupRemoval,
    InPlaceChange,
    Report,
    Unadoption,
    dry_run_database,
)
from .options import Schema, Url, Yes, describe_database, open_database, settings_for
from .output import KIND_NAMES, confirm, format_reasons, format_table, plural, progress
from .runtime import exit_interrupted, run_async, signals_as_interrupt

Change = Callable[[Database, Watch], InPlaceChange]

DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Do everything, roll it back, and print what would change. It takes as long as the "
        "change itself and locks the tables meanwhile; a SQLite file is copied into the folder "
        "for temporary files instead (TMPDIR).",
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

_TABLES_REPLACED = (
    "The tables in {database} will be replaced.",
    "Stop the application, and make a backup first.",
)
_BACKUP_REMOVED = (
    "The tables …_before_adoption in {database} will be removed for good.",
    "They are the backup of the adoption: without them, unadopt has only today's conversations.",
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

    def change(database: Database, watch: Watch) -> InPlaceChange:
        kind = BackupRemoval if drop_old else Adoption
        return kind(database, drop_dependents=drop_dependents, watch=watch)

    _run(
        change,
        settings_for(url, schema),
        _backup_lines if drop_old else _adoption_lines,
        dry_run,
        yes,
        _BACKUP_REMOVED if drop_old else _TABLES_REPLACED,
    )


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

    def change(database: Database, watch: Watch) -> InPlaceChange:
        return Unadoption(database, file, drop_dependents=drop_dependents, watch=watch)

    _run(change, settings_for(url, schema), _unadoption_lines, dry_run, yes, _TABLES_REPLACED)


def _run(
    make: Change,
    settings: Settings,
    lines: Callable[[Report], Iterator[str]],
    dry_run: bool,
    yes: bool,
    warning: tuple[str, str],
) -> None:
    """Check, ask, change and report."""
    change: InPlaceChange | None = None
    try:
        with signals_as_interrupt(), ExitStack() as stack:
            if dry_run:
                database = stack.enter_context(dry_run_database(settings))
            else:
                database = Database(settings=settings)
                nothing_to_do = run_async(_check(make, settings))
                if nothing_to_do is None and not yes and not _confirmed(database, warning):
                    typer.echo("No changes made.")
                    raise typer.Exit(1)
            change = make(database, stack.enter_context(progress()))
            report = run_async(_change(change, database, dry_run))
    except KeyboardInterrupt:
        committing = change is not None and change.committing
        state = "The change was nearly complete" if committing else "No changes made"
        exit_interrupted(f"Interrupted. {state}; run the same command again.")
    if report.nothing_to_do:
        typer.echo(f"{report.nothing_to_do}; nothing to do.")
        return
    typer.echo(describe_database(database) + (": dry run, no changes made" if dry_run else ""))
    for line in lines(report):
        typer.echo(line)


def _confirmed(database: Database, warning: tuple[str, str]) -> bool:
    return confirm(
        "Continue?",
        *(line.format(database=describe_database(database)) for line in warning),
        refusal="No changes made: confirmation needs a terminal. Try --dry-run, make a backup, "
        "then re-run with --yes",
    )


async def _check(make: Change, settings: Settings) -> str | None:
    """Check what would be changed; reading a file must neither create nor convert it."""
    try:
        async with open_database(settings, read_only=True) as database:
            return await make(database, quiet).check()
    except DatabaseUnavailable as error:
        name = getattr(driver_error(error.__cause__ or error), "sqlite_errorname", "")
        if not name.startswith("SQLITE_READONLY"):
            raise
    # What a killed process left in a file can only be read by a login that may write.
    async with open_database(settings) as database:
        return await make(database, quiet).check()


async def _change(change: InPlaceChange, database: Database, dry_run: bool) -> Report:
    try:
        return await change.run(dry_run=dry_run)
    except Exception:
        if (task := asyncio.current_task()) and task.cancelling():
            raise asyncio.CancelledError from None  # The error follows from Ctrl+C.
        raise
    finally:
        await database.close()


def _adoption_lines(report: Report) -> Iterator[str]:
    quarantined = {
        kind: sum(count for (k, _), count in report.quarantined.items() if k == kind)
        for kind in KIND_NAMES
    }
    yield from _counts(report, "quarantined", quarantined)
    title = "In the table chainlit_sqla_quarantine:"
    yield from format_reasons(title, report.quarantined, KIND_NAMES)
    title = "Copied, but for a value that is in the table chainlit_sqla_quarantine:"
    yield from format_reasons(title, report.partly_quarantined, KIND_NAMES)
    if report.unknown_columns:
        names = ", ".join(report.unknown_columns)
        yield f"Columns that are not ours, kept in extra and in the old tables: {names}"
    yield from _dependents(report, "kept on the renamed table")
    if report.grants:
        yield "Permissions are not copied. To grant them again:"
        yield from (f"  {grant};" for grant in report.grants)
    yield "The old tables stay as …_before_adoption; to drop them: chainlit-sqla adopt --drop-old"
    yield from _summary(report)


def _unadoption_lines(report: Report) -> Iterator[str]:
    yield from _counts(report, "incomplete", report.in_file)
    if report.in_file:
        counts = ", ".join(f"{kind}: {count:,}" for kind, count in sorted(report.in_file.items()))
        where = report.file or "a file"
        entries = ", and the entries of the quarantine," if "quarantined" in report.in_file else ""
        yield (
            f"Records that Chainlit's tables do not hold completely{entries} are in {where} "
            f"({counts})."
        )
    yield from _dependents(report, "dropped with the table")
    yield from _summary(report)


def _backup_lines(report: Report) -> Iterator[str]:
    for kind, count in report.before.items():
        yield f"Dropped {KIND_NAMES[kind]}_before_adoption with {plural(count, 'row')}"
    yield from _dependents(report, "dropped with the table")


def _counts(report: Report, last: str, counts: dict[str, int]) -> Iterator[str]:
    rows = [("", "before", "after", last)]
    for kind, name in KIND_NAMES.items():
        rows.append(
            (
                name,
                f"{report.before[kind]:,}",
                f"{report.after[kind]:,}",
                f"{counts.get(kind, 0):,}",
            )
        )
    yield from format_table(rows)


def _dependents(report: Report, attached: str) -> Iterator[str]:
    for dependent in report.dependents:
        state = "Dropped" if dependent.drop else attached.capitalize()
        yield f"{state}: {dependent}. To create it again:"
        yield from (f"  {statement};" for statement in dependent.create)


def _summary(report: Report) -> Iterator[str]:
    yield f"{plural(report.threads, 'thread')} compared, {report.seconds:.1f} s"
