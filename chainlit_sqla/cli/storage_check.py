"""``storage check``: do the files and the conversations fit together?"""

from __future__ import annotations

import shlex
import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from .._internal.progress import Watch
from ..errors import ConfigurationError, SchemaOutdated, StorageError
from ..settings import Settings
from ..storage.check_audit import Counts, audit
from ..storage.check_ledger import Finding, Kind, Ledger
from ..storage.check_repair import Repaired, doubtful, repair
from ..storage.config import storage_url
from ..storage.keys import key_bytes
from ..storage.local.client import LocalStorage
from ..storage.local.folder import blob_digest
from ..storage.urls import open_storage, shown_url
from .options import Schema, Url, describe_database, open_database, settings_for
from .output import progress
from .revisions import state
from .runtime import forward_warnings, run_async
from .sources import mask_url

_LISTED = 20
_PORTION = 1_000
_OLDER_THAN = 60


def check(
    fix: Annotated[bool, typer.Option("--fix", help="Repair what can be repaired.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Repair also where this seems to be the wrong store or database, and delete "
            "files of conversations that this database never had.",
        ),
    ] = False,
    every: Annotated[
        bool, typer.Option("--all", help=f"List all, not the first {_LISTED} of each kind.")
    ] = False,
    older_than: Annotated[
        int,
        typer.Option(
            "--older-than",
            metavar="MINUTES",
            min=0,
            help="A younger file may belong to an upload under way and is left alone; "
            "0 only while nothing is uploading.",
        ),
    ] = _OLDER_THAN,
    storage: Annotated[
        str | None,
        typer.Option("--storage", metavar="URL", help="The store; instead of the settings'."),
    ] = None,
    url: Url = None,
    schema: Schema = None,
) -> None:
    """Compare the files in the store with the conversations in the database.

    Finds rows without their file (row-without-blob), files that no row has
    (blob-without-row), files of another size than their row says (damaged), lost files that
    are there again (found-again), and what unfinished uploads left. The application may run
    meanwhile. Without --fix nothing is changed. In a folder, "file=" says which files of it
    belong to the key.

    With --fix, files without row are deleted; rows without file stay, and the key of the
    lost file is kept in their "extra" column. They are listed from then on (lost-earlier),
    which is nothing wrong: once the file is restored, --fix links it again. Damaged files
    and files of other software are left alone, as are files of conversations that this
    database never had (unknown-conversation): another database may use the same store.

    Exit code 0 when nothing is wrong or all was repaired, else 1.
    """
    settings = settings_for(url, schema)
    if storage is not None and not storage.strip():
        raise ConfigurationError("--storage is empty; give it a value or leave it out")
    again = _repair_command(older_than, storage, url, schema)
    command = _Command(settings, storage or storage_url(settings), timedelta(minutes=older_than))
    with Ledger.opened() as ledger:
        counts = command.look(ledger, force=fix and force)
        for kind in Kind:
            _list(ledger, kind, every, on_disk=command.on_disk)
        if counts.youngest:
            typer.echo(f"\n{_too_young(counts, counts.youngest, older_than)}")
        if not fix:
            _advise(counts, again)
            raise typer.Exit(1 if counts.wrong or counts.doubt else 0)
        if counts.doubt and not force:
            raise ConfigurationError(doubtful(counts))
        if not counts.repairable + counts.waiting + (counts.unknown if force else 0):
            nothing = "Nothing to repair yet." if counts.fresh else "Nothing to repair."
            typer.echo(f"\n{_unrepairable(counts) or nothing}")
            _remind(counts.lost_earlier, 0, again)
            raise typer.Exit(1 if counts.wrong else 0)
        if not yes:
            _ask(counts, force=force)
        repaired = command.fix(ledger, counts, force=force)
    typer.echo(_done(repaired))
    if counts.damaged:
        typer.echo(_unrepairable(counts))
    _remind(counts.lost_earlier, repaired.unlinked, again)
    if counts.damaged:
        raise typer.Exit(1)


class _Command:
    """Opens store and database for each step, so that none waits while a person is asked."""

    def __init__(self, settings: Settings, location: str, grace: timedelta) -> None:
        self._settings = settings
        self._location = location
        self._grace = grace
        self.on_disk = False
        """Whether the store is a folder, whose files have names of their own."""

    def look(self, ledger: Ledger, *, force: bool) -> Counts:
        """Compare, and print the numbers."""
        said: dict[str, None] = {}
        with progress() as report:
            where, counts = run_async(self._look(ledger, report, said))
        for warning in said:
            typer.echo(warning, err=True)
        typer.echo(f"database  {where}\nstore     {shown_url(self._location)}\n")
        table = _table(counts, force=force)
        width = max(len(f"{number:,}") for _, number in table)
        for name, number in table:
            typer.echo(f"{number:>{width},}  {name}")
        return counts

    def fix(self, ledger: Ledger, counts: Counts, *, force: bool) -> Repaired:
        """Repair what was found."""
        with progress() as report:
            return run_async(self._fix(ledger, counts, force, report))

    async def _look(
        self, ledger: Ledger, report: Watch, said: dict[str, None]
    ) -> tuple[str, Counts]:
        now = await state(self._settings)
        if not now.up_to_date:
            raise SchemaOutdated(str(now))
        storage = open_storage(self._location, self._settings)
        self.on_disk = isinstance(storage, LocalStorage)
        try:
            with forward_warnings(lambda warning: said.setdefault(warning)):
                async with open_database(self._settings) as database:
                    counts = await audit(
                        database, storage, ledger, grace=self._grace, progress=report
                    )
                return describe_database(database), counts
        finally:
            await storage.close()

    async def _fix(self, ledger: Ledger, counts: Counts, force: bool, report: Watch) -> Repaired:
        storage = open_storage(self._location, self._settings)
        try:
            async with open_database(self._settings) as database:
                return await repair(
                    database,
                    storage,
                    ledger,
                    counts,
                    grace=self._grace,
                    force=force,
                    progress=report,
                )
        finally:
            await storage.close()


def _table(counts: Counts, *, force: bool) -> list[tuple[str, int]]:
    rows = [
        ("rows with files", counts.rows),
        ("files of conversations in the store", counts.blobs),
        (Kind.NO_BLOB.value, counts.no_blob),
        (Kind.NO_ROW.value, counts.no_row),
        (Kind.DAMAGED.value, counts.damaged),
        (Kind.LOST_EARLIER.value, counts.lost_earlier),
        ("waiting to be deleted", counts.waiting),
        ("unfinished uploads", counts.unfinished),
        ("not ours, left alone", counts.strangers),
    ]
    unknown = "of conversations this database never had"
    rare = [
        (unknown if force else f"{unknown}, left alone", counts.unknown),
        (Kind.FOUND_AGAIN.value, counts.found_again),
        ("too young to be judged", counts.fresh),
    ]
    return rows + [row for row in rare if row[1]]


def _list(ledger: Ledger, kind: Kind, every: bool, *, on_disk: bool) -> None:
    number = ledger.count(kind)
    if not number:
        return
    typer.echo()
    for portion in ledger.portions(kind, _PORTION if every else _LISTED):
        for finding in portion:
            typer.echo(_line(finding, on_disk=on_disk))
        if not every:
            break
    if not every and number > _LISTED:
        typer.echo(f"... and {number - _LISTED:,} more {kind.value} (--all lists them)")


def _line(finding: Finding, *, on_disk: bool) -> str:
    words = [finding.kind.value, _whole(finding.key)]
    if finding.thread_id:
        words += [
            f"thread={_whole(finding.thread_id)}",
            f"element={_whole(finding.id)}",
            f"name={finding.name!r}",
        ]
    if finding.size is not None:
        words.append(f"size={finding.size}")
    if finding.kind is Kind.DAMAGED:
        words.append(f"stored={finding.stored}")
    words.append(f"date={finding.at:%Y-%m-%dT%H:%M:%SZ}")
    if on_disk and (files := _files(finding.key)):
        words.append(f"file={files}")
    return " ".join(words)


def _whole(text: str) -> str:
    """A key or an id in one line, and never cut: it is what one restores by."""
    return text if text.isprintable() else repr(text)


def _files(key: str) -> str:
    """The files of a key below the folder of a `LocalStorage`; empty: there can be none."""
    try:
        digest = blob_digest(key_bytes(key))
    except StorageError:
        return ""
    return f"{digest[:2]}/{digest}.*"


def _too_young(counts: Counts, youngest: datetime, minutes: int) -> str:
    """When files can be judged that may belong to uploads under way."""
    files, them = _count(counts.fresh, "file"), "is" if counts.fresh == 1 else "are"
    if not minutes:
        return (
            f"{files} without row {them} younger than this comparison by the store's clock and "
            "not judged; run it again"
        )
    # The next full minute: then it is old enough.
    due = (youngest + timedelta(minutes=minutes + 1)).astimezone()
    today = due.date() == datetime.now(UTC).astimezone().date()
    return (
        f"{files} without row {them} younger than {_count(minutes, 'minute')} and not judged "
        f"yet; run it again at {due:{'%H:%M' if today else '%Y-%m-%d %H:%M'}}, or with "
        "--older-than 0 while nothing is uploading"
    )


def _advise(counts: Counts, again: str) -> None:
    typer.echo()
    if not counts.wrong and not counts.doubt:
        typer.echo(
            "Nothing else is wrong." if counts.fresh or counts.lost_earlier else "Nothing is wrong."
        )
    if counts.doubt:
        typer.echo(
            f"{counts.doubt} Is this the right store, and the right database? Check "
            "CHAINLIT_SQLA_STORAGE or BUCKET_NAME, and DATABASE_URL."
        )
    elif counts.repairable:
        typer.echo(f"To repair, run: {again}")
    if counts.damaged:
        typer.echo(_unrepairable(counts))
    if not counts.doubt:
        _remind(counts.lost_earlier, 0, again)


def _remind(earlier: int, now: int, again: str) -> None:
    """Say how lost files come back; no report would name them otherwise."""
    if number := earlier + now:
        were, them = (
            ("was", "it under its key") if number == 1 else ("were", "them under their keys")
        )
        typer.echo(
            f"{_count(number, 'file')} {were} lost{'' if now else ' earlier'}: restore {them} "
            f"from a backup, then run: {again}"
        )


def _repair_command(
    older_than: int, storage: str | None, url: str | None, schema: str | None
) -> str:
    """The command that repairs what one with these options found, for a shell."""
    words = ["chainlit-sqla", "storage", "check", "--fix"]
    if older_than != _OLDER_THAN:
        words += ["--older-than", str(older_than)]
    for option, value, public in (
        ("--storage", storage, storage is None or shown_url(storage) == storage),
        ("--url", url, url is None or mask_url(url) == url),
        ("--schema", schema, True),
    ):
        if value is not None:  # With a password in it, it is named but not repeated.
            words += [option, value if public else "URL"]
    return shlex.join(words)


def _unrepairable(counts: Counts) -> str:
    if not counts.damaged:
        return ""
    return (
        f"{_count(counts.damaged, 'file')} damaged: --fix leaves them alone; "
        "restore them under their keys from a backup, or delete their elements in the app"
    )


def _ask(counts: Counts, *, force: bool) -> None:
    work = [
        (counts.without_row(force), "delete {} that no row has"),
        (counts.waiting, "delete {} that wait for it"),
        (counts.no_blob, "mark {} as lost"),
        (counts.found_again, "link {} again"),
    ]
    parts = [text.format(_count(number, "file")) for number, text in work if number]
    if counts.unfinished:
        parts.append(f"remove {_count(counts.unfinished, 'unfinished upload')}")
    typer.echo(f"\nThis will {_and(parts)}.")
    if not sys.stdin.isatty():
        raise ConfigurationError(
            "Nothing was changed, for there is no terminal to ask on; add --yes"
        )
    typer.confirm("Go on?", abort=True)


def _done(repaired: Repaired) -> str:
    work = [
        (repaired.deleted, "{} without row deleted"),
        (repaired.waiting, "{} deleted that waited for it"),
        (repaired.unlinked, "{} marked as lost"),
        (repaired.linked, "{} linked again"),
    ]
    parts = [text.format(_count(number, "file")) for number, text in work if number]
    if repaired.unfinished:
        parts.append(f"{_count(repaired.unfinished, 'unfinished upload')} removed")
    return f"Repaired: {_and(parts)}." if parts else "Nothing is left to repair."


def _and(parts: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
