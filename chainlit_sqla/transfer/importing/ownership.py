"""`Claims`: whose the threads of a source are, and which are somebody else's in the target."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from ...models import threads
from ..records import Record
from .quarantine import OTHERS, UNSAID

Owner = tuple[str | None, str | None]
"""The identifier and the id of a user, as far as they are said."""


class Claims:
    """What a source says of the owners of the threads of a batch.

    Of a thread that it has no record of, it says nothing: what lies in it may be written only
    where the thread belongs to nobody.
    """

    def __init__(self) -> None:
        self._owners: dict[str, Owner] = {}
        self.others: set[str] = set()
        """Threads that belong to somebody else in the target, of all batches."""

    def take(self, records: Iterable[Record]) -> None:
        """Note the owners of threads.

        Args:
            records: Threads, with the ids that users have in the target.
        """
        for record in records:
            values = record.values
            self._owners[values["id"]] = values["userIdentifier"], values["userId"]

    def forget(self) -> None:
        """After a batch: the next one says the owners of its threads itself."""
        self._owners.clear()

    async def look(self, connection: AsyncConnection, ids: Collection[str]) -> None:
        """Look which threads belong to somebody else in the target.

        Args:
            connection: To the target; the threads are locked.
            ids: The threads.
        """
        columns = threads.c.id, threads.c.userIdentifier, threads.c.userId
        query = select(*columns).where(threads.c.id.in_(ids))
        for id, *theirs in await connection.execute(query):
            if _differ(self._owners.get(id, (None, None)), (theirs[0], theirs[1])):
                self.others.add(id)

    def reason(self, id: str) -> str:
        """Why nothing is written into a thread of `others`.

        Args:
            id: The thread.
        """
        return OTHERS if id in self._owners else UNSAID


def _differ(ours: Owner, theirs: Owner) -> bool:
    """Whether a thread is somebody else's; also where only the target knows an owner."""
    for own, their in zip(ours, theirs, strict=True):
        if own is not None and their is not None:
            return own != their
    return theirs != (None, None)
