"""``import``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from ..database import migrator as migrations
from ..database.revision import revision_mismatch
from ..errors import ConfigurationError
from ..settings import Settings
from ..transfer.importing import LAYERS, Import, Result, open_source
from .import_deletions import delete_missing
from .import_files import check_source, copy_imported_files
from .import_report import lines
from .options import Schema, Url, describe_database, open_database, settings_for
from .output import progress
from .runtime import EXIT_INTERRUPTED, forward_warnings, run_async


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
            help="Whose tables the source has; unless given, its tables tell.",
        ),
    ] = None,
    update: Annotated[
        bool,
        typer.Option(
            "--update", help="Replace rows that are there and differ; else they stay as they are."
        ),
    ] = False,
    verify_only: Annotated[
        bool, typer.Option("--verify-only", help="Import nothing, only compare both sides.")
    ] = False,
    storage: Annotated[
        str | None,
        typer.Option(
            "--copy-storage",
            metavar="URL",
            help="Also copy the files of this store into the one of CHAINLIT_SQLA_STORAGE, "
            "as `storage copy` does.",
        ),
    ] = None,
    missing: Annotated[
        bool,
        typer.Option(
            "--delete-missing",
            help="Then delete from the target what the source has not, such as what was deleted "
            "there since an earlier import; it says what, and asks.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: Url = None,
    schema: Schema = None,
) -> None:
    """Import conversations from another database or a file.

    From the tables of Chainlit's asyncpg layer (Prisma), those of its SQLAlchemy layer in any
    variant, another database of chainlit-sqla, or a JSONL export. Interrupted, it goes on where
    it was when the same command is run again; run again after its end, it imports what came
    since. What was imported stays as it is unless --update is given. At the end both sides are
    compared, thread by thread. The application may run meanwhile. Rows without a place in our
    tables go into the table chainlit_sqla_quarantine.

    Exit code 0 when the target has all that the source has, 1 when something differs or, with
    --copy-storage, a file that an element names is in neither store, 130 after Ctrl+C.
    """
    if layer is not None and layer not in LAYERS:
        raise ConfigurationError(f"--layer is {layer!r}; give one of {', '.join(LAYERS)}")
    if missing and verify_only:
        raise ConfigurationError(
            "--verify-only writes nothing, --delete-missing deletes; give one of them"
        )
    try:  # From here on, however long the settings and the store take to be read.
        settings = settings_for(url, schema)
        if storage is not None and not verify_only:
            check_source(storage, settings)
        how = _How(update=update, only=verify_only, missing=missing)
        result = run_async(_run(settings, source, source_schema, layer, how))
        for line in lines(result, update=update):
            typer.echo(line)
        delete_missing(result, settings, yes=yes)
        if storage is not None and not verify_only:
            copy_imported_files(storage, settings)
    except KeyboardInterrupt:
        typer.echo("Interrupted. Run the same command again to go on.", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if result.comparison is not None and not result.comparison.equal:
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class _How:
    update: bool
    only: bool
    missing: bool


async def _run(
    settings: Settings,
    given: str,
    source_schema: str | None,
    layer: str | None,
    how: _How,
) -> Result:
    async with open_database(settings, read_only=how.only) as database:
        if not how.only:
            await migrations.ensure(database)
        elif mismatch := revision_mismatch(
            describe_database(database), await migrations.current(database)
        ):
            raise mismatch
        opening = open_source(given, settings, schema=source_schema, layer=layer, target=database)
        async with opening as source:
            if how.missing and source.part:
                raise ConfigurationError(
                    f"{source.title}: {source.part} What it has not may be elsewhere; import it "
                    "without --delete-missing"
                )
            with progress() as report, forward_warnings(lambda text: typer.echo(text, err=True)):
                work = Import(
                    source, database, update=how.update, watch=report, missing=how.missing
                )
                result = await (work.compare() if how.only else work.run())
            result.target = describe_database(database)
            return result
