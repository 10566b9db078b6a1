"""Turns segments into a `FastBatch`: documents of rows, which the database's statement reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from .._internal.timestamps import instant_of
from ..dialects.fast_batch import Document, FastBatch, FastBatchSegment, FastBatchTables
from ..models import blob_deletions, elements, feedbacks, steps, threads, tombstones, users
from .execute_saves import ELEMENT_DEFAULTS
from .merge_operations import STEP_DEFAULTS, Key, RowChange, Segment, ThreadChange, latest_activity
from .operations import Delete, DeleteFeedback, DeleteStep, DeleteThread

_TABLES = FastBatchTables(users, threads, steps, elements, feedbacks, tombstones, blob_deletions)
_DEFAULTS = tuple(STEP_DEFAULTS.items()), tuple(ELEMENT_DEFAULTS.items())


def fast_batch_of(segments: Sequence[Segment]) -> FastBatch | None:
    """Turn segments into a fast batch; None where it could not decide in advance who may write.

    It decides before anything is written. So no segment may change what the decision about a
    later one depends on: the owner of a thread that is claimed, or whether a thread that is
    restored or claimed is deleted.
    """
    claims = {claim for segment in segments for claim in segment.claims}
    if len(segments) > 1 and _changes_a_decision(segments):
        return None
    saved_users = [op for segment in segments for op in segment.users.values()]
    if any("metadata" not in op.values for op in saved_users):
        return None
    return FastBatch(
        tables=_TABLES,
        defaults=_DEFAULTS,
        users=[{"identifier": op.identifier, "begun": op.at, **op.values} for op in saved_users],
        claims=sorted(claims),
        segments=[_segment(segment) for segment in segments],
    )


def _changes_a_decision(segments: Iterable[Segment]) -> bool:
    restored_ids: set[str] = set()
    deleted_ids: set[str] = set()
    for segment in segments:
        restored = {id for id, change in segment.threads.items() if change.restored_at}
        claimed = {id for id, _ in segment.claims}
        if claimed & (restored_ids | deleted_ids) or restored & deleted_ids:
            return True
        restored_ids |= restored
        deleted_ids |= {op.thread_id for _, op in segment.deletes if isinstance(op, DeleteThread)}
    return False


def _segment(segment: Segment) -> FastBatchSegment:
    activity = latest_activity(segment.steps)
    return FastBatchSegment(
        threads=[
            _thread(id, change, activity.get(id)) for id, change in sorted(segment.threads.items())
        ],
        steps=[_row(*item) for item in segment.steps.items()],
        elements=[_element(*item) for item in segment.elements.items()],
        feedbacks=[
            {"threadId": thread_id, "forId": for_id, "begun": row.at, **row.values}
            for (thread_id, for_id), row in segment.feedbacks.items()
        ],
        deletions=[_deletion(op) for _, op in segment.deletes],
    )


def _thread(id: str, change: ThreadChange, activity: datetime | None) -> Document:
    document: dict[str, Any] = {"id": id, "begun": change.at, "actor": change.author}
    if activity:
        document["activity"] = activity
    document |= change.values
    if metadata := change.metadata:
        document["metadata"] = {k: v for k, v in metadata.items() if v is not None}
        document["removed"] = [k for k, v in metadata.items() if v is None]
    return document


def _row(key: Key, row: RowChange) -> dict[str, Any]:
    document: dict[str, Any] = {
        "threadId": key[0],
        "id": key[1],
        "begun": row.at,
        "arrival": row.ordinal,
        "values": row.values,
    }
    if row.activity:
        document["activity"] = row.activity
    if row.extra:
        document["extra"] = row.extra
    return document


def _element(key: Key, row: RowChange) -> Document:
    return _row(key, row) | {
        "sent": instant_of(row.ordinal),
        "forId": row.values.get("forId"),
        "objectKey": row.values.get("objectKey"),
        "replaces": "objectKey" in row.values,
    }


def _deletion(op: Delete) -> Document:
    match op:
        case DeleteThread():
            at = instant_of(op.ordinal)
            return {"kind": "thread", "thread": op.thread_id, "at": at, "actor": op.actor}
        case DeleteFeedback():
            return {"kind": "feedback", "id": op.id, "actor": op.actor}
    document = {
        "id": op.id,
        "everywhere": op.scope.everywhere,
        "scopeThread": op.scope.thread_id,
        "scopeUser": op.scope.user,
    }
    if isinstance(op, DeleteStep):
        return document | {"kind": "step"}
    return document | {
        "kind": "element",
        "thread": op.thread_id,
        "at": instant_of(op.ordinal),
        "mayBePending": op.pending_thread_id is not None,
    }
