"""How commands run: their event loop, Ctrl+C, error messages and exit codes."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import traceback
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

import typer
from typer.core import TyperGroup

from ..errors import ChainlitSqlaError

T = TypeVar("T")

DEBUG_VARIABLE = "CHAINLIT_SQLA_DEBUG"
"""The environment variable that ``--debug`` sets."""
EXIT_INTERRUPTED = 130
"""The exit code after Ctrl+C: 128 plus the number of the signal."""

_FALSE_VALUES = {"", "0", "false", "no", "off"}


class InterruptibleGroup(TyperGroup):
    """Reports Ctrl+C in one line, unless the command has already reported it."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Run the requested command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            exit_interrupted("Interrupted.")


def exit_interrupted(message: str) -> NoReturn:
    """Print a message on stderr and exit with the code of Ctrl+C."""
    typer.echo(message, err=True)
    raise typer.Exit(EXIT_INTERRUPTED) from None


def debug_enabled() -> bool:
    """Whether errors are printed with their traceback."""
    return os.environ.get(DEBUG_VARIABLE, "").lower() not in _FALSE_VALUES


def exit_with_error(error: BaseException) -> NoReturn:
    """Print an error as one sentence on stderr and exit with 1."""
    if debug_enabled():
        traceback.print_exception(error)
    typer.secho("Error: ", fg=typer.colors.RED, bold=True, nl=False, err=True)
    typer.echo(error_message(error), err=True)
    raise SystemExit(1)


def error_message(error: BaseException) -> str:
    """Describe an error in one line: one of this package by itself, any other by its type."""
    if isinstance(error, ChainlitSqlaError):
        return str(error)
    cause = getattr(error, "orig", None) or error
    lines = str(cause).strip().splitlines() or ["no message"]
    return f"Unexpected {type(cause).__name__}: {lines[0]} (re-run with --debug for the traceback)"


def run_async(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in an event loop of its own; warnings of the package are silenced.

    Unlike ``asyncio.run``, the thread keeps its current loop: Chainlit asks for it when it
    starts, and replaces it by one that needs the main thread.
    """
    logger = logging.getLogger("chainlit_sqla")
    level = logger.level
    if not debug_enabled():
        logger.setLevel(logging.ERROR)  # The command's own error repeats what the warnings say.
    try:
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            return runner.run(_join_new_threads(coroutine))
    finally:
        logger.setLevel(level)


@contextmanager
def signals_as_interrupt() -> Iterator[None]:
    """Treat SIGTERM and SIGHUP as Ctrl+C inside the block, so that the same cleanup runs."""
    handlers: dict[int, Any] = {}
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows lacks SIGHUP.
        if number is not None and threading.current_thread() is threading.main_thread():
            handlers[number] = signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextmanager
def forward_warnings(echo: Callable[[str], None]) -> Iterator[None]:
    """Pass the package's warnings inside `run_async` to a function instead of silencing them."""

    class Forwarder(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            echo(f"{record.levelname.capitalize()}: {record.getMessage()}")

    logger, handler = logging.getLogger("chainlit_sqla"), Forwarder(logging.WARNING)
    level = logger.level
    logger.setLevel(min(logger.getEffectiveLevel(), logging.WARNING))
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


async def _join_new_threads(coroutine: Coroutine[Any, Any, T]) -> T:
    """Let the threads of refused SQLite connections end while their loop is still open.

    aiosqlite does not wait for them, and a thread that finds its loop closed prints a traceback.
    """
    threads_before = set(threading.enumerate())
    try:
        return await coroutine
    finally:
        for thread in set(threading.enumerate()) - threads_before:
            if not thread.name.startswith("asyncio_"):  # The loop ends its own threads.
                thread.join(1.0)
