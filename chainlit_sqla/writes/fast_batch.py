"""From a segment to a fast batch, where it is one: pure."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ..dialects.fast_batch import FastBatch, FastBatchSteps, FastBatchThread, Tables
from ..models import steps, threads, tombstones, users
from .execute_saves import STEP_DEFAULTS, latest_activity
from .planner import Segment

_DEFAULTS = tuple(STEP_DEFAULTS.items())
_TABLES = Tables(users, threads, steps, tombstones)


def fast_batch_of(segment: Segment) -> FastBatch | None:
    """Turn a segment into a fast batch.

    Args:
        segment: What is to be written.

    Returns:
        The batch; None where the segment holds other things than saves of threads and
        steps, or several users name one thread.
    """
    unusual = segment.users or segment.elements or segment.feedbacks or segment.deletes
    actors = dict(segment.claims)
    if unusual or not segment.threads or len(actors) != len(segment.claims):
        return None
    activity = latest_activity(segment.steps)
    rows = [
        FastBatchThread(
            id, change.at, activity.get(id), actors.get(id), change.values, change.metadata
        )
        for id, change in sorted(segment.threads.items())
    ]
    tombstone_ids = [*{id for _, id in segment.steps}, ""]
    return FastBatch(_TABLES, rows, _grouped(segment), tombstone_ids, _DEFAULTS)


def _grouped(segment: Segment) -> list[FastBatchSteps]:
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for (thread_id, id), row in segment.steps.items():
        record = row.values | {"extra": row.extra} if row.extra else dict(row.values)
        rows = groups.setdefault(_in_order(tuple(record)), [])
        record["threadId"], record["id"], record["ordinal"] = thread_id, id, row.ordinal
        record.setdefault("createdAt", row.at)
        rows.append(record)
    return [FastBatchSteps(columns, groups[columns]) for columns in sorted(groups)]


@lru_cache(maxsize=1024)
def _in_order(names: tuple[str, ...]) -> tuple[str, ...]:
    """The same names for the same columns: their order would make another statement."""
    return tuple(sorted(names))
