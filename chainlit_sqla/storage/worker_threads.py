"""Blocking writes in threads, which a caller that is cancelled does not leave behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


class Stopped(Exception):
    """A write was given up by its caller."""


async def in_thread(write: Callable[[threading.Event], T]) -> T:
    """Write in a thread; when cancelled, end only when that thread has let go.

    What is written can then be deleted for good: nothing stores it later.

    Args:
        write: Called with an event; soon after that is set it raises `Stopped`, unless it
            is done.
    """
    stop, future = threading.Event(), Future[T]()

    def run() -> None:
        if not future.set_running_or_notify_cancel():
            return  # Cancelled before there was a thread for it.
        try:
            result = write(stop)
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)

    asyncio.get_running_loop().run_in_executor(None, run)
    return await until_over(future, stop)


async def until_over(future: Future[T], stop: threading.Event) -> T:
    """Wait for a thread; when cancelled, tell it to stop and wait until it is over.

    Args:
        future: What the thread does.
        stop: Set when it shall end.
    """
    waiting = asyncio.wrap_future(future)
    try:
        return await asyncio.shield(waiting)
    except asyncio.CancelledError:
        stop.set()
        future.cancel()  # Works while it has no thread yet.
        while not waiting.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([waiting])
        if not waiting.cancelled():
            waiting.exception()  # Looked at, so that nobody warns of it.
        raise
