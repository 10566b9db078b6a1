"""`FastBatch`: what most batches are, in a form that a database can take in one statement.

A turn of a chat touches one thread and some steps. Nothing was deleted, the thread exists or is
new, and it belongs to whoever writes to it. The statement checks that itself; where it does not
hold, nothing is written, and `chainlit_sqla.writes.execute_saves` writes the batch.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import Any

from sqlalchemy import Table


class FastBatchOutcome(Enum):
    """What became of a fast batch."""

    WRITTEN = "written"
    NEEDS_STATEMENTS = "needs statements"
    """There is a tombstone, another owner or a concurrent insert: nothing, or a part of it, was
    written, and all of it is to be written statement by statement."""
    UNSUPPORTED = "unsupported"
    """The server does not know the statement; nothing was written."""


@dataclass(frozen=True, slots=True)
class FastBatchThread:
    """One thread of a fast batch.

    Args:
        id: The thread.
        begun: When it begins, should it be new.
        activity: The instant of its newest message in the batch.
        actor: The identifier of the user whose client chose it; it must not be another's.
        values: ``name``, ``userId`` and ``tags``, as far as they change; never None.
        metadata: Members to set; those that are None are removed.
    """

    id: str
    begun: datetime
    activity: datetime | None
    actor: str | None
    values: Mapping[str, Any]
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FastBatchSteps:
    """Steps that give the same columns.

    Args:
        columns: Columns that change where the step exists. Of ``extra`` only the members
            given change.
        rows: Values of the key, ``createdAt``, ``ordinal`` and the columns given.
    """

    columns: tuple[str, ...]
    rows: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class FastBatch:
    """Saves of threads and steps that can be written together.

    Args:
        users: The table of users, and so on.
        thread_rows: The threads, by id.
        step_groups: The steps, by their columns.
        tombstone_ids: Ids of tombstones that, below one of the threads, forbid the fast batch.
        step_defaults: Columns of new steps with their values where they are not given.
    """

    users: Table
    threads: Table
    steps: Table
    tombstones: Table
    thread_rows: Sequence[FastBatchThread]
    step_groups: Sequence[FastBatchSteps]
    tombstone_ids: Sequence[str]
    step_defaults: tuple[tuple[str, str | bool], ...]

    @property
    def changes_threads(self) -> bool:
        """Whether more than the last activity of a thread changes."""
        return any(thread.values or thread.metadata for thread in self.thread_rows)

    def within(self, thread_ids: Collection[str]) -> FastBatch:
        """The part of it that lies in some threads."""
        groups = (
            FastBatchSteps(
                group.columns, [row for row in group.rows if row["threadId"] in thread_ids]
            )
            for group in self.step_groups
        )
        return replace(
            self,
            thread_rows=[thread for thread in self.thread_rows if thread.id in thread_ids],
            step_groups=[group for group in groups if group.rows],
        )
