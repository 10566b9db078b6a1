"""The command ``export``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from contextlib import nullcontext
from pathlib import PurePath
from typing import Annotated

import typer
from rich.filesize import decimal

from .._internal.aio import quiet
from ..errors import ConfigurationError
from ..transfer.exporting import (
    CHAT,
    FORMATS,
    HTML,
    JSONL,
    MARKDOWN,
    ChatOptions,
    Export,
    ExportResult,
    Selection,
)
from ..transfer.exporting.selection import FEEDBACK
from ..transfer.record_file import GZIP_SUFFIX
from .export_target import STDOUT, OutputTarget
from .options import Schema, Url, open_database, settings_for
from .output import plural, progress
from .runtime import exit_interrupted, package_version, run_async, signals_as_interrupt

EXIT_BROKEN_PIPE = 141
"""The exit code when the reader of a pipe has closed it: 128 plus the number of the signal."""

_FORMAT_BY_SUFFIX = {
    ".jsonl": JSONL,
    ".ndjson": JSONL,
    ".md": MARKDOWN,
    ".markdown": MARKDOWN,
    ".html": HTML,
    ".htm": HTML,
}


def _one_of(names: Collection[str]) -> Callable[[str | None], str | None]:
    """Check the value of an option; typer's own message depends on its release."""

    def check(value: str | None) -> str | None:
        if value is not None and value not in names:
            raise typer.BadParameter(f"{value!r} is not one of {', '.join(names)}")
        return value

    return check


def export(
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            callback=_one_of(FORMATS),
            metavar="jsonl|markdown|html|chat",
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
            metavar="FILE|FOLDER/",
            help="A file (compressed if it ends with .gz), a folder with a file for each "
            "conversation (markdown, html), or - for standard output.",
        ),
    ] = STDOUT,
    users: Annotated[
        list[str] | None,
        typer.Option("--user", metavar="NAME", help="Conversations of this user (identifier, id)."),
    ] = None,
    threads: Annotated[
        list[str] | None,
        typer.Option("--thread", metavar="ID", help="The conversation with this id."),
    ] = None,
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
        str | None,
        typer.Option(
            "--feedback",
            callback=_one_of(FEEDBACK),
            metavar="up|down|any",
            help="Conversations with such feedback.",
        ),
    ] = None,
    tags: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="TAG", help="Conversations with this tag."),
    ] = None,
    tools: Annotated[
        bool, typer.Option("--tools", help="With chat: include tool calls and their results.")
    ] = False,
    messages_only: Annotated[
        bool,
        typer.Option(
            "--messages-only",
            help="With chat: omit feedback and metadata, for trainers that refuse them.",
        ),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
    url: Url = None,
    schema: Schema = None,
) -> None:
    """Export conversations: a backup, transcripts, or training data.

    --user, --thread and --tag can be repeated and match any of their values; a conversation must
    meet every kind of condition. The export reads one snapshot, so the application may keep
    running. Files appear when they are complete, readable by their owner only. Attachments are
    named, not included. See docs/exporting.md.

    Exit code 0, also if nothing was selected; 1 after an error, 130 after Ctrl+C.
    """
    settings = settings_for(url, schema)
    selection = Selection.parse(
        users=users or (),
        threads=threads or (),
        since=since,
        until=until,
        feedback=feedback,
        tags=tags or (),
    )
    target = OutputTarget(output, force=force)
    form = form or _format_of(target)
    _check_format(form, target)
    if form != CHAT and (tools or messages_only):
        raise ConfigurationError("--tools and --messages-only need --format chat; add it")
    chat = ChatOptions(tools, messages_only, only_liked=feedback == "up")
    # A bar on the terminal would be drawn into an export that is written there.
    to_terminal = target.path is None and sys.stdout.isatty()

    async def run() -> ExportResult:
        async with open_database(settings, read_only=True) as database:
            with nullcontext(quiet) if to_terminal else progress() as watch:
                release = package_version("chainlit-sqla")
                work = Export(database, form, selection, chat=chat, release=release, watch=watch)
                return await work.run(target)

    try:
        with signals_as_interrupt():
            result = run_async(run())
    except KeyboardInterrupt:
        exit_interrupted(f"Interrupted.{_describe_remains(target)}")
    except BrokenPipeError:
        raise typer.Exit(EXIT_BROKEN_PIPE) from None
    typer.echo(_summarize(result, form, selection, target), err=True)


def _format_of(target: OutputTarget) -> str:
    """The format that the suffix of the output names."""
    if target.path is None:
        return JSONL
    form = _FORMAT_BY_SUFFIX.get(_suffix(target.path))
    if target.is_folder or form is None:
        raise ConfigurationError(
            f"The name {target} does not imply a format; add --format, such as --format markdown"
        )
    return form


def _check_format(form: str, target: OutputTarget) -> None:
    """Refuse an output whose name is that of another format: it is opened by its name."""
    if target.path is None:
        return
    if target.is_folder:
        if form in (JSONL, CHAT):
            raise ConfigurationError(
                f"--format {form} writes one file, and {target} is a folder; name a file"
            )
        return
    named = _FORMAT_BY_SUFFIX.get(_suffix(target.path))
    expected = JSONL if form == CHAT else form  # Both are lines of JSON.
    if named not in (None, expected):
        suffix = next(s for s, value in _FORMAT_BY_SUFFIX.items() if value == expected)
        raise ConfigurationError(
            f"{target} has the suffix of {named}, not of {form}; "
            f"name a file that ends with {suffix}, or correct --format"
        )


def _suffix(path: PurePath) -> str:
    return PurePath(path.name.removesuffix(GZIP_SUFFIX)).suffix.lower()


def _describe_remains(target: OutputTarget) -> str:
    if target.path is None:
        return ""
    remains = "Complete files remain" if target.is_folder else "No file was written"
    return f" {remains}. Re-run the command to export everything."


def _summarize(result: ExportResult, form: str, selection: Selection, target: OutputTarget) -> str:
    if not result.selected and result.is_empty:
        options = " ".join(f"--{name}" for name in selection.as_options)
        matching = f" for {options}" if options else ""
        return f"Nothing exported: {result.label} has no conversation{matching}."
    dislike = "no thumb up" if selection.feedback == "up" else "thumbs down"
    reasons = (
        (result.unanswered, "without an answer"),
        (result.untrainable, f"without an answer to train on ({dislike})"),
    )
    omitted = ", ".join(f"{number:,} {reason}" for number, reason in reasons if number)
    if result.is_empty:
        return f"Nothing exported from {result.label}. Left out: {omitted}."
    parts = plural(result.parts, "message" if form == CHAT else "step")
    text = (
        f"Exported {plural(result.conversations, 'conversation')} ({parts}) from {result.label} "
        f"to {target} ({decimal(target.written)})."
    )
    if omitted:
        text += f" Left out: {omitted}."
    if result.left_in_quarantine:
        text += (
            f" Not exported: {plural(result.left_in_quarantine, 'row')} of chainlit_sqla_quarantine"
            ", which only an export without conditions has."
        )
    return text
