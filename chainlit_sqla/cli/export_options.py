"""The options of ``export``."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Annotated

import typer

from ..transfer.exporting.run import FORMATS
from ..transfer.exporting.selection import FEEDBACK


def _one_of(names: Collection[str]) -> Callable[[str | None], str | None]:
    """A check of an option: typer's own puts the words of the library it uses before its own."""
    shown = ", ".join(names)

    def check(given: str | None) -> str | None:
        if given is not None and given not in names:
            raise typer.BadParameter(f"{given!r} is not one of {shown}")
        return given

    return check


Form = Annotated[
    str | None,
    typer.Option(
        "--format",
        callback=_one_of(FORMATS),
        metavar="jsonl|markdown|html|chat",
        help="jsonl: everything, for `chainlit-sqla import`; markdown and html: transcripts; "
        "chat: for training and evaluation. Unless given, the name of the output tells; "
        "to standard output it is jsonl.",
    ),
]
Output = Annotated[
    str,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE|FOLDER/",
        help="A file (packed if it ends with .gz), a folder with a file for each "
        "conversation (markdown and html), or - for standard output.",
    ),
]
Users = Annotated[
    list[str] | None,
    typer.Option("--user", metavar="NAME", help="Of this user (identifier or id)."),
]
Threads = Annotated[
    list[str] | None, typer.Option("--thread", metavar="ID", help="This conversation.")
]
Since = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="DATE",
        help="With an activity on this day (2026-01-31, in UTC) or at this instant, or later.",
    ),
]
Until = Annotated[
    str | None,
    typer.Option(
        "--until",
        metavar="DATE",
        help="Whose last activity was on this day at the latest, or before this instant.",
    ),
]
Feedback = Annotated[
    str | None,
    typer.Option(
        "--feedback",
        callback=_one_of(FEEDBACK),
        metavar="up|down|any",
        help="With such a feedback.",
    ),
]
Tags = Annotated[list[str] | None, typer.Option("--tag", metavar="TAG", help="With this tag.")]
Tools = Annotated[
    bool, typer.Option("--tools", help="With chat: also the calls of tools, and results.")
]
MessagesOnly = Annotated[
    bool,
    typer.Option(
        "--messages-only",
        help="With chat: no feedback and no metadata, for trainers that refuse them.",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there.")]
