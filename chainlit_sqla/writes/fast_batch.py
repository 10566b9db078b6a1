"""From a segment to a burst, where it is one: pure."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ..dialects.fast_batch import Burst, BurstSteps, BurstThread, Tables
from ..models import signatures, steps, threads, tombstones, users
from .execute_saves import STEP_DEFAULTS, latest_activity
from .planner import Segment

_DEFAULTS = tuple(STEP_DEFAULTS.items())
_TABLES = Tables(users, threads, steps, tombstones, signatures)


def burst_of(segment: Segment) -> Burst | None:
    """Take a segment as a burst.

    Args:
        segment: What is to be written.

    Returns:
        The burst; None where the segment holds other things than saves of threads and
        steps, or several users reach for one thread.
    """
    unusual = segment.users or segment.elements or segment.feedbacks or segment.deletes
    actors = dict(segment.claims)
    if unusual or not segment.threads or len(actors) != len(segment.claims):
        return None
    activity = latest_activity(segment.steps)
    rows = [
        BurstThread(id, change.at, activity.get(id), actors.get(id), change.values, change.metadata)
        for id, change in sorted(segment.threads.items())
    ]
    graves = [*{id for _, id in segment.steps}, ""]
    return Burst(_TABLES, rows, _grouped(segment), graves, _DEFAULTS)


def _grouped(segment: Segment) -> list[BurstSteps]:
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for (thread_id, id), row in segment.steps.items():
        record = row.values | {"extra": row.extra} if row.extra else dict(row.values)
        rows = groups.setdefault(_in_order(tuple(record)), [])
        record["threadId"], record["id"], record["ordinal"] = thread_id, id, row.ordinal
        record.setdefault("createdAt", row.at)
        rows.append(record)
    return [BurstSteps(given, groups[given]) for given in sorted(groups)]


@lru_cache(maxsize=1024)
def _in_order(names: tuple[str, ...]) -> tuple[str, ...]:
    """The same names for the same columns: their order would make another statement."""
    return tuple(sorted(names))
