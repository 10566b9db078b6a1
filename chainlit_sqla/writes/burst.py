"""From a segment to a burst, where it is one: pure."""

from __future__ import annotations

from typing import Any

from ..dialects.burst import Burst, BurstSteps, BurstThread, Tables
from ..models import steps, threads, tombstones, users
from .apply import STEP_DEFAULTS, latest_activity
from .plan import RowChange, Segment

_TABLES = Tables(users, threads, steps, tombstones)


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
    return Burst(_TABLES, rows, _grouped(segment), graves, STEP_DEFAULTS)


def _grouped(segment: Segment) -> list[BurstSteps]:
    groups: dict[frozenset[str], list[dict[str, Any]]] = {}
    for (thread_id, id), row in segment.steps.items():
        record = {"threadId": thread_id, "id": id, "createdAt": row.at, "ordinal": row.ordinal}
        given = _given(row)
        groups.setdefault(frozenset(given), []).append(record | given)
    ordered = sorted((tuple(sorted(given)), rows) for given, rows in groups.items())
    return [BurstSteps(given, rows) for given, rows in ordered]


def _given(row: RowChange) -> dict[str, Any]:
    if not row.extra:
        return row.values
    return row.values | {"extra": row.extra}
