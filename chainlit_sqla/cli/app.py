"""The command tree of ``chainlit-sqla``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from .. import __version__
from . import adopt, delete, doctor, export, import_, run, schema, search, storage
from .runtime import DEBUG_VARIABLE, InterruptibleGroup, exit_with_error

app = typer.Typer(
    name="chainlit-sqla",
    cls=InterruptibleGroup,
    no_args_is_help=True,
    add_completion=False,
    # Plain text is the same in each release of typer, and docs/cli.md is generated from it.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

app.command("upgrade")(schema.upgrade)
# A relative revision looks like an option: `downgrade -1`.
app.command("downgrade", context_settings={"ignore_unknown_options": True})(schema.downgrade)
app.command("current")(schema.current)
app.command("doctor")(doctor.doctor)
app.command("run", context_settings={"ignore_unknown_options": True, "allow_extra_args": True})(
    run.run
)
app.command("import")(import_.import_)
app.command("export")(export.export)
app.command("delete")(delete.delete)
app.command("adopt")(adopt.adopt)
app.command("unadopt")(adopt.unadopt)
app.command("demo")(run.demo)
app.add_typer(search.app, name="search")
app.add_typer(storage.app, name="storage")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"chainlit-sqla {__version__}")
        raise typer.Exit


@app.callback()
def _global(
    debug: Annotated[bool, typer.Option("--debug", help="Print tracebacks of errors.")] = False,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """A SQLAlchemy data layer for Chainlit.

    Settings come from the environment and from .env; see docs/settings.md.
    """
    if debug:
        os.environ[DEBUG_VARIABLE] = "1"


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line with these arguments or those of the process, and exit."""
    try:
        app(args=arguments, prog_name="chainlit-sqla")
    except Exception as error:
        exit_with_error(error)
    raise SystemExit(0)
