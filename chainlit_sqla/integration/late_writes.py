"""Writes to a thread that was deleted meanwhile, perhaps in another window."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from ..errors import ThreadDeleted
from ..writes.operations import Op, SaveThread, printable_id
from .session import current_session

log = logging.getLogger(__name__)

_MOST_REPORTED = 1_000


class LateWrites:
    """Reports dropped writes, once for each thread and session.

    ``on_drop`` is called with the id of the thread, in the context of the write.
    """

    def __init__(self, on_drop: Callable[[str], Awaitable[None]]) -> None:
        self._on_drop = on_drop
        self._reported: set[tuple[str | None, str]] = set()

    async def check(self, result: Any, op: Op | None = None) -> None:
        """Raise `ThreadDeleted` if that is the result of a write.

        Chainlit writes a session's variables when its window closes: nobody misses these.
        """
        if not isinstance(result, ThreadDeleted):
            return
        if isinstance(op, SaveThread) and not op.values:
            log.info("%s", result)
            return
        await self._report(result)
        raise result

    async def _report(self, error: ThreadDeleted) -> None:
        session = current_session()
        key = session.id if session else None, error.thread_id
        if key in self._reported:
            return
        if len(self._reported) >= _MOST_REPORTED:
            self._reported.clear()
        self._reported.add(key)
        log.warning("%s", error)
        try:
            await self._on_drop(error.thread_id)
        except Exception:
            log.exception("Not reported: deleted thread %s", printable_id(error.thread_id))
