"""Executes a batch of operations in one transaction, by the fastest way of the database."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from ..database import Database
from ..dialects import Dialect
from ..errors import RejectedRow
from .execute_deletes import execute_delete
from .execute_saves import execute_saves
from .merge_operations import Segment, fast_batch_of, plan
from .operations import Op


@dataclass(slots=True)
class BatchOutcome:
    """The outcome of a committed batch.

    ``results`` has, by the position of a deletion, whether it deleted anything, and by the position
    of an operation that was refused its error: all others were written. ``has_blobs``: blobs were
    queued for deletion.
    """

    results: dict[int, bool | RejectedRow] = field(default_factory=dict)
    has_blobs: bool = False


async def execute_batch(database: Database, ops: Sequence[Op]) -> BatchOutcome:
    """Write operations in one transaction, which may be repeated after an error."""
    segments = plan(ops)
    batch = fast_batch_of(segments[0]) if len(segments) == 1 else None
    if batch and await database.write_fast_batch(batch):
        return BatchOutcome()
    return await database.transact(
        lambda connection: execute_segments(connection, database.dialect, segments)
    )


def execute_segments(
    connection: Connection, dialect: Dialect, segments: Iterable[Segment]
) -> BatchOutcome:
    """Write segments statement by statement, without the operations that are refused."""
    outcome = BatchOutcome()
    pending = deque(segments)
    while pending:
        segment = pending.popleft()
        has_blobs, refused = execute_saves(connection, dialect, segment)
        outcome.has_blobs |= has_blobs
        if refused:
            outcome.results |= refused
            pending.extendleft(reversed(segment.without(refused)))
            continue
        for position, op in segment.deletes:
            try:
                deleted, has_blobs = execute_delete(connection, dialect, op)
            except RejectedRow as error:
                outcome.results[position] = error
                continue
            outcome.results[position] = deleted
            outcome.has_blobs |= has_blobs
    return outcome
