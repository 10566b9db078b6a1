"""The command ``import``: its report and ``--delete-missing``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from ..database import migrator
from ..database.revision import revision_mismatch
from ..errors import ConfigurationError
from ..settings import Settings
from ..transfer.importing import LISTED, Comparison, Deletions, Import, Result
from ..transfer.sources import BAD_LINE, LAYERS, open_source
from .options import Schema, Url, Yes, describe_database, open_database, settings_for
from .output import KIND_NAMES, confirm, format_reasons, format_table, plural, progress
from .runtime import exit_interrupted, forward_warnings, run_async

_REPORTED_NAMES = {
    **KIND_NAMES,
    "tombstone": "deleted",
    "line": "bad lines",
    "quarantined": "from quarantine",
}
_COMPARED = set(KIND_NAMES)
_LISTED_THREADS = 20


def import_(
    source: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="URL|FILE",
            help="The database to import from, or a file made by `chainlit-sqla export`; "
            "it is only read.",
        ),
    ],
    source_schema: Annotated[
        str | None,
        typer.Option("--from-schema", metavar="NAME", help="The schema of the source's tables."),
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option(
            "--layer",
            metavar="|".join(LAYERS),
            help="Whose tables to read; detected by default.",
        ),
    ] = None,
    update: Annotated[
        bool,
        typer.Option("--update", help="Replace existing rows that differ from the source."),
    ] = False,
    verify_only: Annotated[
        bool, typer.Option("--verify-only", help="Only compare both sides; write nothing.")
    ] = False,
    delete_missing: Annotated[
        bool,
        typer.Option(
            "--delete-missing",
            help="Then delete from the target what the source does not have, such as what was "
            "deleted there since an earlier import; lists it, and asks.",
        ),
    ] = False,
    yes: Yes = False,
    url: Url = None,
    schema: Schema = None,
) -> None:
    """Import conversations from another database or a file.

    Reads the tables of Chainlit's asyncpg layer (Prisma), those of its SQLAlchemy layer in any
    variant, another database of chainlit-sqla, or a JSONL export. An interrupted import continues
    when the same command is run again; after its end, the command imports what was added since.
    Existing rows stay unchanged unless --update is given. At the end both sides are compared,
    thread by thread. The application may run meanwhile. Rows that our tables cannot hold are kept
    in the table chainlit_sqla_quarantine. Attachments stay in their store; `storage copy` copies
    them to another one.

    Exit code 0 when the target has everything that the source has, 1 when something differs, 130
    after Ctrl+C.
    """
    if layer is not None and layer not in LAYERS:
        raise ConfigurationError(f"--layer is {layer!r}; give one of {', '.join(LAYERS)}")
    if delete_missing and verify_only:
        raise ConfigurationError(
            "--verify-only writes nothing, --delete-missing deletes; give one of them"
        )
    try:
        settings = settings_for(url, schema)
        result = run_async(
            _run(
                settings,
                source,
                source_schema,
                layer,
                update=update,
                verify_only=verify_only,
                find_deletions=delete_missing,
            )
        )
        for line in report_lines(result, update=update):
            typer.echo(line)
        delete_from_target(result, settings, yes=yes)
    except KeyboardInterrupt:
        exit_interrupted("Interrupted. Run the same command again to continue.")
    if result.comparison is not None and not result.comparison.equal:
        raise typer.Exit(1)


async def _run(
    settings: Settings,
    location: str,
    source_schema: str | None,
    layer: str | None,
    *,
    update: bool,
    verify_only: bool,
    find_deletions: bool,
) -> Result:
    async with open_database(settings, read_only=verify_only) as database:
        if not verify_only:
            await migrator.ensure(database)
        elif mismatch := revision_mismatch(
            describe_database(database), await migrator.current(database)
        ):
            raise mismatch
        async with open_source(
            location, settings, schema=source_schema, layer=layer, target=database
        ) as source:
            if find_deletions and source.incomplete:
                raise ConfigurationError(
                    f"{source.title}: {source.incomplete} What it lacks may exist elsewhere; "
                    "import it without --delete-missing"
                )
            with progress() as watch, forward_warnings(lambda text: typer.echo(text, err=True)):
                work = Import(
                    source, database, update=update, watch=watch, find_deletions=find_deletions
                )
                result = await (work.compare() if verify_only else work.run())
            result.target = describe_database(database)
            return result


def report_lines(result: Result, *, update: bool) -> Iterator[str]:
    """The lines to print at the end.

    Args:
        result: The result of the import.
        update: Whether rows that differ were replaced.
    """
    yield f"From {result.source}"
    yield f"to {result.target}" + (", continued after an interruption" if result.resumed else "")
    yield from _count_lines(result)
    if result.rows:
        rate = result.rows / result.seconds if result.seconds else 0
        duration = f"{result.seconds:.1f} s ({rate:,.0f} rows/s, including the comparison)"
        yield f"{result.rows:,} rows in {duration}"
    if result.known_users:
        yield f"Users that already exist, by their identifier: {result.known_users:,}"
    if result.deleted:
        yield f"Not imported, since they were deleted in the target: {result.deleted:,}"
    title = "Quarantined (table chainlit_sqla_quarantine):"
    yield from format_reasons(title, result.quarantined, _REPORTED_NAMES)
    title = "Imported, but for values that were quarantined:"
    yield from format_reasons(title, result.partly_quarantined, _REPORTED_NAMES)
    yield from result.notes
    if result.comparison is not None:
        yield from _difference_lines(result.comparison, update=update, resumed=result.resumed)


def _count_lines(result: Result) -> Iterator[str]:
    comparison = result.comparison
    quarantined = dict.fromkeys(_REPORTED_NAMES, 0)
    for (kind, _), count in result.quarantined.items():
        quarantined[kind] += count
    in_source = result.read or (comparison.records if comparison else {})
    rows = [("", "in source", "in target", "quarantined", "different")]
    for kind, name in _REPORTED_NAMES.items():
        if not in_source.get(kind):
            continue
        is_compared = comparison is not None and kind in _COMPARED
        in_target = f"{comparison.in_target(kind):,}" if comparison and is_compared else ""
        different = f"{comparison.by_kind[kind]:,}" if comparison else ""
        rows.append((name, f"{in_source[kind]:,}", in_target, f"{quarantined[kind]:,}", different))
    if len(rows) == 1:
        yield "The source is empty."
        return
    yield from format_table(rows)


def _difference_lines(comparison: Comparison, *, update: bool, resumed: bool) -> Iterator[str]:
    threads = plural(comparison.threads, "thread")
    counts = comparison.counts
    if comparison.equal and not counts["more"]:
        yield f"Compared {threads}: no difference."
        return
    labels = {
        "missing": "missing in the target",
        "different": "different in the target",
        "more": "only in the target",
    }
    amounts = [f"{counts[what]:,} {label}" for what, label in labels.items() if counts[what]]
    yield f"Compared {threads}: {', '.join(amounts)}."
    for difference in comparison.differences:
        yield f"  {difference}"
    more = sum(counts[what] for what in labels) - len(comparison.differences)
    if more > 0 and len(comparison.differences) >= LISTED:
        yield f"  and {more:,} more"
    if counts["missing"] and resumed:
        yield (
            "The source has changed since the interruption: run the same command again to import "
            "what is missing."
        )
    if counts["different"] and not update:
        yield "To take the values of the source, run the same command with --update."


def delete_from_target(result: Result, settings: Settings, *, yes: bool) -> None:
    """List what only the target has, ask for confirmation, and delete it.

    Args:
        result: The result of the import; nothing happens if it did not look for deletions.
        settings: The settings of the target.
        yes: Whether to delete without asking.

    Raises:
        ConfigurationError: There is no terminal to ask on.
        typer.Exit: The answer was no, or the source may have what seems to be missing.
    """
    deletions = result.deletions
    if deletions is None:
        return
    if result.resumed:  # The threads of the interrupted run's part are unknown.
        _exit_undeleted("the import had been interrupted: run the same command once more")
    if (reason := _doubt(result)) and deletions.thread_ids:
        _exit_undeleted(reason)
    if deletions.kept_threads:
        typer.echo(
            "Threads in the target that stay, of users whom the source does not have: "
            f"{deletions.kept_threads:,}."
        )
    if not deletions.thread_ids:
        other = "else " if deletions.kept_threads else ""
        typer.echo(f"The target has nothing {other}that the source does not have.")
        return
    for line in deletion_lines(deletions):
        typer.echo(line)
    if not yes and not confirm(
        "Delete it?",
        "This includes what an app has written only into the target.",
        refusal="Nothing deleted: confirmation needs a terminal. Make a backup of the target, then "
        "re-run with --yes.",
    ):
        typer.echo("Nothing deleted.")
        raise typer.Exit(1)
    run_async(_delete(deletions, settings))
    typer.echo(f"Deleted from the target: {_amount(deletions)}.")


def _exit_undeleted(reason: str) -> None:
    typer.echo(f"Nothing deleted, since {reason}.", err=True)
    raise typer.Exit(1)


def _doubt(result: Result) -> str:
    """Why the source may have what seems to be missing in it; empty if it does not."""
    if bad_lines := result.read[BAD_LINE]:
        return (
            f"{plural(bad_lines, 'line')} of {result.source} could not be read, and may be what is "
            "missing: export the file again and import that one"
        )
    if not result.read["thread"]:
        return f"{result.source} has no conversations: check whether it is the right source"
    return ""


def deletion_lines(deletions: Deletions) -> Iterator[str]:
    """The lines that list what would be deleted.

    Args:
        deletions: What only the target has.
    """
    yield f"Only in the target, to be deleted permanently: {_amount(deletions)}."
    for id in deletions.thread_ids[:_LISTED_THREADS]:
        rows = deletions.rows.get(id)
        yield f"  thread {id}: {plural(len(rows), 'row') if rows else 'the whole thread'}"
    if (more := len(deletions.thread_ids) - _LISTED_THREADS) > 0:
        yield f"  and {more:,} more threads"


def _amount(deletions: Deletions) -> str:
    counts = deletions.counts
    return ", ".join(
        f"{name} {counts[kind]:,}" for kind, name in KIND_NAMES.items() if counts[kind]
    )


async def _delete(deletions: Deletions, settings: Settings) -> None:
    async with open_database(settings) as database:
        await deletions.delete(database)
