"""``doctor``: what is wrong, and the repair."""

from __future__ import annotations

import platform

import typer
from rich.console import Console
from rich.text import Text

from ..errors import ChainlitSqlaError
from ..settings import Settings
from .checks import Finding, Mark, examine
from .options import Schema, Url, given_options, settings_for
from .runtime import package_version, run_async
from .sources import effective, strangers

_COLOURS = {Mark.OK: "green", Mark.NOTE: "yellow", Mark.FAILED: "bold red", Mark.SKIPPED: "dim"}


def doctor(url: Url = None, schema: Schema = None) -> None:
    """Check that everything works.

    Looks at the settings, the database, its tables, the permission to write and the storage,
    and says what to repair. Changes no tables; what it writes is taken back. Exit code 1 when
    something does not work.
    """
    console = Console(highlight=False, soft_wrap=True)
    _line(console, Finding("versions", Mark.OK, _versions()))
    try:
        settings = settings_for(url, schema)
    except ChainlitSqlaError as error:
        _line(console, Finding("settings", Mark.FAILED, str(error)))
        raise typer.Exit(1) from None
    for stranger in strangers():
        _line(console, Finding("settings", Mark.NOTE, stranger))
    findings = run_async(examine(settings))
    for finding in findings:
        _line(console, finding)
    _settings(console, settings, given_options(url, schema))
    failures = sum(finding.mark is Mark.FAILED for finding in findings)
    if failures:
        checks = "check" if failures == 1 else "checks"
        console.print(f"\n{failures} {checks} failed.", style="bold red")
        raise typer.Exit(1)
    if any(finding.mark is Mark.NOTE for finding in findings):
        console.print("\nIt works, but see the note above.", style="yellow")
    else:
        console.print("\nEverything works.", style="green")


def _versions() -> str:
    packages = ("chainlit-sqla", "chainlit", "SQLAlchemy")
    return ", ".join(
        [
            *(f"{name} {package_version(name)}" for name in packages),
            f"Python {platform.python_version()}",
        ]
    )


def _line(console: Console, finding: Finding) -> None:
    mark = Text(f"{finding.mark.value:<8}", style=_COLOURS[finding.mark])
    console.print(mark + Text(f"{finding.name}: {finding.text}", style=""))


def _settings(console: Console, settings: Settings, options: dict[str, str]) -> None:
    """Print a table by hand: a value that is cut off at the margin cannot be compared."""
    rows = [("Setting", "Value", "From")]
    rows += [(s.variable, s.value, s.source) for s in effective(settings, options) if s.value]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    console.print()
    for number, (variable, value, source) in enumerate(rows):
        style = "bold" if number == 0 else "dim" if source == "default" else ""
        line = f"{variable:<{widths[0]}}  {value:<{widths[1]}}  {source}"
        console.print(Text(line, style=style))
