"""Helpers for asyncio: objects and tasks bound to an event loop, preparation that runs once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeGuard, TypeVar

T = TypeVar("T")
SHIELD_SECONDS = 5.0
"""How long a cancelled caller of `shield_with_timeout` waits."""


class PerLoop(Generic[T]):
    """Holds one object for the running event loop; a new loop gets a new object.

    Args:
        factory: Creates the object.

    Example:
        >>> lock = PerLoop(asyncio.Lock)
        >>> async def work():
        ...     async with lock.get():
        ...         ...
    """

    def __init__(self, factory: Callable[[], T]) -> None:
        self._factory = factory
        self._current: tuple[asyncio.AbstractEventLoop, T] | None = None

    def get(self) -> T:
        """Return the object of the running loop."""
        loop = asyncio.get_running_loop()
        if self._current is None or self._current[0] is not loop:
            self._current = loop, self._factory()
        return self._current[1]


class RunOnce:
    """Runs a function until it succeeds once.

    Concurrent callers share one attempt and its error; a later caller tries again, so a
    database that starts after the application is found.

    Args:
        function: The function to run.

    Example:
        >>> ready = RunOnce(prepare)
        >>> await ready.wait()
    """

    def __init__(self, function: Callable[[], Awaitable[None]]) -> None:
        self._function = function
        self._done = False
        self._attempt: asyncio.Task[None] | None = None

    async def wait(self) -> None:
        """Return when the function has succeeded.

        Raises:
            Exception: The error of the function.
        """
        if self._done:
            return
        if not is_working(self._attempt):
            self._attempt = asyncio.create_task(self._run())
        await asyncio.shield(self._attempt)

    async def _run(self) -> None:
        await self._function()
        self._done = True


def is_working(task: asyncio.Task[T] | None) -> TypeGuard[asyncio.Task[T]]:
    """Return whether a task runs in this loop: neither done nor left behind by an ended loop.

    Args:
        task: The task, if there was one.
    """
    return task is not None and not task.done() and task.get_loop() is asyncio.get_running_loop()


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
        if not (await asyncio.wait([task], timeout=SHIELD_SECONDS))[0]:
            await give_up()
            task.cancel()
            await asyncio.wait([task], timeout=SHIELD_SECONDS)
        if task.done() and not task.cancelled():
            task.exception()  # Otherwise asyncio logs that nobody asked for it.
        raise
