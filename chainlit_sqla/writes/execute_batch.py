"""Executes a batch of operations in one transaction, by the fastest way of the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from ..database import Database
from .execute_deletes import execute_delete
from .execute_saves import execute_saves
from .merge_operations import fast_batch_of, plan
from .operations import Op


@dataclass(slots=True)
class BatchOutcome:
    """The outcome of a committed batch.

    ``results`` has, by the position of a deletion, whether it deleted anything. ``has_blobs``:
    blobs were queued for deletion.
    """

    results: dict[int, bool] = field(default_factory=dict)
    has_blobs: bool = False


async def execute_batch(database: Database, ops: Sequence[Op]) -> BatchOutcome:
    """Write operations in one transaction, which may be repeated after an error."""
    segments = plan(ops)
    batch = fast_batch_of(segments[0]) if len(segments) == 1 else None
    if batch and await database.write_fast_batch(batch):
        return BatchOutcome()

    def execute(connection: Connection) -> BatchOutcome:
        outcome = BatchOutcome()
        for segment in segments:
            outcome.has_blobs |= execute_saves(connection, database.dialect, segment)
            for position, op in segment.deletes:
                deleted, has_blobs = execute_delete(connection, database.dialect, op)
                outcome.results[position] = deleted
                outcome.has_blobs |= has_blobs
        return outcome

    return await database.transact(execute)
