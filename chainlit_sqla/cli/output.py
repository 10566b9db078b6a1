"""What commands show on the terminal: progress, tables of counts, and the request to confirm."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from .._internal.aio import Watch
from ..errors import ConfigurationError
from ..storage.open_store import mask_storage_url

KIND_NAMES = {
    "user": "users",
    "thread": "threads",
    "step": "steps",
    "element": "elements",
    "feedback": "feedbacks",
}
"""The plural of each kind of record."""

_LOG_SECONDS = 10.0
_REFUSAL = "No changes made: confirmation needs a terminal. Re-run with --yes."
# Up to the last "@", since a password may contain ":", "/" and "@".
_PASSWORD = re.compile(r"(?<=//)([^/:@]*:).+(?=@)", re.DOTALL)
# Without "@host", or without a scheme.
_PASSWORD_AS_PORT = re.compile(r"(?<=//)([^/:@?[]*:)(?!\d+(?:[,/?]|$))[^/?@]+")
_PASSWORD_OF_NO_URL = re.compile(r"\A((?![^@]*//)[^:@]*:).+(?=@)", re.DOTALL)
_CLOUD_URL = re.compile(r"(?:s3|gs|az)://")
_SECRET_MEMBER = re.compile(r"(?i)(\w*(?:key|signature|sig|pass|passwd|pwd|secret|token)=)[^&;\s]+")
_KEY = re.compile(r"[A-Za-z0-9+/=_-]{40,}")  # No shorter than those of AWS.
_PASSWORD_PARAMETER = re.compile(r"(?i)(?<=password=)[^&]+")


def plural(count: int, noun: str) -> str:
    """A count with its noun."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def mask_url(url: str) -> str:
    """Hide the password in a URL."""
    if _CLOUD_URL.match(url):
        return mask_storage_url(url)
    return _PASSWORD_PARAMETER.sub("***", _PASSWORD.sub(r"\1***", url))


def mask_setting(value: str) -> str:
    """Hide what may be a secret in the value of a setting, which may belong to another one."""
    if _KEY.fullmatch(value):
        return "(set; not shown, since it may be a key)"
    value = mask_url(value)
    for pattern in (_PASSWORD_AS_PORT, _PASSWORD_OF_NO_URL, _SECRET_MEMBER):
        value = pattern.sub(r"\1***", value)
    return value


def format_table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Align the cells of a table: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        yield "  ".join([first.ljust(widths[0]), *cells]).rstrip()


def format_reasons(
    title: str, counts: Mapping[tuple[str, str], int], names: Mapping[str, str]
) -> Iterator[str]:
    """List the number of rows by kind and reason below a title; empty without rows."""
    if counts:
        yield title
        for (kind, reason), count in sorted(counts.items()):
            yield f"  {names[kind]}: {count:,} ({reason})"


def confirm(question: str, *facts: str, refusal: str = _REFUSAL) -> bool:
    """Ask for confirmation, after printing facts; without a terminal, raise the refusal."""
    if not sys.stdin.isatty():
        raise ConfigurationError(refusal)
    for fact in facts:
        typer.echo(fact)
    try:
        return typer.confirm(question)
    except typer.Abort:
        raise KeyboardInterrupt from None


@contextmanager
def progress() -> Iterator[Watch]:
    """Show progress until the end of the block: bars on a terminal, else a line now and then."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield progress_log(console)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def watch(what: str, done: int, total: int | None) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield watch


def progress_log(console: Console, seconds: float = _LOG_SECONDS) -> Watch:
    """Write a line every few seconds; a short command writes none."""
    last_line = time.monotonic()

    def watch(what: str, done: int, total: int | None) -> None:
        nonlocal last_line
        if time.monotonic() - last_line >= seconds:
            last_line = time.monotonic()
            line = f"{what}: {done:,}" + ("" if total is None else f" of {total:,}")
            console.print(line, highlight=False, markup=False, soft_wrap=True)

    return watch
