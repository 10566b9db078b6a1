"""Objects of asyncio that work in one event loop only, for owners that outlive it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeGuard, TypeVar

T = TypeVar("T")


class PerLoop(Generic[T]):
    """Keeps one object for the running loop; a new loop gets a new one.

    Args:
        make: Makes the object.

    Example:
        >>> lock = PerLoop(asyncio.Lock)
        >>> async def work():
        ...     async with lock.get():
        ...         ...
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._kept: tuple[asyncio.AbstractEventLoop, T] | None = None

    def get(self) -> T:
        """Return the object of the running loop."""
        loop = asyncio.get_running_loop()
        if self._kept is None or self._kept[0] is not loop:
            self._kept = loop, self._make()
        return self._kept[1]


def is_working(task: asyncio.Task[T] | None) -> TypeGuard[asyncio.Task[T]]:
    """Whether a task goes on in the running loop: not over, nor left by a loop that has ended.

    Args:
        task: The task, if there was one.
    """
    return task is not None and not task.done() and task.get_loop() is asyncio.get_running_loop()
