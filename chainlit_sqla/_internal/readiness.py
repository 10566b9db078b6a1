"""Preparation that happens once, before the first use, for all who wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class Readiness:
    """Runs a preparation until it succeeds once.

    Callers at the same time share one attempt, and its error; a later caller tries again,
    so a database that comes up after the application is found.

    Args:
        prepare: The preparation.
    """

    def __init__(self, prepare: Callable[[], Awaitable[None]]) -> None:
        self._prepare = prepare
        self._done = False
        self._attempt: asyncio.Task[None] | None = None

    async def wait(self) -> None:
        """Return when everything is prepared.

        Raises:
            Exception: What the preparation raised.
        """
        if self._done:
            return
        if self._attempt is None or self._attempt.done():
            self._attempt = asyncio.create_task(self._run())
        await asyncio.shield(self._attempt)

    async def _run(self) -> None:
        await self._prepare()
        self._done = True
