"""How far a copy is, on stderr: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time

from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from ..storage import copy as transfer

SECONDS = 10.0
"""Between two lines where there is no terminal."""

_LISTED = {"source": "Listing the source", "target": "Listing the target"}


class Display:
    """Shows the progress of a copy.

    Args:
        console: Where; None: stderr.
        seconds: Between two lines where that is no terminal.

    Example:
        ``with Display() as display: Transfer(..., watch=display.show)``
    """

    def __init__(self, console: Console | None = None, *, seconds: float = SECONDS) -> None:
        self._console = console or Console(stderr=True)
        self._seconds = seconds
        self._said = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=8),
            TextColumn("{task.fields[amount]}"),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        )
        self._task: TaskID | None = None
        self._stage: transfer.Stage | None = None

    def __enter__(self) -> Display:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        """Write a line, above the bar."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def show(self, progress: transfer.Progress) -> None:
        """Show how far the copy is."""
        if self._console.is_terminal:
            self._move(progress)
        elif time.monotonic() - self._said >= self._seconds:
            self._said = time.monotonic()
            self.say(f"{_title(progress)}: {_amount(progress)}")

    def _move(self, progress: transfer.Progress) -> None:
        total = progress.total.size if progress.stage == "copy" else None
        if self._task is None or self._stage != progress.stage:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._stage = progress.stage
            self._task = self._bar.add_task(
                _title(progress),
                total=total,
                completed=progress.done.size if total is not None else 0,
                amount=_amount(progress),
            )
        completed = progress.done.size if total is not None else 0
        self._bar.update(self._task, total=total, completed=completed, amount=_amount(progress))


def _title(progress: transfer.Progress) -> str:
    return _LISTED.get(progress.stage, "Copying")


def _amount(progress: transfer.Progress) -> str:
    done, total = progress.done, progress.total
    if progress.stage != "copy":
        return f"{done.blobs:,} blobs, {decimal(done.size)}"
    return f"{done.blobs:,}/{total.blobs:,} blobs, {decimal(done.size)}/{decimal(total.size)}"
