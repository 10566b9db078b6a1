"""`FastBatch`: a batch of the most frequent kind, which a database can write in one statement.

A turn of a chat writes one thread and some steps, without deletions, as the owner of the thread.
The statement checks these conditions; where they do not hold, it writes nothing, and
`chainlit_sqla.writes.execute_saves` writes the batch.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import Any

from sqlalchemy import Table


class FastBatchOutcome(Enum):
    """The outcome of a fast batch."""

    WRITTEN = "written"
    NEEDS_STATEMENTS = "needs statements"
    """A tombstone, another owner or a concurrent insert: nothing or a part was written, and the
    whole batch must be written statement by statement."""
    UNSUPPORTED = "unsupported"
    """The server does not support the statement; nothing was written."""


@dataclass(frozen=True, slots=True)
class FastBatchThread:
    """One thread of a fast batch."""

    id: str
    begun: datetime
    """The creation time of a new thread."""
    activity: datetime | None
    """The time of its newest message in the batch."""
    actor: str | None
    """The identifier of the user whose client chose the thread, who must own it."""
    values: Mapping[str, Any]
    """``name``, ``userId`` and ``tags`` that change; never None."""
    metadata: Mapping[str, Any]
    """Members to set; those that are None are removed."""


@dataclass(frozen=True, slots=True)
class FastBatchSteps:
    """Steps with values for the same columns."""

    columns: tuple[str, ...]
    """Columns that change where the step exists; ``extra`` is merged."""
    rows: Sequence[Mapping[str, Any]]
    """Values of the key, ``createdAt``, ``ordinal`` and the columns."""


@dataclass(frozen=True, slots=True)
class FastBatch:
    """Saves of threads and steps that can be written together."""

    users: Table
    threads: Table
    steps: Table
    tombstones: Table
    thread_rows: Sequence[FastBatchThread]
    step_groups: Sequence[FastBatchSteps]
    tombstone_ids: Sequence[str]
    """Ids of tombstones that, in one of the threads, prevent the fast batch."""
    step_defaults: tuple[tuple[str, str | bool], ...]
    """The defaults of columns of new steps."""

    @property
    def changes_threads(self) -> bool:
        """Whether more than the last activity of a thread changes."""
        return any(thread.values or thread.metadata for thread in self.thread_rows)

    def within(self, thread_ids: Collection[str]) -> FastBatch:
        """Return the part of the batch that lies in some threads."""
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
