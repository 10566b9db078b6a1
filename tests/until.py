"""Waiting for a condition instead of for a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

PATIENCE = 90
"""Seconds until a condition that does not come true fails the test."""


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something that can only be polled is true.

    Raises:
        TimeoutError: It never is.
    """
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.02)
