"""``export``."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import dataclass

import typer

from .._internal.progress import Watch
from ..database import Database
from ..errors import ConfigurationError
from ..settings import Settings
from ..transfer.exporting import Selection
from ..transfer.exporting.openai import ChatOptions
from ..transfer.exporting.run import CHAT, Done, Export
from .doctor import version_of
from .export_form import chosen_form
from .export_options import (
    Feedback,
    Force,
    Form,
    MessagesOnly,
    Output,
    Since,
    Tags,
    Threads,
    Tools,
    Until,
    Users,
)
from .export_report import left_behind, summary
from .export_target import STDOUT, Target
from .options import Schema, Url, settings_for
from .output import progress
from .runtime import EXIT_INTERRUPTED, run_async, signals_as_interrupt

CLOSED_PIPE = 141
"""The exit code of a command whose reader went away: 128 and the number of the signal."""


def export(
    form: Form = None,
    output: Output = STDOUT,
    users: Users = None,
    threads: Threads = None,
    since: Since = None,
    until: Until = None,
    feedback: Feedback = None,
    tags: Tags = None,
    tools: Tools = False,
    messages_only: MessagesOnly = False,
    force: Force = False,
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
    which = {"users": users, "threads": threads, "tags": tags}
    lists = {name: tuple(given or ()) for name, given in which.items()}
    selection = Selection.parse(since=since, until=until, feedback=feedback, **lists)
    settings = settings_for(url, schema)
    target = Target(output, force=force)
    chosen = chosen_form(form, target)
    if chosen != CHAT and (tools or messages_only):
        raise ConfigurationError("--tools and --messages-only belong to --format chat; add it")
    chat = ChatOptions(tools, messages_only, liked=selection.feedback == "up")
    _Order(settings, chosen, selection, chat, target).carry_out()


@dataclass(frozen=True, slots=True)
class _Order:
    """What was asked for."""

    settings: Settings
    form: str
    selection: Selection
    chat: ChatOptions
    target: Target

    def carry_out(self) -> None:
        """Export, and say what that did."""
        try:
            with signals_as_interrupt():
                done = self._watched()
        except KeyboardInterrupt:
            typer.echo(f"Interrupted.{left_behind(self.target)}", err=True)
            raise typer.Exit(EXIT_INTERRUPTED) from None
        except BrokenPipeError:
            raise typer.Exit(CLOSED_PIPE) from None
        typer.echo(summary(done, self.form, self.selection, self.target), err=True)

    def _watched(self) -> Done:
        # On a terminal, a bar would be drawn into what is written there.
        on_terminal = self.target.path is None and sys.stdout.isatty()
        with nullcontext(_silent) if on_terminal else progress() as watch:
            return run_async(self._run(watch))

    async def _run(self, watch: Watch) -> Done:
        database = Database(settings=self.settings, read_only=True)
        try:
            work = Export(
                database,
                self.form,
                self.selection,
                chat=self.chat,
                release=version_of("chainlit-sqla"),
                watch=watch,
            )
            return await work.run(self.target)
        finally:
            await database.close()


def _silent(_what: str, _done: int, _total: int | None) -> None:
    """Show nothing."""
