"""What a database of ours has put aside: all of it, or what belongs to some threads."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from sqlalchemy import ColumnElement, Row, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ...._internal import json as _json
from ....models import quarantine, steps, threads, users
from .base import QUARANTINED, Misfit, Origin
from .bounded_fetch import pages
from .normalize import identifier
from .quarantine import OTHERS

_THREADS = {"threads", "Thread", "thread"}
_USERS = {"users", "User", "user"}
"""Tables of all layers, and kinds of lines."""


class StoredAside:
    """Reads what was put aside.

    Args:
        connection: In a transaction that sees one state of the database.
        where: Which threads; then only rows that name one of them, or one of their owners.

    Example:
        ``async for misfit in StoredAside(connection).read(): ...``
    """

    def __init__(
        self, connection: AsyncConnection, where: ColumnElement[bool] | None = None
    ) -> None:
        self._connection = connection
        self._where = where

    async def read(self) -> AsyncGenerator[Misfit, None]:
        """Rows by their id, a few at a time."""
        key, wide = [quarantine.c.id], [quarantine.c.row]
        found = pages(self._connection, select(*quarantine.columns), key, wide)
        async with aclosing(found):
            async for rows in found:
                chosen = rows if self._where is None else await self._chosen(rows, self._where)
                for row in chosen:
                    origin = Origin(row.id, row.source, row.createdAt)
                    yield Misfit(QUARANTINED, row.origin, row.reason, row.row, origin=origin)

    async def _chosen(self, rows: Sequence[Row[Any]], where: ColumnElement[bool]) -> list[Row[Any]]:
        """Those that belong to the threads."""
        # Such a row is another user's than the thread of its id.
        named = [(row, _Named(row)) for row in rows if not row.reason.startswith(OTHERS)]
        chosen = select(threads.c.id).where(where)
        places = {one.thread for _, one in named} - {None}
        there = set(await self._connection.scalars(chosen.where(threads.c.id.in_(places))))
        of_step = steps.c
        judged = {one.step for _, one in named} - {None}
        query = select(of_step.id).where(of_step.id.in_(judged), of_step.threadId.in_(chosen))
        there_steps = set(await self._connection.scalars(query))
        names = {name for _, one in named for name in one.user}
        people = select(users.c.id, users.c.identifier).where(
            users.c.id.in_(select(threads.c.userId).where(where)),
            or_(users.c.id.in_(names), users.c.identifier.in_(names)),
        )
        owners = {name for row in await self._connection.execute(people) for name in row}
        return [
            row
            for row, one in named
            if one.thread in there or one.step in there_steps or owners.intersection(one.user)
        ]


class _Named:
    """What a row that was put aside says of where it belongs.

    Args:
        row: Of the table.
    """

    def __init__(self, row: Row[Any]) -> None:
        given, origin = _values(row.row), row.origin
        if given.keys() == {"line"}:  # Of a file: a record that cannot be one.
            given = _values(given["line"])
            origin = given.get("kind")
        own = identifier(given.get("id"))
        place = own if origin in _THREADS else identifier(given.get("threadId"))
        self.thread = place
        # A feedback may name nothing but its step.
        self.step = None if place else identifier(given.get("forId"))
        person = (own, identifier(given.get("identifier"))) if origin in _USERS else ()
        self.user = {name for name in person if name}


def _values(given: Any) -> Mapping[str, Any]:
    if isinstance(given, str):
        try:
            given = _json.loads(given)
        except ValueError:
            return {}
    return given if isinstance(given, dict) else {}
