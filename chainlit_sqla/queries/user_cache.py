"""Users by their identifier, cached for seconds: each request reads one.

Guarantees:

- A read that begins after a write of the same layer returned sees the write: while a user is
  being written, the user is not cached, nor is the result of a read that began before.
- Writes of another process are seen after the configured age at the latest.
- While the database is unavailable, a user who was cached is found all the same: what is written
  in the user's session then still belongs to the user.
- An unknown identifier is not cached: logging in creates the user at any time.
- Concurrent reads of one identifier are one query.
- Each caller gets its own copy of the metadata and may change it.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Select, bindparam, select

from .._internal import json as _json
from .._internal.aio import is_working, start_background
from ..dialects import Dialect
from ..errors import DatabaseUnavailable
from ..models import users
from . import select_columns

COLUMNS = ("id", "identifier", "displayName", "metadata", "createdAt")

_STALE = 0.0
SIZE = 1_024
"""Users cached at most; the least recently used one is evicted."""


@cache
def by_identifier(dialect: Dialect) -> Select[*tuple[Any, ...]]:
    """Select the user with the ``identifier``; identifiers are case-sensitive."""
    query = select(*select_columns(dialect, users, COLUMNS))
    return query.where(users.c.identifier == bindparam("identifier"))


@dataclass(frozen=True, slots=True)
class KnownUser:
    """A row of the table of users; the metadata is JSON text, so each caller parses its own."""

    id: str
    identifier: str
    display_name: str | None
    metadata: str
    created_at: str

    def own_metadata(self) -> dict[str, Any]:
        """Parse the metadata for one caller."""
        metadata = _json.loads(self.metadata)
        return metadata if isinstance(metadata, dict) else {}  # Written by another program.


class UserCache:
    """Caches users for some seconds; 0 caches nothing."""

    def __init__(
        self,
        read: Callable[[str], Coroutine[Any, Any, KnownUser | None]],
        seconds: float,
        size: int = SIZE,
    ) -> None:
        self._read = read
        self._seconds = seconds
        self._size = size
        self._cached: OrderedDict[str, tuple[float, KnownUser]] = OrderedDict()
        self._queries: dict[str, asyncio.Task[KnownUser | None]] = {}
        self._pending_writes: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._cached)

    async def get(self, identifier: str) -> KnownUser | None:
        """Return the user of an identifier, None if there is none."""
        entry = self._cached.get(identifier)
        if entry and time.monotonic() < entry[0]:
            self._cached.move_to_end(identifier)
            return entry[1]
        if not self._seconds:
            return await self._read(identifier)
        try:
            return await asyncio.shield(self._query(identifier))
        except DatabaseUnavailable:
            if entry is None:
                raise
            return entry[1]

    def writing(self, identifier: str) -> Callable[[], None]:
        """Stop caching a user, and discard the result of a read that is under way.

        Call the returned function once, when the write is committed or has failed.
        """
        self._pending_writes[identifier] += 1
        self._evict(identifier)

        def written() -> None:
            self._pending_writes -= Counter((identifier,))
            self._evict(identifier)

        return written

    def _evict(self, identifier: str) -> None:
        if entry := self._cached.get(identifier):
            self._cached[identifier] = _STALE, entry[1]
        self._queries.pop(identifier, None)  # Earlier callers get its result; later ones do not.

    def _query(self, identifier: str) -> asyncio.Task[KnownUser | None]:
        task = self._queries.get(identifier)
        if is_working(task):
            return task
        until = time.monotonic() + self._seconds  # A result is as old as the start of its query.
        task = start_background(self._read(identifier))
        self._queries[identifier] = task
        task.add_done_callback(lambda done: self._store(identifier, done, until))
        return task

    def _store(self, identifier: str, task: asyncio.Task[KnownUser | None], until: float) -> None:
        failed = task.cancelled() or task.exception()  # Retrieved, so that asyncio logs nothing.
        if self._queries.get(identifier) is not task:
            return  # The user was written meanwhile.
        del self._queries[identifier]
        if failed:
            return
        if (user := task.result()) is None:
            self._cached.pop(identifier, None)
        else:
            self._cached[identifier] = _STALE if self._pending_writes[identifier] else until, user
            self._cached.move_to_end(identifier)
            if len(self._cached) > self._size:
                self._cached.popitem(last=False)
