"""Reading steps with the feedback that they have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, Select, and_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..dialects import Dialect
from ..models import feedbacks, steps, threads


def _with_feedback() -> Select[*tuple[Any, ...]]:
    of_step = and_(feedbacks.c.threadId == steps.c.threadId, feedbacks.c.forId == steps.c.id)
    return select(
        steps,
        feedbacks.c.id.label("feedbackId"),
        feedbacks.c.value.label("feedbackValue"),
        feedbacks.c.comment.label("feedbackComment"),
    ).select_from(steps.outerjoin(feedbacks, of_step))


async def of_thread(connection: AsyncConnection, thread_id: str) -> Sequence[Row[Any]]:
    """The steps of a thread by time, those of one instant by arrival.

    Args:
        connection: A connection that may read.
        thread_id: The thread.
    """
    query = (
        _with_feedback()
        .where(steps.c.threadId == thread_id)
        .order_by(steps.c.createdAt, steps.c.ordinal)
    )
    return (await connection.execute(query)).all()


async def by_id(connection: AsyncConnection, step_id: str) -> Row[Any] | None:
    """A step by its id alone; the first that arrived where several threads have it.

    Args:
        connection: A connection that may read.
        step_id: The step.
    """
    query = _with_feedback().where(steps.c.id == step_id).order_by(steps.c.ordinal).limit(1)
    return (await connection.execute(query)).first()


async def threads_of(connection: AsyncConnection, step_id: str) -> Sequence[Any]:
    """The threads that have a step of this id: one, but for ids that a client chose.

    Args:
        connection: A connection that may read.
        step_id: The step.

    Returns:
        Rows of the thread's id and its author's identifier.
    """
    query = (
        select(threads.c.id, threads.c.userIdentifier)
        .join(steps, steps.c.threadId == threads.c.id)
        .where(steps.c.id == step_id)
    )
    return (await connection.execute(query)).all()


async def favorites(
    connection: AsyncConnection, dialect: Dialect, user_id: str
) -> Sequence[Row[Any]]:
    """The favourite steps in a user's threads, newest first.

    Args:
        connection: A connection that may read.
        dialect: The database's dialect.
        user_id: The user.
    """
    query = (
        _with_feedback()
        .join(threads, threads.c.id == steps.c.threadId)
        .where(threads.c.userId == user_id, dialect.json_is_true(steps.c.metadata, "favorite"))
        .order_by(steps.c.createdAt.desc(), steps.c.ordinal.desc())
    )
    return (await connection.execute(query)).all()
