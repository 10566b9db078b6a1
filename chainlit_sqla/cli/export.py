"""The command ``export``, and the file or standard output that it writes to."""

from __future__ import annotations

import errno
import gzip
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO, Annotated

import typer

from .._internal.aio import quiet
from ..errors import ConfigurationError, StorageError
from ..storage.open_store import storage_from
from ..transfer.exporting import (
    ExportResult,
    Feedback,
    FileExport,
    Format,
    Selection,
    export_conversations,
)
from ..transfer.exporting.conversation import Write
from ..transfer.record_file import GZIP_SUFFIX
from .options import Schema, Threads, Url, Users, closed_at_end, open_database, settings_for
from .output import plural, progress
from .runtime import exit_interrupted, run_async, signals_as_interrupt

STDOUT = "-"
EXIT_BROKEN_PIPE = 141
"""The exit code when the reader of a pipe has closed it: 128 plus the number of the signal."""

_FORMATS = {".jsonl": Format.JSONL, ".md": Format.MARKDOWN, ".html": Format.HTML}
_SUFFIXES = {form: suffix for suffix, form in _FORMATS.items()} | {Format.CHAT: ".chat.jsonl"}
_OTHER_FOLDER = "folder with --with-files"
_BUFFER_BYTES = 1 << 20
_REPAIRS = {
    errno.ENOSPC: "free disk space, or ",
    errno.EDQUOT: "free disk space, or ",
    errno.ENOENT: "create its folder (mkdir -p), or ",
    errno.EACCES: "give this user write permission on its folder, or ",
    errno.EPERM: "give this user write permission on its folder, or ",
}


def export(
    form: Annotated[
        Format | None,
        typer.Option(
            "--format",
            metavar="|".join(Format),
            help="jsonl: every row, for `chainlit-sqla import`; markdown, html: transcripts; "
            "chat: lines for training and evaluation. Default: by the suffix of the output; "
            "jsonl on standard output.",
        ),
    ] = None,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="A file, compressed if it ends with .gz, or - for standard output.",
        ),
    ] = STDOUT,
    users: Users = None,
    threads: Threads = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="DATE",
            help="Last activity on this day (2026-01-31, in UTC), at this time, or later.",
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            "--until",
            metavar="DATE",
            help="Last activity on this day, earlier, or before this time.",
        ),
    ] = None,
    feedback: Annotated[
        Feedback | None,
        typer.Option(
            "--feedback", metavar="|".join(Feedback), help="Conversations with such feedback."
        ),
    ] = None,
    tags: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="TAG", help="Conversations with this tag."),
    ] = None,
    tools: Annotated[
        bool, typer.Option("--tools", help="With chat: include tool calls and their results.")
    ] = False,
    with_files: Annotated[
        str | None,
        typer.Option(
            "--with-files",
            metavar="FOLDER",
            help="A new folder for the files of the conversations and a manifest; the export "
            "itself, too, unless --output names a file.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    url: Url = None,
    schema: Schema = None,
) -> None:
    """Export conversations: a backup, transcripts, or training data.

    --user, --thread and --tag can be repeated and match any of their values; a conversation must
    meet every kind of condition. The export reads one snapshot, so the application may keep
    running. A file appears when it is complete, readable by its owner only. Attachments are
    named, and included only with --with-files. See docs/exporting.md.

    Exit code 0, also if nothing was selected; 1 after an error or if a file is missing, 130 after
    Ctrl+C.
    """
    settings = settings_for(url, schema)
    selection = Selection.parse(
        users=users, threads=threads, since=since, until=until, feedback=feedback, tags=tags
    )
    form = form or _format_of(output)
    if tools and form is not Format.CHAT:
        raise ConfigurationError("--tools needs --format chat; add it")
    # A bar on the terminal would be drawn into an export that is written there.
    shows_progress = output != STDOUT or not sys.stdout.isatty() or with_files is not None

    async def run(write: Write, files: FileExport | None) -> ExportResult:
        async with open_database(settings, read_only=True) as database:
            with progress() if shows_progress else nullcontext(quiet) as watch:
                result = await export_conversations(
                    database, form, selection, write, tools=tools, files=files, watch=watch
                )
                if files is not None and not result.is_empty:
                    async with closed_at_end(storage_from(settings)) as storage:
                        with _explained(str(with_files), _OTHER_FOLDER):
                            await files.copy(storage, watch)
                return result

    target, files = output, None
    try:
        with (
            signals_as_interrupt(),
            nullcontext() if with_files is None else _folder(with_files) as folder,
        ):
            if folder is not None:
                files = FileExport(folder)
                if output == STDOUT:
                    target = str(folder / f"conversations{_SUFFIXES[form]}")
            with _stdout() if target == STDOUT else _file(target, force=force) as write:
                result = run_async(run(write, files))
    except KeyboardInterrupt:
        remains = "" if output == STDOUT else " No file was written; run the same command again."
        exit_interrupted(f"Interrupted.{remains}")
    except BrokenPipeError:
        raise typer.Exit(EXIT_BROKEN_PIPE) from None
    summary = _summarize(result, selection, with_files or output)
    typer.echo(summary if files is None else f"{summary} {plural(files.copied, 'file')}.", err=True)
    if files is not None and files.missing:
        raise StorageError(
            f"{plural(files.missing, 'file')} missing or incomplete in {with_files}, named in its "
            f"manifest: {files.problem}; restore them, or check CHAINLIT_SQLA_STORAGE"
        )


def _format_of(output: str) -> Format:
    if output == STDOUT:
        return Format.JSONL
    suffix = Path(output.removesuffix(GZIP_SUFFIX)).suffix.lower()
    if suffix not in _FORMATS:
        raise ConfigurationError(
            f"The name {output} does not imply a format; add --format, such as --format markdown"
        )
    return _FORMATS[suffix]


@contextmanager
def _stdout() -> Iterator[Write]:
    out = sys.stdout.buffer
    try:
        yield _explained_write("Standard output", out)
        with _explained("Standard output"):
            out.flush()
    except (BrokenPipeError, ConfigurationError) as error:
        if isinstance(error.__cause__ or error, OSError):
            # At exit, Python would write the rest of its buffer and complain again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


@contextmanager
def _folder(name: str) -> Iterator[Path]:
    """A folder that appears when the block succeeds, as `_file` does; only the user may read it."""
    path = Path(name)
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise ConfigurationError(f"{name} is not an empty folder; name a new one")
    destination = path.resolve()
    with _explained(name, _OTHER_FOLDER):
        prefix = f".{path.name[:40]}."
        temporary = Path(tempfile.mkdtemp(".part", prefix, destination.parent))  # Its mode is 0700.
    try:
        yield temporary
        if any(temporary.iterdir()):
            with _explained(name, _OTHER_FOLDER):
                if destination.exists():
                    destination.rmdir()
                temporary.rename(destination)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _file(output: str, *, force: bool) -> Iterator[Write]:
    """A file that appears when the block succeeds and has written something.

    It has a temporary name next to its place until then, so an interruption leaves nothing
    behind. Conversations are private: only the user may read it.

    Raises:
        ConfigurationError: It cannot be written, or it exists and must not be replaced.
    """
    path = Path(output)
    if output.endswith(("/", os.sep)) or (path.exists() and not path.is_file()):
        raise ConfigurationError(
            f"{output} is not a file, and an export is one file; name a file, "
            "or - for standard output"
        )
    if path.exists() and not force:
        raise ConfigurationError(
            f"{path} already exists; name another file, or add --force to replace it"
        )
    with _explained(output):
        destination = path.resolve()  # A link stays a link.
        number, name = tempfile.mkstemp(  # Its mode is 0600.
            prefix=f".{path.name[:40]}.", suffix=".part", dir=destination.parent
        )
    raw, temporary = os.fdopen(number, "wb", _BUFFER_BYTES), Path(name)
    out: IO[bytes] | gzip.GzipFile = raw
    try:
        if path.name.endswith(GZIP_SUFFIX):
            out = gzip.GzipFile(path.name.removesuffix(GZIP_SUFFIX), "wb", fileobj=raw)
        yield _explained_write(output, out)
        if out.tell():
            with _explained(output):
                if out is not raw:
                    out.close()
                raw.flush()
                os.fsync(raw.fileno())
                raw.close()
                temporary.replace(destination)
    finally:
        with suppress(OSError):  # A write has already reported a full disk.
            raw.close()
        temporary.unlink(missing_ok=True)


def _explained_write(output: str, out: IO[bytes] | gzip.GzipFile) -> Write:
    def write(data: bytes) -> None:
        with _explained(output):
            out.write(data)

    return write


@contextmanager
def _explained(output: str, other: str = "file with --output") -> Iterator[None]:
    """Turn an error of the file system into a message with a repair."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        repair = _REPAIRS.get(error.errno or 0, "")
        raise ConfigurationError(
            f"{output} cannot be written ({error.strerror or error}); {repair}name another {other}"
        ) from error


def _summarize(result: ExportResult, selection: Selection, output: str) -> str:
    if not result.selected and result.is_empty:
        options = " ".join(f"--{name}" for name in selection.as_options)
        matching = f" for {options}" if options else ""
        return f"Nothing exported: {result.label} has no conversation{matching}."
    omitted = result.selected - result.conversations
    left_out = f" Left out: {omitted:,} without an answer." if omitted else ""
    if result.is_empty:
        return f"Nothing exported from {result.label}.{left_out}"
    target = "standard output" if output == STDOUT else output
    conversations = plural(result.conversations, "conversation")
    return f"Exported {conversations} from {result.label} to {target}.{left_out}"
