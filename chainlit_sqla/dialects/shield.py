"""Waiting for what a driver does badly when it is cancelled in the middle."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

SECONDS = 5.0
"""How long whoever was cancelled waits."""


async def to_the_end(
    work: Coroutine[Any, Any, object], give_up: Callable[[], Awaitable[object]]
) -> None:
    """Let work end by itself where who waits for it is cancelled, but not for long.

    Args:
        work: What is not to be cancelled.
        give_up: Called where it does not end in time; then it is cancelled all the same.

    Example:
        >>> await to_the_end(connection.execute(statement, rows), terminate)
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        if not (await asyncio.wait([task], timeout=SECONDS))[0]:
            await give_up()
            task.cancel()
            await asyncio.wait([task], timeout=SECONDS)
        if task.done() and not task.cancelled():
            task.exception()  # Else asyncio logs that nobody asked for it.
        raise
