"""The command ``import`` and its report."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from .._internal.outage import printable
from ..database import migrator
from ..database.revision import revision_mismatch
from ..errors import ConfigurationError
from ..transfer.importing import LISTED, Comparison, Import, Result
from ..transfer.records import count_by_kind
from ..transfer.sources import LAYERS, open_source
from .options import Schema, Url, describe_database, open_database, settings_for
from .output import KIND_NAMES, format_reasons, format_table, plural, progress
from .runtime import exit_interrupted, forward_warnings, run_async

_REPORTED_NAMES = {
    **KIND_NAMES,
    "tombstone": "deleted",
    "line": "bad lines",
    "quarantined": "from quarantine",
}


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
    url: Url = None,
    schema: Schema = None,
) -> None:
    """Import conversations from another database or a file.

    Reads the tables of Chainlit's asyncpg layer (Prisma), those of its SQLAlchemy layer in any
    variant, another database of chainlit-sqla, or a JSONL export. An interrupted import continues
    when the same command is run again; after its end, the command imports what was added since.
    Existing rows stay unchanged unless --update is given. At the end both sides are compared,
    row by row. The application may run meanwhile. Rows that our tables cannot hold are kept
    in the table chainlit_sqla_quarantine. Attachments stay in their store; `storage copy` copies
    them to another one.

    Exit code 0 when the target has everything that the source has, 1 when something differs, 130
    after Ctrl+C.
    """
    if layer is not None and layer not in LAYERS:
        raise ConfigurationError(f"--layer is {layer!r}; give one of {', '.join(LAYERS)}")
    settings = settings_for(url, schema)

    async def run() -> Result:
        async with open_database(settings, read_only=verify_only) as database:
            label = describe_database(database)
            if not verify_only:
                await migrator.ensure(database)
            elif mismatch := revision_mismatch(label, await migrator.current(database)):
                raise mismatch
            async with open_source(
                source, settings, schema=source_schema, layer=layer, target=database
            ) as opened:
                with progress() as watch, forward_warnings(lambda text: typer.echo(text, err=True)):
                    work = Import(opened, database, update=update, watch=watch)
                    result = await (work.compare() if verify_only else work.run())
            result.target = label
            return result

    try:
        result = run_async(run())
    except KeyboardInterrupt:
        exit_interrupted("Interrupted. Run the same command again to continue.")
    for line in report_lines(result, update=update):
        typer.echo(printable(line))
    if not result.comparison.equal:
        raise typer.Exit(1)


def report_lines(result: Result, *, update: bool) -> Iterator[str]:
    """The lines to print at the end."""
    yield f"From {result.source}"
    yield f"to {result.target}" + (", continued after an interruption" if result.resumed else "")
    yield from _count_lines(result)
    if result.rows:
        rate = result.rows / result.seconds if result.seconds else 0
        duration = f"{result.seconds:.1f} s ({rate:,.0f} rows/s, including the comparison)"
        yield f"{result.rows:,} rows in {duration}"
    if result.deleted:
        yield f"Not imported, since they were deleted in the target: {result.deleted:,}"
    title = "Quarantined (table chainlit_sqla_quarantine):"
    yield from format_reasons(title, result.quarantined, _REPORTED_NAMES)
    title = "Imported, but for values that were quarantined:"
    yield from format_reasons(title, result.partly_quarantined, _REPORTED_NAMES)
    yield from result.notes
    yield from _difference_lines(result.comparison, update=update, resumed=result.resumed)


def _count_lines(result: Result) -> Iterator[str]:
    comparison = result.comparison
    quarantined = count_by_kind(result.quarantined)
    in_source = result.read or comparison.records
    in_target = comparison.same + comparison.different
    different = comparison.missing + comparison.different
    rows = [("", "in source", "in target", "quarantined", "different")]
    for kind, name in _REPORTED_NAMES.items():
        if in_source[kind]:
            target_count = f"{in_target[kind]:,}" if kind in KIND_NAMES else ""
            counts = f"{quarantined[kind]:,}", f"{different[kind]:,}"
            rows.append((name, f"{in_source[kind]:,}", target_count, *counts))
    if len(rows) == 1:
        yield "The source is empty."
        return
    yield from format_table(rows)


def _difference_lines(comparison: Comparison, *, update: bool, resumed: bool) -> Iterator[str]:
    threads = plural(comparison.threads, "thread")
    amounts = [
        f"{counts.total():,} {label}"
        for counts, label in (
            (comparison.missing, "missing in the target"),
            (comparison.different, "different in the target"),
            (comparison.more, "only in the target"),
        )
        if counts
    ]
    yield f"Compared {threads}: {', '.join(amounts) or 'no difference'}."
    for difference in comparison.differences:
        yield f"  {difference}"
    if (more := comparison.missing.total() + comparison.different.total() - LISTED) > 0:
        yield f"  and {more:,} more"
    if comparison.missing and resumed:
        yield (
            "The source has changed since the interruption: run the same command again to import "
            "what is missing."
        )
    if comparison.different and not update:
        yield "To take the values of the source, run the same command with --update."
    if comparison.more:
        yield (
            "Rows that only the target has stay there: delete them in the app, or import into an "
            "empty database."
        )
