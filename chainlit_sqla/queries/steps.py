"""Statements that read steps with their feedback, compiled once for each dialect."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Select, and_, bindparam, null, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..dialects import Dialect
from ..models import feedbacks, steps, threads
from . import select_columns

COLUMNS = (
    "threadId",
    "id",
    "name",
    "type",
    "parentId",
    "command",
    "modes",
    "streaming",
    "waitForAnswer",
    "isError",
    "metadata",
    "tags",
    "input",
    "output",
    "createdAt",
    "start",
    "end",
    "generation",
    "showInput",
    "defaultOpen",
    "autoCollapse",
    "language",
    "extra",
)
"""The columns of a step row, before those of its feedback."""
FEEDBACK_COLUMNS = ("id", "value", "comment")


@cache
def of_thread(dialect: Dialect) -> Select[*tuple[Any, ...]]:
    """Select the steps of the thread ``thread_id`` by time, then by arrival.

    The first column is NULL instead of the thread's id.
    """
    query = _with_feedback(dialect, null()).where(steps.c.threadId == bindparam("thread_id"))
    return query.order_by(steps.c.createdAt, steps.c.ordinal)


@cache
def by_id(dialect: Dialect) -> Select[*tuple[Any, ...]]:
    """Select the step ``step_id``; where several threads have it, the one that arrived first."""
    query = _with_feedback(dialect).where(steps.c.id == bindparam("step_id"))
    return query.order_by(steps.c.ordinal).limit(1)


@cache
def favorites(dialect: Dialect) -> Select[*tuple[Any, ...]]:
    """Select the favorite steps in the threads of the user ``user_id``, newest first."""
    return (
        _with_feedback(dialect)
        .join(threads, threads.c.id == steps.c.threadId)
        .where(
            threads.c.userId == bindparam("user_id"),
            dialect.json_is_true(steps.c.metadata, "favorite"),
        )
        .order_by(steps.c.createdAt.desc(), steps.c.ordinal.desc())
    )


async def threads_of(connection: AsyncConnection, step_id: str) -> Sequence[Any]:
    """Return the ids and authors of the threads with this step.

    There are several only where a client chose the step's id.
    """
    query = (
        select(threads.c.id, threads.c.userIdentifier)
        .join(steps, steps.c.threadId == threads.c.id)
        .where(steps.c.id == step_id)
    )
    return (await connection.execute(query)).all()


def _with_feedback(dialect: Dialect, thread_id: Any = steps.c.threadId) -> Select[*tuple[Any, ...]]:
    of_step = and_(feedbacks.c.threadId == steps.c.threadId, feedbacks.c.forId == steps.c.id)
    step_columns = select_columns(dialect, steps, COLUMNS[1:])
    feedback_columns = select_columns(dialect, feedbacks, FEEDBACK_COLUMNS)
    joined = steps.outerjoin(feedbacks, of_step)
    return select(thread_id, *step_columns, *feedback_columns).select_from(joined)
