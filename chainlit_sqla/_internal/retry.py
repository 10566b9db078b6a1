"""Repeating work that failed, and finding the items that make work on many items fail."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


async def retry(
    work: Callable[[], Awaitable[T]],
    is_transient: Callable[[Exception], bool],
    *,
    seconds: float | None = None,
    attempts: int | None = None,
    first_pause: float = 0.05,
    longest_pause: float = 2.0,
    on_retry: Callable[[Exception, float], None] | None = None,
    sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
) -> T:
    """Call ``work`` until it succeeds, fails for good, or a limit is reached.

    It must be safe to repeat; its last error is raised unchanged. ``is_transient`` may keep state,
    such as the number of errors of one kind. No attempt begins later than ``seconds`` after the
    first one. The pauses double; each is shortened by a random part of up to a half, so that
    clients that failed together do not return together. Cancelling the caller cancels the work or
    the pause. Another ``sleep`` lets a shutdown end a pause early.
    """
    began, attempt, doubled = time.monotonic(), 0, first_pause
    while True:
        attempt += 1
        try:
            return await work()
        except Exception as error:
            pause = min(doubled, longest_pause) * random.uniform(0.5, 1.0)  # noqa: S311
            is_late = seconds is not None and time.monotonic() - began + pause >= seconds
            # The caller's predicate may count errors, so it is asked about the last one, too.
            if not is_transient(error) or attempt == attempts or is_late:
                raise
            if on_retry:
                on_retry(error, pause)
        await sleep(pause)
        doubled = min(doubled * 2, longest_pause)


async def bisect(
    items: Sequence[T],
    work: Callable[[Sequence[T]], Awaitable[Any]],
    is_refusal: Callable[[Exception], bool],
    on_refused: Callable[[T, Exception], None],
) -> None:
    """Do work on items together, and in ever smaller halves where some of them are refused.

    The items keep their order: the first half is finished before the second one begins, and
    ``on_refused`` is called in that order, too.

    ``work`` does all or nothing, so that a half can be repeated. An error that is no refusal is
    raised, and the items after it are left.
    """
    if not items:
        return
    try:
        await work(items)
    except Exception as error:
        if not is_refusal(error):
            raise
        if len(items) == 1:
            on_refused(items[0], error)
            return
    else:
        return
    middle = len(items) // 2
    await bisect(items[:middle], work, is_refusal, on_refused)
    await bisect(items[middle:], work, is_refusal, on_refused)
