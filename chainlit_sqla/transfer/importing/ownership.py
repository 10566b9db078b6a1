"""Who a source's users and threads are in the target.

A user is identified by the identifier, as in the data layer; the id is the target's. An import
neither takes a thread over from another user nor writes into it.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..._internal.timestamps import EPOCH
from ...models import threads, users
from ..records import Record

Owner = tuple[str | None, str | None]
"""The identifier and the id of a user, as far as they are known."""
_IDS = uuid.UUID("5a1c7a4e-4e0b-5a5e-9d3c-5b1f0a6b7c21")


class Ownership:
    """The ids of the source's users in the target, and the threads that belong to others there."""

    def __init__(self) -> None:
        self._target_ids: dict[str, str] = {}
        """The ids of users in the target, where the source has other ones."""
        self._owners: dict[str, Owner] = {}
        self.owners: dict[str, Owner] = {}
        """The owners of the batch's threads in the target, as of the last `check`."""
        self.foreign: set[str] = set()
        """Threads of the batch that belong to another user in the target."""

    def adapt(self, record: Record) -> Record:
        """The record as it is stored in the target, once its user is matched."""
        name = {"user": "id", "thread": "userId"}.get(record.kind)
        id = self._target_ids.get(record.values[name]) if name else None
        if name is None or id is None:
            return record
        return replace(record, values={**record.values, name: id})

    async def match_users(self, connection: AsyncConnection, records: Sequence[Record]) -> None:
        """Find the ids that users of the source have, or are to get, in the target."""
        names = [record.values["identifier"] for record in records]
        ids = [record.values["id"] for record in records]
        stored = await connection.execute(
            select(users.c.identifier, users.c.id).where(
                users.c.identifier.in_(names) | users.c.id.in_(ids)
            )
        )
        id_of = {row.identifier: row.id for row in stored}
        taken_ids = set(id_of.values())
        for record in records:
            id, name = record.values["id"], record.values["identifier"]
            target_id = id_of.get(name, id)
            if name not in id_of and id in taken_ids:
                target_id = str(uuid.uuid5(_IDS, f"{id} {name}"))  # The same in each run.
            id_of[name] = target_id  # Two users with one identifier are one.
            if target_id != id:
                self._target_ids[id] = target_id

    def add_threads(self, records: Iterable[Record]) -> None:
        """Add threads of the batch, with the ids that users have in the target."""
        for record in records:
            values = record.values
            self._owners[values["id"]] = values["userIdentifier"], values["userId"]

    def end_batch(self) -> None:
        """Drop the threads: the next batch has its own."""
        self._owners.clear()
        self.owners.clear()
        self.foreign.clear()

    async def check(self, connection: AsyncConnection, ids: Collection[str]) -> None:
        """Find threads that belong to another user in the target; they must be locked.

        A thread whose owner the batch does not say may only belong to nobody there.
        """
        columns = threads.c.id, threads.c.userIdentifier, threads.c.userId
        query = select(*columns).where(threads.c.id.in_(ids))
        for id, identifier, user_id in await connection.execute(query):
            self.owners[id] = identifier, user_id
            if _differ(self._owners.get(id, (None, None)), (identifier, user_id)):
                self.foreign.add(id)


def _differ(source: Owner, target: Owner) -> bool:
    """Whether any of what both sides know differs: a file can name one user by each."""
    pairs = zip(source, target, strict=True)
    known = [own == their for own, their in pairs if own is not None and their is not None]
    return not all(known) if known else target != (None, None)


def imported_columns(user: Record) -> tuple[str, ...]:
    """The columns that an import updates of a user who exists in the target.

    A display name or a creation time that the source does not know replaces none.
    """
    values = user.values
    names = ["metadata"] if values["displayName"] is None else ["displayName", "metadata"]
    return tuple(names if values["createdAt"] in (None, EPOCH) else [*names, "createdAt"])
