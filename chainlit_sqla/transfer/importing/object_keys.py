"""Which files an imported element may name.

Who has the row of an object key reads its file, and deletes it with the row; and whoever wrote an
import file chose the keys in it. So a key is accepted for the thread or the user that it names:

- ``threads/<thread>/…``: the keys of this package and of Chainlit's asyncpg layer;
- ``<user>/…`` for a user of the target: those of Chainlit's SQLAlchemy layer;
- any other key, unless another thread in the target has it.

MinIO drops a slash before a key, and file systems drop more, so a key counts as the path it names.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from posixpath import normpath

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from ...models import elements, users
from ...storage.keys import names_thread
from ..records import Record
from .ownership import Owner

FOREIGN_KEY = "its object key names the file of another thread or user; upload the file again"
"""The reason of elements that are quarantined for their key."""


async def find_foreign_keys(
    connection: AsyncConnection, records: Sequence[Record], owners: Mapping[str, Owner]
) -> Collection[tuple[str, ...]]:
    """Return the keys of the records whose object key is not theirs.

    ``owners`` are those of the records' threads in the target, whose rows are locked.
    """
    foreign: set[tuple[str, ...]] = set()
    by_user: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        key = _path(record.values["objectKey"] or "")
        if key.startswith("threads/"):
            if not names_thread(key, record.values["threadId"], record.values["id"]):
                foreign.add(record.key)
        elif key:
            by_user[key.partition("/")[0]].append(record)
    if not by_user:
        return foreign
    of_users = select(users.c.id, users.c.identifier).where(users.c.id.in_(by_user))
    for id, identifier in await connection.execute(of_users):
        owned_by_user = (None, id), (identifier, id), (identifier, None)
        foreign.update(
            record.key
            for record in by_user.pop(id)
            if owners.get(record.values["threadId"]) not in owned_by_user
        )
    others = [record for of_one in by_user.values() for record in of_one]
    threads_by_key: dict[str, set[str]] = defaultdict(set)
    keys = {record.values["objectKey"] for record in others}
    names = keys | set(map(_path, keys))
    of_keys = select(elements.c.objectKey, elements.c.threadId).where(
        elements.c.objectKey.in_(names)
    )
    for key, thread_id in await connection.execute(of_keys) if names else ():
        threads_by_key[key].add(thread_id)
    for record in others:
        key, thread_id = record.values["objectKey"], record.thread_id or ""
        for thread_ids in (threads_by_key[key], threads_by_key[_path(key)]):
            if thread_ids and thread_id not in thread_ids:
                foreign.add(record.key)
            thread_ids.add(thread_id)
    return foreign


def _path(key: str) -> str:
    """Return the path that a key names where slashes and dots have no meaning of their own."""
    return normpath(key.replace("\\", "/")).lstrip("/") if key else ""
