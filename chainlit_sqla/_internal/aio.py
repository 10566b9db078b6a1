"""Helpers for asyncio and long operations: objects and tasks of an event loop, progress."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from typing import Any, Generic, TypeGuard, TypeVar

T = TypeVar("T")
Watch = Callable[[str, int, int | None], object]
"""Called with a description, the number of finished items and their total, if known."""
CANCEL_SECONDS = 0.5
"""How long closing waits for the end of what it cancelled."""
SHIELD_SECONDS = 5.0
"""How long a cancelled caller of `shield_with_timeout` waits."""


def quiet(_what: str, _done: int, _total: int | None) -> None:
    """Ignore progress."""


class PerLoop(Generic[T]):
    """Holds one object, such as a lock, for the running event loop; a new loop gets a new one."""

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
    """

    def __init__(self, function: Callable[[], Awaitable[None]]) -> None:
        self._function = function
        self._done = False
        self._attempt: asyncio.Task[None] | None = None

    async def wait(self) -> None:
        """Return when the function has succeeded; raise its error where it fails."""
        if self._done:
            return
        if not is_working(self._attempt):
            self._attempt = start_background(self._run())
        await asyncio.shield(self._attempt)

    def forget(self) -> None:
        """Have the next caller run the function again."""
        self._done = False

    async def _run(self) -> None:
        await self._function()
        self._done = True


def start_background(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Start work that outlives its caller, in a context of its own.

    In the caller's context it would keep a session alive, and be logged as its request's.
    """
    return asyncio.create_task(work, context=Context())


def is_working(task: asyncio.Task[T] | None) -> TypeGuard[asyncio.Task[T]]:
    """Return whether a task runs in this loop: neither done nor left behind by an ended loop."""
    return task is not None and not task.done() and task.get_loop() is asyncio.get_running_loop()


def is_awaited(future: asyncio.Future[Any]) -> bool:
    """Return whether a caller can receive a result: its event loop may have ended."""
    return not future.done() and not future.get_loop().is_closed()


async def shield_with_timeout(
    work: Coroutine[Any, Any, T], give_up: Callable[[], Awaitable[object]]
) -> T:
    """Let work finish although its caller is cancelled, but not for long.

    Where it does not finish in time, ``give_up`` is called and the work is cancelled all the same.
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
