"""``export``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from contextlib import nullcontext
from pathlib import PurePath
from typing import Annotated

import typer
from rich.filesize import decimal

from ..database import Database
from ..errors import ConfigurationError
from ..exporters import Selection
from ..exporters.chat import ChatOptions
from ..exporters.run import CHAT, FORMATS, HTML, JSONL, MARKDOWN, Done, Export, Watch
from ..exporters.selection import FEEDBACK
from ..record_file import GZIP_SUFFIX
from ..settings import Settings
from .doctor import version_of
from .export_target import STDOUT, Target
from .guard import complete, ended_softly
from .options import Schema, Url, settings_for
from .progress import progress
from .storage_copy import INTERRUPTED

CLOSED_PIPE = 141
"""The exit code of a command whose reader went away: 128 and the number of the signal."""

_BY_SUFFIX = {
    ".jsonl": JSONL,
    ".ndjson": JSONL,
    ".md": MARKDOWN,
    ".markdown": MARKDOWN,
    ".html": HTML,
    ".htm": HTML,
}


def _one_of(names: Collection[str]) -> Callable[[str | None], str | None]:
    """A check of an option: typer's own puts the words of the library it uses before its own."""
    shown = ", ".join(names)

    def check(given: str | None) -> str | None:
        if given is not None and given not in names:
            raise typer.BadParameter(f"{given!r} is not one of {shown}")
        return given

    return check


def export(
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            callback=_one_of(FORMATS),
            metavar="jsonl|markdown|html|chat",
            help="jsonl: everything, for `chainlit-sqla import`; markdown and html: transcripts; "
            "chat: for training and evaluation. Unless given, the name of the output tells; "
            "to standard output it is jsonl.",
        ),
    ] = None,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE|FOLDER/",
            help="A file (packed if it ends with .gz), a folder with a file for each "
            "conversation (markdown and html), or - for standard output.",
        ),
    ] = STDOUT,
    users: Annotated[
        list[str] | None,
        typer.Option("--user", metavar="NAME", help="Of this user (identifier or id)."),
    ] = None,
    threads: Annotated[
        list[str] | None, typer.Option("--thread", metavar="ID", help="This conversation.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="DATE",
            help="With an activity on this day (2026-01-31, in UTC) or at this instant, or later.",
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            "--until",
            metavar="DATE",
            help="Whose last activity was on this day at the latest, or before this instant.",
        ),
    ] = None,
    feedback: Annotated[
        str | None,
        typer.Option(
            "--feedback",
            callback=_one_of(FEEDBACK),
            metavar="up|down|any",
            help="With such a feedback.",
        ),
    ] = None,
    tags: Annotated[
        list[str] | None, typer.Option("--tag", metavar="TAG", help="With this tag.")
    ] = None,
    tools: Annotated[
        bool, typer.Option("--tools", help="With chat: also the calls of tools, and results.")
    ] = False,
    messages_only: Annotated[
        bool,
        typer.Option(
            "--messages-only",
            help="With chat: no feedback and no metadata, for trainers that refuse them.",
        ),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
    url: Url = None,
    schema: Schema = None,
) -> None:
    """Write conversations to a file: complete, for people, or for chat models.

    --user, --thread and --tag may be given several times: any of them will do; a conversation
    must meet all kinds of conditions that are given. What is written is one state of the
    database, the application may run meanwhile. A file is there when it is complete, and only
    its owner may read it. Files of conversations are named in it, not part of it. See
    docs/exporting.md.

    Exit code 0 also when nothing was selected, 1 when it failed, 130 after Ctrl+C.
    """
    selection = Selection.parse(
        users=tuple(users or ()),
        threads=tuple(threads or ()),
        since=since,
        until=until,
        feedback=feedback,
        tags=tuple(tags or ()),
    )
    settings = settings_for(url, schema)
    target = Target(output, force=force)
    chosen = _form(form, target)
    if chosen != CHAT and (tools or messages_only):
        raise ConfigurationError("--tools and --messages-only belong to --format chat; add it")
    options = ChatOptions(tools, messages_only, liked=selection.feedback == "up")
    try:
        with ended_softly():
            done = _export(settings, chosen, selection, options, target)
    except KeyboardInterrupt:
        typer.echo(f"Interrupted.{_left(target)}", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        raise typer.Exit(CLOSED_PIPE) from None
    typer.echo(_said(done, chosen, selection, target), err=True)


def _form(given: str | None, target: Target) -> str:
    """The form that was asked for, in words or by the name of a file."""
    if given is not None:
        _refuse_other_name(given, target)
        if target.is_folder and given in (JSONL, CHAT):
            raise ConfigurationError(
                f"--format {given} makes one file, and {target} is a folder; name a file"
            )
        return given
    if target.path is None:
        return JSONL
    suffix = _suffix(target.path)
    if target.is_folder or suffix not in _BY_SUFFIX:
        raise ConfigurationError(
            f"{target} does not tell which form is wanted; add --format markdown or another one"
        )
    return _BY_SUFFIX[suffix]


def _refuse_other_name(given: str, target: Target) -> None:
    """What a file is must not contradict its name: whoever opens it goes by that."""
    if target.path is None or target.is_folder:
        return
    named = _BY_SUFFIX.get(_suffix(target.path))
    form = JSONL if given == CHAT else given  # Both are lines of JSON.
    if named is None or named == form:
        return
    right = next(suffix for suffix, value in _BY_SUFFIX.items() if value == form)
    raise ConfigurationError(
        f"{target} has the name of {named}, and --format {given} is another form; "
        f"name a file that ends with {right}, or correct --format"
    )


def _suffix(path: PurePath) -> str:
    """What the name of a file ends with, below the packing."""
    return PurePath(path.name.removesuffix(GZIP_SUFFIX)).suffix.lower()


def _export(
    settings: Settings, form: str, selection: Selection, options: ChatOptions, target: Target
) -> Done:
    # On a terminal, a bar would be drawn into what is written there.
    shown = nullcontext(_silent) if target.path is None and sys.stdout.isatty() else progress()
    with shown as watch:
        return complete(_run(settings, form, selection, options, target, watch))


async def _run(
    settings: Settings,
    form: str,
    selection: Selection,
    options: ChatOptions,
    target: Target,
    watch: Watch,
) -> Done:
    database = Database(settings=settings, read_only=True)
    try:
        work = Export(
            database,
            form,
            selection,
            chat=options,
            release=version_of("chainlit-sqla"),
            watch=watch,
        )
        return await work.run(target)
    finally:
        await database.close()


def _silent(_what: str, _done: int, _total: int | None) -> None:
    """Show nothing."""


def _left(target: Target) -> str:
    if target.path is None:
        return ""
    kept = "Files that were complete stay" if target.is_folder else "Nothing was written"
    return f" {kept}. Run the same command again for all."


def _said(done: Done, form: str, selection: Selection, target: Target) -> str:
    if not done.selected and done.is_empty:
        asked = " ".join(f"--{name}" for name in selection.shown)
        which = f" for {asked}" if asked else ""
        return f"There is no conversation{which} in {done.label}: nothing was exported."
    refused = "no thumb up" if selection.feedback == "up" else "thumbs down"
    reasons = (
        (done.unanswered, "without an answer"),
        (done.unlearnt, f"without an answer to learn from ({refused})"),
    )
    left = ", ".join(f"{number:,} {reason}" for number, reason in reasons if number)
    if done.is_empty:
        return f"Nothing was exported from {done.label}. Left out: {left}."
    parts = _count(done.parts, "message" if form == CHAT else "step")
    return (
        f"Exported {_count(done.conversations, 'conversation')} ({parts}) from {done.label} "
        f"to {target} ({decimal(target.written)})." + (f" Left out: {left}." if left else "")
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
