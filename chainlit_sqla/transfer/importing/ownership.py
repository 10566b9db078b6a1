"""Who a source's users and threads are in the target.

A user is identified by the identifier, as in the data layer; the id is the target's. An import
neither takes a thread over from another user nor writes into it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from ...models import threads
from ..records import EPOCH, Record
from ..sources import FOREIGN_THREAD

Owner = tuple[str | None, str | None]
"""The identifier and the id of a user, as far as they are known."""


class ThreadOwners:
    """The owners of the threads of a batch, and the threads that belong to others in the target."""

    def __init__(self) -> None:
        self._owners: dict[str, Owner] = {}
        self.foreign: set[str] = set()
        """Threads that belong to another user in the target, of all batches."""

    def add(self, records: Iterable[Record]) -> None:
        """Add threads of the source, with the ids that users have in the target."""
        for record in records:
            values = record.values
            self._owners[values["id"]] = values["userIdentifier"], values["userId"]

    def end_batch(self) -> None:
        """Drop the owners: the next batch has its own threads."""
        self._owners.clear()

    async def check(self, connection: AsyncConnection, ids: Collection[str]) -> None:
        """Find threads that belong to another user in the target.

        A thread whose owner the batch does not say may only belong to nobody there.

        Args:
            connection: A connection to the target that has locked the threads.
            ids: The threads.
        """
        columns = threads.c.id, threads.c.userIdentifier, threads.c.userId
        query = select(*columns).where(threads.c.id.in_(ids))
        for id, *owner in await connection.execute(query):
            if _differ(self._owners.get(id, (None, None)), (owner[0], owner[1])):
                self.foreign.add(id)

    def reason(self, id: str) -> str:
        """Why nothing is written into a foreign thread."""
        if id in self._owners:
            return FOREIGN_THREAD
        return f"{FOREIGN_THREAD}: the source does not have the thread, which names its owner"


def _differ(source: Owner, target: Owner) -> bool:
    for own, their in zip(source, target, strict=True):
        if own is not None and their is not None:
            return own != their
    return target != (None, None)


def imported_columns(user: Record) -> tuple[str, ...]:
    """The columns that an import updates of a user who exists in the target.

    A display name or a creation time that the source does not know replaces none.

    Args:
        user: The user as the source has it.

    Example:
        >>> imported_columns(Record.parse('{"kind": "user", "id": "1", "identifier": "me"}'))
        ('metadata',)
    """
    values = user.values
    names = [] if values["displayName"] is None else ["displayName"]
    names.append("metadata")
    return tuple(names if values["createdAt"] in (None, EPOCH) else [*names, "createdAt"])


def differing_columns(user: Record, stored: Mapping[str, Any]) -> tuple[str, ...]:
    """The imported columns of a user whose values differ.

    Args:
        user: The user as the source has it.
        stored: The values of the user with this identifier in the target.
    """
    return tuple(
        name
        for name in imported_columns(user)
        if _with(user, name, user.values[name]).digest() != _with(user, name, stored[name]).digest()
    )


def _with(user: Record, name: str, value: Any) -> Record:
    return Record("user", {**user.values, name: value})
