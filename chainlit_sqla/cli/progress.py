"""How far a long command is: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

_EVERY = 100_000

Report = Callable[[str, int, int | None], None]
"""Called with what is done, how many of it, and of how many where that is known."""


@contextmanager
def progress() -> Iterator[Report]:
    """Show on stderr how far things are, until the end of the block.

    Example:
        >>> with progress() as report:
        ...     report("files", 10, 200)
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(console)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[count]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        yield _Bars(bars)


class _Bars:
    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, what: str, done: int, total: int | None) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=None, count="")
        count = f"{done:,}" if total in (None, done) else f"{done:,} of {total:,}"
        self._bars.update(self._tasks[what], completed=done, total=total, count=count)


class _Lines:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._said: dict[str, int] = {}

    def __call__(self, what: str, done: int, total: int | None) -> None:
        if done == total or done - self._said.get(what, 0) >= _EVERY:
            self._said[what] = done
            self._console.print(f"{what}: {done:,}", highlight=False, markup=False, soft_wrap=True)
