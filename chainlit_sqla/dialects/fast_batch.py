"""`FastBatch`: a batch that a database can write in one round trip.

The rows are documents: `chainlit_sqla.writes.merge_operations` makes them, and the database's own
statement reads them. It checks what must hold for the whole batch; where that does not hold, it
writes nothing, and `chainlit_sqla.writes.execute_batch` writes the batch statement by statement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import Table

Document: TypeAlias = Mapping[str, Any]


class FastBatchOutcome(Enum):
    """The outcome of a fast batch."""

    WRITTEN = "written"
    REFUSED = "refused"
    """Somebody claims another user's thread: nothing was written."""
    NEEDS_STATEMENTS = "needs statements"
    """A deleted thread is restored, an owner does not exist, or another process inserted a thread:
    nothing was written, and the batch must be written statement by statement."""
    UNSUPPORTED = "unsupported"
    """The server does not support the statement; nothing was written."""


@dataclass(frozen=True, slots=True)
class FastBatchResult:
    """What a fast batch did."""

    outcome: FastBatchOutcome
    deleted: Sequence[bool | None] = ()
    """For each deletion, in order, whether it deleted anything; None: it is not the actor's."""
    refused: Sequence[tuple[str, str]] = ()
    """Threads with the actors who claim them, but do not own them."""
    late: Sequence[str] = ()
    """Deleted threads whose changes were not written."""
    has_blobs: bool = False
    """Whether blobs were queued for deletion."""


class FastBatchTables(NamedTuple):
    """The tables of a fast batch."""

    users: Table
    threads: Table
    steps: Table
    elements: Table
    feedbacks: Table
    tombstones: Table
    blob_deletions: Table


@dataclass(frozen=True, slots=True)
class FastBatchSegment:
    """Saves, then deletions; see `chainlit_sqla.writes.merge_operations.Segment`."""

    threads: Sequence[Document]
    """``id``, ``begun``, ``actor``; ``activity``, the time of the newest message in ``steps``;
    ``name``, ``userId``, ``tags`` that change; ``metadata`` members to set, and the names of those
    ``removed``."""
    steps: Sequence[Document]
    """``threadId``, ``id``, ``begun``, ``arrival``, ``activity``, ``values``, ``extra``."""
    elements: Sequence[Document]
    """As steps; ``sent``, ``forId``, ``objectKey``; ``replaces``: the key is one of the values."""
    feedbacks: Sequence[Document]
    deletions: Sequence[Document]
    """``kind``, ``id``, ``thread``, ``at``, the scope, and the ``actor``."""


@dataclass(frozen=True, slots=True)
class FastBatch:
    """Segments that are written in one transaction."""

    tables: FastBatchTables
    defaults: tuple[tuple[tuple[str, str | bool], ...], ...]
    """The defaults of columns of new steps, and of new elements."""
    users: Sequence[Document]
    claims: Sequence[tuple[str, str]]
    """Threads that clients name, with the identifiers of their users."""
    segments: Sequence[FastBatchSegment]

    @property
    def thread_ids(self) -> Sequence[str]:
        """The threads to lock, beside those in which a deletion by id finds a row."""
        ids = {thread["id"] for segment in self.segments for thread in segment.threads}
        for deletion in (deletion for segment in self.segments for deletion in segment.deletions):
            ids |= {deletion.get("thread"), deletion.get("scopeThread")}
        return sorted(ids - {None})

    @property
    def new_owners(self) -> Sequence[tuple[str, str]]:
        """Threads that are restored where they are deleted, with the users, who must exist."""
        threads = [thread for segment in self.segments for thread in segment.threads]
        return [(thread["id"], thread["userId"]) for thread in threads if thread.get("userId")]

    @property
    def is_turn(self) -> bool:
        """Whether it is of the most frequent kind: threads and steps, by one user a thread."""
        first = self.segments[0]
        return (
            len(self.segments) == 1
            and not (self.users or first.elements or first.feedbacks or first.deletions)
            and bool(first.threads)
            and len(dict(self.claims)) == len(self.claims)
        )
