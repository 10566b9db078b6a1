"""Makes signatures in the background for the users who search.

Nothing is indexed while it is written: that would cost each message several times what
storing it does. A user's first search reads all their threads; from then on those that have
been quiet for some minutes have signatures, and a search reads only the others.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextvars import Context
from datetime import timedelta
from itertools import groupby
from operator import attrgetter
from typing import Any

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from .._internal import signature as _signature
from .._internal.aio import is_working
from .._internal.timestamps import now
from ..database import Database
from ..dialects import brief
from ..errors import ChainlitSqlaError
from ..writes import signatures
from ..writes.signatures import Place

log = logging.getLogger(__name__)

QUIET = timedelta(minutes=5)
"""A thread is signed when nothing was said in it for so long: sooner would be work lost."""
_FEW = 50
"""Threads that a search may as well read."""
_PORTION = 50
_MESSAGES, _FIRST_MESSAGES = 500, 100
_CHARACTERS = 1_000_000
"""How much text is read together, about."""
_AGAIN_SECONDS = 60.0
_USERS_KNOWN = 1_000


class SearchIndex:
    """Signs the threads of users who search.

    Args:
        database: Where the threads are.

    Example:
        >>> await SearchIndex(database).sign(user.id)
        10000
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._wanted: dict[str, None] = {}
        self._asked: OrderedDict[str, float] = OrderedDict()
        self._worker: asyncio.Task[None] | None = None
        self._failing = False
        self._expected: tuple[type[Exception], ...] = (
            ChainlitSqlaError,
            *database.dialect.errors,
        )

    def wanted(self, user_id: str) -> None:
        """Note that a user searches; their threads are signed soon, if they have many.

        Args:
            user_id: The user.
        """
        asked = self._asked.get(user_id)
        if asked is not None and time.monotonic() - asked < _AGAIN_SECONDS:
            return
        self._asked[user_id] = time.monotonic()
        self._asked.move_to_end(user_id)
        if len(self._asked) > _USERS_KNOWN:
            self._asked.popitem(last=False)
        self._wanted[user_id] = None
        if not is_working(self._worker):
            # In no context of a request: it works for whoever comes.
            self._worker = asyncio.create_task(self._work(), context=Context())

    async def sign(self, user_id: str, *, unless_few: bool = False) -> int:
        """Sign all quiet threads of a user that have no signature.

        Args:
            user_id: The user.
            unless_few: Leave it where there are few of them.

        Returns:
            How many were signed.

        Raises:
            DatabaseUnavailable: The database cannot be reached or written.
        """
        before: Place = (now() - QUIET, "")
        if unless_few and len(await self._unsigned(user_id, before, _FEW)) < _FEW:
            return 0
        number = 0
        while places := await self._unsigned(user_id, before, _PORTION):
            began = time.monotonic()
            number += await self._sign(user_id, places)
            before = places[-1]
            await asyncio.sleep((time.monotonic() - began) / 2)  # A third is for others.
        return number

    async def close(self) -> None:
        """End what is under way; it goes on at a next search."""
        self._wanted.clear()
        if is_working(self._worker):
            self._worker.cancel()
            await asyncio.wait([self._worker])

    async def _work(self) -> None:
        while self._wanted:
            user_id = next(iter(self._wanted))
            del self._wanted[user_id]
            try:
                number = await self.sign(user_id, unless_few=True)
                log.debug("Signed %d threads of a user who searches", number)
                self._failing = False
            except self._expected as error:  # A search works without, only slower.
                self._tell("Threads are not signed for searching: %s", brief(error))
            except Exception as error:
                self._tell("Threads are not signed for searching", exc_info=error)

    def _tell(self, message: str, *values: str, exc_info: Exception | None = None) -> None:
        """Log a failure, once until it is over: each user who searches would meet it."""
        level = logging.ERROR if exc_info else logging.INFO
        log.log(logging.DEBUG if self._failing else level, message, *values, exc_info=exc_info)
        self._failing = True

    async def _unsigned(self, user_id: str, before: Place, limit: int) -> list[Place]:
        found = await self._database.read(
            lambda connection: signatures.unsigned(connection, user_id, before, limit)
        )
        return list(found)

    async def _sign(self, user_id: str, places: list[Place]) -> int:
        name = uuid.uuid4().hex
        dialect = self._database.dialect
        async with self._database.write() as connection:
            titles = await signatures.claim(connection, dialect, user_id, places, name)
        if not titles:
            return 0
        drafts = {id: _signature.Draft() for id in titles}
        for id, title in titles.items():
            drafts[id].add([title or ""])
        await self._read_messages(drafts)
        made = {id: draft.signature() for id, draft in drafts.items()}
        async with self._database.write() as connection:
            await signatures.store(connection, made, name)
        return len(made)

    async def _read_messages(self, drafts: Mapping[str, _signature.Draft]) -> None:
        """Add the messages, a portion of them in memory at a time: fewer where they are long."""
        left = set(drafts)
        limit = min(_MESSAGES, _FIRST_MESSAGES)
        last: Row[Any] | None = None

        async def read(connection: AsyncConnection) -> Sequence[Row[Any]]:
            if last is None:
                return await signatures.messages(connection, left, limit)
            return await signatures.messages(connection, [last.threadId], limit, last.id)

        while left:
            rows = await self._database.read(read)
            await asyncio.to_thread(_add, drafts, rows)
            if len(rows) == limit:  # The threads before the last one are done.
                last = rows[-1]
                left.difference_update({row.threadId for row in rows} - {last.threadId})
                average = sum(len(row.output) for row in rows) / limit
                limit = max(1, min(_MESSAGES, 2 * limit, int(_CHARACTERS / (average + 1))))
            else:
                left = left - {last.threadId} if last else set()
                last = None


def _add(drafts: Mapping[str, _signature.Draft], rows: Sequence[Row[Any]]) -> None:
    for thread_id, of_thread in groupby(rows, attrgetter("threadId")):
        drafts[thread_id].add(row.output for row in of_thread)
