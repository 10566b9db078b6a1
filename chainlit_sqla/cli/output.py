"""What commands show on the terminal: progress, tables of counts, and the request to confirm."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
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
# Up to the last "@", since a password may contain ":", "/" and "@".
_PASSWORD = re.compile(r"(?<=//)([^/:@]*:).+(?=@)", re.DOTALL)
_CLOUD_URL = re.compile(r"(?:s3|gs|az)://")
_PASSWORD_PARAMETER = re.compile(r"(?i)(?<=password=)[^&]+")


def plural(count: int, noun: str) -> str:
    """A count with its noun.

    Example:
        >>> plural(1, "step"), plural(1200, "step")
        ('1 step', '1,200 steps')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def mask_url(url: str) -> str:
    """Hide the password in a URL.

    Example:
        >>> mask_url("postgresql://me:secret@db/chats")
        'postgresql://me:***@db/chats'
        >>> mask_url("s3://key:se/cret@bucket")
        's3://***@bucket'
    """
    if _CLOUD_URL.match(url):
        return mask_storage_url(url)
    return _PASSWORD_PARAMETER.sub("***", _PASSWORD.sub(r"\1***", url))


def format_table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Align the cells of a table: the first column to the left, the others to the right.

    Args:
        rows: The cells, the header first.

    Example:
        >>> list(format_table([("", "rows"), ("users", "3")]))
        ['       rows', 'users     3']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        yield "  ".join([first.ljust(widths[0]), *cells]).rstrip()


def format_reasons(
    title: str, counts: Mapping[tuple[str, str], int], names: Mapping[str, str]
) -> Iterator[str]:
    """List how many rows of which kind were handled for which reason; empty without rows.

    Args:
        title: The line above the list.
        counts: The number of rows by kind and reason.
        names: The plural of each kind.
    """
    if counts:
        yield title
        for (kind, reason), count in sorted(counts.items()):
            yield f"  {names[kind]}: {count:,} ({reason})"


def confirm(question: str, *facts: str, refusal: str) -> bool:
    """Ask for confirmation on the terminal.

    Args:
        question: Ends with a question mark.
        *facts: Lines to print before it.
        refusal: The error where there is no terminal; ends with the repair.

    Raises:
        ConfigurationError: There is no terminal.
        KeyboardInterrupt: The user pressed Ctrl+C, or the terminal was closed.
    """
    if not sys.stdin.isatty():
        raise ConfigurationError(refusal)
    for fact in facts:
        typer.echo(fact)
    try:
        return typer.confirm(question)
    except typer.Abort:
        raise KeyboardInterrupt from None


@contextmanager
def progress(
    console: Console | None = None, *, amount: Callable[[int], str] = "{:,}".format
) -> Iterator[Watch]:
    """Show progress until the end of the block: a bar on a terminal, else a line now and then.

    Args:
        console: Where to show it; None: stderr.
        amount: Formats a number of rows, or of bytes (``rich.filesize.decimal``).

    Example:
        >>> with progress() as watch:
        ...     watch("files", 10, 200)
    """
    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield ProgressLog(console, amount=amount)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[state]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        yield _ProgressBars(bars, amount)


class _Rate:
    """The amount a second since the first report, and the time that is left at that rate."""

    def __init__(self, done: int) -> None:
        self._started, self._at_start = time.monotonic(), done

    def describe(self, done: int, total: int | None, amount: Callable[[int], str]) -> str:
        state = amount(done) + ("" if total in (None, done) else f" of {amount(total)}")
        seconds = time.monotonic() - self._started
        rate = (done - self._at_start) / seconds if seconds else 0
        if rate <= 0:
            return state
        state += f", {amount(round(rate))}/s"
        if total is not None and total > done:
            state += f", {timedelta(seconds=round((total - done) / rate))} left"
        return state


class _ProgressBars:
    """A bar for each thing that is counted."""

    def __init__(self, bars: Progress, amount: Callable[[int], str]) -> None:
        self._bars, self._amount = bars, amount
        self._tasks: dict[str, tuple[TaskID, _Rate]] = {}

    def __call__(self, what: str, done: int, total: int | None) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=None, state=""), _Rate(done)
        task, rate = self._tasks[what]
        state = rate.describe(done, total, self._amount)
        self._bars.update(task, completed=done, total=total, state=state)


class ProgressLog:
    """Writes a line every ten seconds; a short command writes none.

    Args:
        console: Where to write.
        seconds: The time between two lines.
        amount: Formats a number of rows or bytes.
    """

    def __init__(
        self,
        console: Console,
        seconds: float = _LOG_SECONDS,
        *,
        amount: Callable[[int], str] = "{:,}".format,
    ) -> None:
        self._console, self._seconds, self._amount = console, seconds, amount
        self._rates: dict[str, _Rate] = {}
        self._last_line = time.monotonic()

    def __call__(self, what: str, done: int, total: int | None) -> None:
        """Report progress; writes a line if the last one is old enough."""
        rate = self._rates.setdefault(what, _Rate(done))
        if time.monotonic() - self._last_line < self._seconds:
            return
        self._last_line = time.monotonic()
        line = f"{what}: {rate.describe(done, total, self._amount)}"
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)
