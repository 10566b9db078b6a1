"""Executes a batch of operations in one transaction, by the fastest way of the database."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from ..database import Database
from ..dialects import Dialect
from ..dialects.fast_batch import FastBatchResult
from ..errors import RejectedRow, ThreadDeleted
from .authorization import error_of_deletion, errors_of_claims
from .execute_deletes import execute_delete
from .execute_saves import execute_saves
from .fast_batch import fast_batch_of
from .merge_operations import Segment, plan, plan_without
from .operations import Op
from .tombstones import late_results


@dataclass(slots=True)
class BatchOutcome:
    """The outcome of a committed batch.

    ``results`` has, by the position of a deletion, whether it deleted anything, and by the position
    of an operation that was refused or dropped its error: all others were written. ``has_blobs``:
    blobs were queued for deletion.
    """

    results: dict[int, bool | RejectedRow | ThreadDeleted] = field(default_factory=dict)
    has_blobs: bool = False


async def execute_batch(database: Database, ops: Sequence[Op]) -> BatchOutcome:
    """Write operations in one transaction, which may be repeated after an error."""
    segments, refused = plan(ops), dict[int, RejectedRow]()
    while batch := fast_batch_of(segments):
        result = await database.write_fast_batch(batch)
        if result is None:
            break
        if not result.refused:
            return _outcome(segments, result, refused)
        refused |= errors_of_claims(segments, set(result.refused))
        segments = plan_without(segments, refused)
    outcome = await database.transact(
        lambda connection: execute_segments(connection, database.dialect, segments)
    )
    outcome.results |= refused
    return outcome


def _outcome(
    segments: Sequence[Segment], result: FastBatchResult, refused: Mapping[int, RejectedRow]
) -> BatchOutcome:
    outcome = BatchOutcome(dict(refused), result.has_blobs)
    outcome.results |= late_results(segments, result.late)
    deletions = [deletion for segment in segments for deletion in segment.deletes]
    for (position, op), deleted in zip(deletions, result.deleted, strict=True):
        if deleted is None:
            outcome.results[position] = error_of_deletion(op)
        else:
            outcome.results[position] = deleted
    return outcome


def execute_segments(
    connection: Connection, dialect: Dialect, segments: Iterable[Segment]
) -> BatchOutcome:
    """Write segments statement by statement, without the operations that are refused."""
    outcome = BatchOutcome()
    pending = deque(segments)
    while pending:
        segment = pending.popleft()
        has_blobs, refused, deleted_threads = execute_saves(connection, dialect, segment)
        outcome.has_blobs |= has_blobs
        if refused:
            outcome.results |= refused
            pending.extendleft(reversed(plan_without([segment], refused)))
            continue
        outcome.results |= late_results([segment], deleted_threads)
        for position, op in segment.deletes:
            try:
                deleted, has_blobs = execute_delete(connection, dialect, op)
            except RejectedRow as error:
                outcome.results[position] = error
                continue
            outcome.results[position] = deleted
            outcome.has_blobs |= has_blobs
    return outcome
