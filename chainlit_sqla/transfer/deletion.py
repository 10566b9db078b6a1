"""Deletes conversations for good, and users with all that is stored of them.

- A batch of threads is one transaction: their rows, tombstones against late writes, the keys of
  their files in the deletion queue. The selection is evaluated again under the locks of the
  threads, so that a conversation that has just become active is kept.
- Users are deleted last, when no thread is theirs any more. So the same command completes a run
  that was killed, and no cascade deletes rows without tombstones and without their files.
- The deletion queue is emptied at the end, also of what an earlier run left in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection, Select, delete, func, select

from .._internal.aio import Watch, quiet
from .._internal.retry import retry
from .._internal.timestamps import instant_of, next_ordinal
from ..database import Database
from ..models import elements, feedbacks, quarantine, steps, threads, tombstones, users
from ..storage.base import Inventory
from ..storage.deletion_worker import QueueResult, delete_due
from ..writes.execute_deletes import delete_locked_threads
from ..writes.tombstones import batched, lock_threads
from .selection import Selection

_PAGE = 5_000
"""Ids of threads that are held."""
_BATCH = 100
"""Threads deleted in one transaction, which locks them."""
_ATTEMPTS = 8

T = TypeVar("T")


@dataclass(slots=True)
class DeletionResult:
    """The numbers of deleted rows by table, and what became of the files."""

    rows: Counter[str] = field(default_factory=Counter)
    files: QueueResult = field(default_factory=QueueResult)


async def count_selected(database: Database, selection: Selection) -> Counter[str]:
    """Count what a deletion deletes: rows by table, ``files``, their ``bytes``.

    A thread that was deleted already is no mistake: the command that did it may be repeated.
    """
    selected = select(threads.c.id).where(_condition(database, selection))
    in_selected = {
        table: (table.c.id if table is threads else table.c.threadId).in_(selected)
        for table in (threads, steps, elements, feedbacks)
    }
    queries: dict[str, Select[Any]] = {
        table.name: select(func.count()).select_from(table).where(condition)
        for table, condition in in_selected.items()
    }
    if selection.whole_users:
        queries["users"] = select(func.count()).select_from(users).where(selection.owners())
    queries["files"] = select(func.count(elements.c.objectKey)).where(in_selected[elements])
    queries["bytes"] = select(func.sum(elements.c.byteSize)).where(in_selected[elements])
    queries["quarantined"] = select(func.count()).select_from(quarantine)
    with database.translated_errors():
        async with database.snapshot() as connection:
            await selection.check(connection, tombstones.c.threadId)
            return Counter(
                {name: int(await connection.scalar(query) or 0) for name, query in queries.items()}
            )


async def delete_selected(
    database: Database, storage: Inventory, selection: Selection, watch: Watch = quiet
) -> DeletionResult:
    """Delete the selected threads with their files, and users who are selected as a whole."""
    result = DeletionResult()
    condition = _condition(database, selection)

    def delete_users(connection: Connection) -> int | None:
        """Delete the users; None: a thread of theirs was written meanwhile."""
        of_users = selection.owners()  # Once their rows are locked, no thread becomes theirs.
        connection.execute(select(users.c.id).where(of_users).with_for_update())
        if connection.scalar(select(threads.c.id).where(condition).limit(1)) is not None:
            return None
        return connection.execute(delete(users).where(of_users)).rowcount

    with database.translated_errors():
        deleted_users: int | None = None
        while deleted_users is None:
            await _delete_threads(database, condition, result.rows, watch)
            files = await delete_due(database, storage)
            files.deleted += result.files.deleted
            result.files = files
            deleted_users = await _transact(database, delete_users) if selection.whole_users else 0
    result.rows["users"] = deleted_users
    return result


async def _delete_threads(
    database: Database, condition: Any, rows: Counter[str], watch: Watch
) -> None:
    def delete_batch(ids: Sequence[str], connection: Connection) -> Counter[str]:
        lock_threads(connection, ids, exclusive=True)
        query = select(threads.c.id).where(threads.c.id.in_(ids), condition)
        if not (selected := connection.scalars(query).all()):
            return Counter()
        at = instant_of(next_ordinal())
        return delete_locked_threads(connection, database.dialect, selected, at)

    async def read_page(last_id: str) -> Sequence[str]:
        query = select(threads.c.id).where(condition, threads.c.id > last_id)
        page = query.order_by(threads.c.id).limit(_PAGE)
        return await database.read(lambda c: c.run_sync(lambda sync: sync.scalars(page).all()))

    last_id = ""
    while ids := await read_page(last_id):
        for batch in batched(ids, _BATCH):
            rows += await _transact(database, partial(delete_batch, batch))
            watch("conversations", rows["threads"], None)
        last_id = ids[-1]


async def _transact(database: Database, work: Callable[[Connection], T]) -> T:
    """Run a transaction; repeat it while the database is unavailable or busy."""
    return await retry(
        lambda: database.transact(work),
        database.dialect.is_transient,
        attempts=_ATTEMPTS,
        first_pause=0.2,
        longest_pause=10.0,
    )


def _condition(database: Database, selection: Selection) -> Any:
    condition = selection.condition(database.dialect)
    assert condition is not None, "a deletion needs a condition"
    return condition
