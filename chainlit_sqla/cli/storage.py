"""``storage``: the commands that look after attachments."""

from __future__ import annotations

import typer

from . import storage_check, storage_copy

app = typer.Typer(help="Look after the files of conversations.", no_args_is_help=True)

app.command("check")(storage_check.check)
app.command("copy")(storage_copy.copy)
