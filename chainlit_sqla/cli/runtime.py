"""The boundary where an error becomes one sentence and an exit code."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import traceback
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

import typer
from typer.core import TyperGroup

from ..errors import ChainlitSqlaError

T = TypeVar("T")

DEBUG = "CHAINLIT_SQLA_DEBUG"
"""The variable that ``--debug`` sets."""

INTERRUPTED = 130
"""The exit code of a command that Ctrl+C ended: 128 and the number of the signal."""

_OFF = {"", "0", "false", "no", "off"}


class Interruptible(TyperGroup):
    """Commands of which Ctrl+C is told in a line, unless they tell more of it themselves."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Run the command that was given."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("Interrupted.", err=True)
            raise typer.Exit(INTERRUPTED) from None


def debugging() -> bool:
    """Whether tracebacks are wanted."""
    return os.environ.get(DEBUG, "").lower() not in _OFF


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit; the entry point of ``chainlit-sqla``.

    Args:
        arguments: None takes those of the process.
    """
    from .app import app

    try:
        app(args=arguments, prog_name="chainlit-sqla")
    except Exception as error:
        fail(error)
    raise SystemExit(0)


def fail(error: BaseException) -> NoReturn:
    """Print an error as one sentence on stderr and exit with 1."""
    if debugging():
        traceback.print_exception(error)
    typer.secho("Error: ", fg=typer.colors.RED, bold=True, nl=False, err=True)
    typer.echo(sentence(error), err=True)
    raise SystemExit(1)


def sentence(error: BaseException) -> str:
    """What to say about an error: our own message, or what an unexpected one is.

    Args:
        error: Any exception.

    Example:
        >>> sentence(ValueError("no such port"))
        'Unexpected ValueError: no such port (--debug shows where)'
    """
    if isinstance(error, ChainlitSqlaError):
        return str(error)
    cause = getattr(error, "orig", None) or error
    lines = str(cause).strip().splitlines() or ["no message"]
    return f"Unexpected {type(cause).__name__}: {lines[0]} (--debug shows where)"


def complete(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in a loop of its own, and leave nothing of it behind.

    Not ``asyncio.run``: it would leave the thread without a current loop, which Chainlit
    asks for when it starts; and Chainlit replaces it by one that needs the main thread.
    """
    ours = logging.getLogger("chainlit_sqla")
    level = ours.level
    if not debugging():
        ours.setLevel(logging.ERROR)  # The sentence says what the warnings say.
    try:
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            return runner.run(_to_the_last_thread(work))
    finally:
        ours.setLevel(level)


@contextmanager
def ended_softly() -> Iterator[None]:
    """Let a request to end, and a terminal that went away, be what Ctrl+C is: cleaned up after."""
    before: dict[int, Any] = {}
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has not both.
        if number is not None and threading.current_thread() is threading.main_thread():
            before[number] = signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def warnings_to(say: Callable[[str], None]) -> Iterator[None]:
    """Pass on what is warned of inside `complete`, such as a file whose description is damaged.

    Args:
        say: Called with each warning.
    """

    class Passed(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            say(f"{record.levelname.capitalize()}: {record.getMessage()}")

    logger, handler = logging.getLogger("chainlit_sqla"), Passed(logging.WARNING)
    level = logger.level
    logger.setLevel(min(logger.getEffectiveLevel(), logging.WARNING))
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


async def _to_the_last_thread(work: Coroutine[Any, Any, T]) -> T:
    """Let the threads of refused SQLite connections end while there is a loop to tell.

    aiosqlite does not wait for them; one that finds its loop closed prints a traceback.
    """
    before = set(threading.enumerate())
    try:
        return await work
    finally:
        for thread in set(threading.enumerate()) - before:
            if not thread.name.startswith("asyncio_"):  # The loop ends those itself.
                thread.join(1.0)
