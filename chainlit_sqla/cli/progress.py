"""How far a long command is: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from .._internal.progress import Watch

_SECONDS = 10.0
"""Between two lines where there is no terminal."""


@contextmanager
def progress(console: Console | None = None) -> Iterator[Watch]:
    """Show on stderr how far things are, until the end of the block.

    Args:
        console: Where, instead of stderr.

    Example:
        >>> with progress() as report:
        ...     report("files", 10, 200)
    """
    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield Lines(console)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[count]}"),
        _Rate(),
        TimeElapsedColumn(),
        _Left(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        yield _Bars(bars)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed else "")


class _Left(TimeRemainingColumn):
    def render(self, task: Task) -> Text:
        return Text("") if task.total is None else super().render(task) + Text(" left")


class _Bars:
    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, what: str, done: int, total: int | None) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=None, count="")
        count = f"{done:,}" if total in (None, done) else f"{done:,} of {total:,}"
        self._bars.update(self._tasks[what], completed=done, total=total, count=count)


class Lines:
    """Writes a line every ten seconds: what is short needs none.

    Args:
        console: Where.
        seconds: Between two lines.
    """

    def __init__(self, console: Console, seconds: float = _SECONDS) -> None:
        self._console = console
        self._seconds = seconds
        self._began: dict[str, tuple[float, int]] = {}
        self._said = time.monotonic()

    def __call__(self, what: str, done: int, total: int | None) -> None:
        """Tell how far it is, if it is time to."""
        now = time.monotonic()
        began, at_first = self._began.setdefault(what, (now, done))
        if now - self._said < self._seconds:
            return
        self._said = now
        words = f"{what}: {done:,}" + ("" if total is None else f" of {total:,}")
        if now > began and (rate := (done - at_first) / (now - began)):
            words += f", {rate:,.0f}/s"
            if total is not None and total >= done:
                words += f", {timedelta(seconds=round((total - done) / rate))} left"
        self._console.print(words, highlight=False, markup=False, soft_wrap=True)
