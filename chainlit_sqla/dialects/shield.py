"""Waiting for what a driver does badly when it is cancelled in the middle."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
SECONDS = 5.0
"""How long a cancelled caller waits."""


async def shield_with_timeout(
    work: Coroutine[Any, Any, T], give_up: Callable[[], Awaitable[object]]
) -> T:
    """Let work finish although its caller is cancelled, but not for long.

    Args:
        work: The work that is not to be cancelled.
        give_up: Called where it does not finish in time; then it is cancelled all the same.

    Example:
        >>> await shield_with_timeout(connection.execute(statement, rows), terminate)
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if not (await asyncio.wait([task], timeout=SECONDS))[0]:
            await give_up()
            task.cancel()
            await asyncio.wait([task], timeout=SECONDS)
        if task.done() and not task.cancelled():
            task.exception()  # Otherwise asyncio logs that nobody asked for it.
        raise
