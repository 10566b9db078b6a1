"""Waiting for a condition instead of for a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from inspect import isawaitable

PATIENCE = 90
"""Seconds until a condition that does not come true fails the test."""


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Wait until something that can only be polled is true."""
    async with asyncio.timeout(PATIENCE):
        while True:
            met = condition()
            if await met if isawaitable(met) else met:
                return
            await asyncio.sleep(0.02)
