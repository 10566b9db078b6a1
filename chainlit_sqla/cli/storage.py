"""``storage``: compare the store with the database, and copy its files to another store."""

from __future__ import annotations

import shlex
from collections import Counter
from contextlib import closing, suppress
from typing import Annotated

import typer
from rich.filesize import decimal

from ..errors import ConfigurationError, StorageError
from ..queries import elements as queries
from ..settings import Settings
from ..storage.consistency_check import Problem, Report, StorageCheck
from ..storage.copy import CopyResult, copy_blobs
from ..storage.local.client import LocalStorage
from ..storage.local.folder import blob_digest
from ..storage.open_store import mask_storage_url, open_storage, storage_from
from .options import (
    Schema,
    Url,
    Yes,
    closed_at_end,
    describe_place,
    open_database,
    settings_for,
)
from .output import confirm, format_table, plural, progress
from .runtime import exit_interrupted, forward_warnings, run_async

app = typer.Typer(help="Look after the files of conversations.", no_args_is_help=True)

_LISTED = 20


@app.command()
def check(
    fix: Annotated[
        bool, typer.Option("--fix", help="Delete orphaned files and those in the deletion queue.")
    ] = False,
    owns_store: Annotated[
        bool,
        typer.Option(
            "--own-store",
            help="No other database uses the store: files of unknown conversations are orphaned.",
        ),
    ] = False,
    yes: Yes = False,
    list_all: Annotated[
        bool, typer.Option("--all", help=f"List all problems, not the first {_LISTED} of a kind.")
    ] = False,
    url: Url = None,
    schema: Schema = None,
) -> None:
    """Compare the files in the store with the conversations in the database.

    Finds files that are missing, files of another size than the database says, and orphaned
    files: older than a day, and of no conversation that the database still has. The application
    may run meanwhile. --fix deletes orphaned files, what unfinished uploads left, and what waits
    in the deletion queue; it changes no conversation. Files of conversations that were deleted by
    SQL are of unknown conversations, as are those of another database. CHAINLIT_SQLA_STORAGE
    names the store.

    Exit code 0 if all files fit, else 1.
    """
    check = _check(
        settings_for(url, schema), list_all=list_all, fix=fix, yes=yes, owns_store=owns_store
    )
    if not run_async(check):
        raise typer.Exit(1)


@app.command()
def copy(
    source: Annotated[
        str, typer.Option("--from", metavar="URL", help="The store to copy from; it is only read.")
    ],
    target: Annotated[str, typer.Option("--to", metavar="URL", help="The store to copy to.")],
    url: Url = None,
    schema: Schema = None,
) -> None:
    """Copy the files of all conversations in the database to another store.

    Copies what the target lacks, and reads each file back to compare its size and SHA-256. An
    interrupted copy continues when the same command is run again. Files uploaded during a copy
    are taken by a second run. Nothing is deleted, and the application keeps its store. URLs are
    those of CHAINLIT_SQLA_STORAGE. A file passes through the temporary folder (TMPDIR).

    Exit code 0 if the target has all files, 1 if one is missing or failed, 130 after Ctrl+C.
    """
    settings = settings_for(url, schema)
    for option, value in (("--from", source), ("--to", target)):
        if not value.strip():
            raise ConfigurationError(f"{option} is empty; give it a URL such as s3://bucket")
    if source == target:
        raise ConfigurationError(
            f"{mask_storage_url(source)} is both source and target; name two stores"
        )
    try:
        result = run_async(_copy(source, target, settings))
    except KeyboardInterrupt:
        exit_interrupted("Interrupted. Run the same command again to continue.")
    copied = f"{plural(result.copied, 'file')} ({decimal(result.copied_bytes)}) copied and verified"
    existing = f"{result.existing:,} already in the target"
    typer.echo(f"{copied}, {existing}, {result.failed:,} failed.")
    for key, reason in result.failures:
        _echo_error(reason if repr(key) in reason else f"{key!r}: {reason}")
    if result.failed:
        raise StorageError(
            f"{plural(result.failed, 'file')} not copied; correct what is said above, and run the "
            "same command again"
        )
    if result.missing:
        raise StorageError(
            f"{plural(result.missing, 'file')} of conversations are in neither store (the first: "
            f"{result.first_missing!r}); if they should be there, correct --from (a folder is read "
            "only in the layout of chainlit-sqla), else list them with: chainlit-sqla storage check"
        )
    if result.processed and settings.storage_url != target:
        typer.echo(
            "The application keeps its store. To switch, stop it, run this command again for the "
            "files uploaded meanwhile, and start it with "
            f"CHAINLIT_SQLA_STORAGE={shlex.quote(mask_storage_url(target))}"
        )


async def _copy(source: str, target: str, settings: Settings) -> CopyResult:
    source_store, target_store = open_storage(source, settings), open_storage(target, settings)
    if isinstance(source_store, LocalStorage) and not source_store.root.is_dir():
        raise ConfigurationError(
            f"There is no folder {source_store.root} to copy from; "
            f"correct {mask_storage_url(source)}"
        )
    async with (
        closed_at_end(source_store),
        closed_at_end(target_store),
        open_database(settings, needs_tables=True) as database,
    ):
        total = await database.read(queries.count_element_blobs)
        pages = queries.element_blobs(database)
        keys = (row.objectKey async for rows in pages for row in rows)
        with progress() as watch, forward_warnings(_echo_error):
            await target_store.check()
            return await copy_blobs(keys, source_store, target_store, total=total, progress=watch)


async def _check(
    settings: Settings, *, list_all: bool, fix: bool, yes: bool, owns_store: bool
) -> bool:
    """Print a report, and delete orphans if asked to; returns whether all files fit now."""
    storage = storage_from(settings)
    lines: list[str] = []
    counts: Counter[str] = Counter()

    def add_problem(problem: Problem) -> None:
        counts[problem.kind] += 1
        if list_all or counts[problem.kind] <= _LISTED:
            lines.append(_format_problem(problem, on_disk=isinstance(storage, LocalStorage)))

    async with closed_at_end(storage), open_database(settings, needs_tables=True) as database:
        comparison = StorageCheck(database, storage, on_problem=add_problem, owns_store=owns_store)
        with closing(comparison) as task:
            with progress() as watch, forward_warnings(lines.append):
                report = await task.run(watch)
            typer.echo("\n".join(describe_place(database, settings)))
            _print_report(report, lines)
            question = (
                f"Delete {plural(report.orphaned, 'orphaned file')}, "
                f"{plural(report.unfinished, 'unfinished upload')} and "
                f"{plural(report.queued, 'file')} of the deletion queue?"
            )
            if fix and report.deletable + report.queued and (yes or confirm(question)):
                result = await task.fix()
                typer.echo(f"Deleted {plural(result.deleted, 'file')}.")
                result.raise_if_waiting()
            elif report.deletable:
                return False
            return not report.missing + report.wrong_size


def _print_report(report: Report, lines: list[str]) -> None:
    rows = [
        ("conversations' files by the database", report.rows),
        ("files in the store", report.blobs),
        ("missing", report.missing),
        ("wrong size", report.wrong_size),
        ("orphaned", report.orphaned),
        ("unfinished uploads", report.unfinished),
        ("waiting in the deletion queue", report.queued),
        ("without a row, but younger than a day", report.young),
        ("of unknown conversations", report.unknown),
        ("of other software", report.foreign),
    ]
    table = format_table([(name, f"{number:,}") for name, number in rows])
    typer.echo("\n".join([*table, "", *lines]))
    if report.unknown:
        typer.echo(
            f"{plural(report.unknown, 'file')} of conversations that this database does not know: "
            "deleted by SQL, or of another database. If no other database uses this store, delete "
            "them with: chainlit-sqla storage check --fix --own-store"
        )
    listed = len([line for line in lines if not line.startswith("Warning")])
    if more := report.missing + report.wrong_size + report.orphaned - listed:
        typer.echo(f"... and {more:,} more (--all lists them)")
    if report.missing and report.missing == report.rows:
        typer.echo(
            "None of the database's files is in this store. Check CHAINLIT_SQLA_STORAGE or "
            "BUCKET_NAME, and CHAINLIT_DATABASE_URL."
        )
    elif report.missing + report.wrong_size:
        typer.echo(
            "Restore files that are missing or have the wrong size from a backup, under their "
            "keys, or delete their elements in the application (docs/storage.md)."
        )


def _format_problem(problem: Problem, *, on_disk: bool) -> str:
    fields = [problem.kind, _printable(problem.key)]
    if problem.thread_id:
        fields.append(f"thread={_printable(problem.thread_id)}")
        fields.append(f"element={_printable(problem.element_id)} name={problem.name!r}")
    if problem.row_size is not None:
        fields.append(f"size={problem.row_size}")
    if problem.stored_size is not None:
        fields.append(f"stored={problem.stored_size}")
    if on_disk:
        with suppress(StorageError):  # A key that no store accepts.
            digest = blob_digest(problem.key)
            fields.append(f"file={digest[:2]}/{digest}.*")
    return " ".join(fields)


def _printable(text: str) -> str:
    return text if text.isprintable() else repr(text)


def _echo_error(text: str) -> None:
    typer.echo(text, err=True)
