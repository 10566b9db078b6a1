"""Statements that read steps with their feedback."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Select, and_, bindparam, null, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..dialects import BoundStatement, Dialect
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
"""The columns of the feedback."""


def of_thread(dialect: Dialect, thread_id: str) -> BoundStatement:
    """Select the steps of a thread by time, then by arrival.

    Args:
        dialect: The dialect of the database.
        thread_id: The thread.
    """
    return all_of_thread(dialect), {"thread_id": thread_id}


def by_id(dialect: Dialect, step_id: str) -> BoundStatement:
    """Select a step by its id alone; where several threads have it, the one that arrived first.

    Args:
        dialect: The dialect of the database.
        step_id: The step.
    """
    return _by_id(dialect), {"step_id": step_id}


def favorites(dialect: Dialect, user_id: str) -> BoundStatement:
    """Select the favorite steps in a user's threads, newest first.

    Args:
        dialect: The dialect of the database.
        user_id: The user.
    """
    return _favorites(dialect), {"user_id": user_id}


@cache
def all_of_thread(dialect: Dialect) -> Select[*tuple[Any, ...]]:
    """Return the statement of `of_thread`, whose first column is NULL instead of the thread's id.

    Args:
        dialect: The dialect of the database.
    """
    query = _with_feedback(dialect, null()).where(steps.c.threadId == bindparam("thread_id"))
    return query.order_by(steps.c.createdAt, steps.c.ordinal)


async def threads_of(connection: AsyncConnection, step_id: str) -> Sequence[Any]:
    """Return the threads with a step of this id: several only where a client chose the id.

    Args:
        connection: A connection for reading.
        step_id: The step.

    Returns:
        Rows of the thread's id and the identifier of its author.
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


@cache
def _by_id(dialect: Dialect) -> Select[*tuple[Any, ...]]:
    query = _with_feedback(dialect).where(steps.c.id == bindparam("step_id"))
    return query.order_by(steps.c.ordinal).limit(1)


@cache
def _favorites(dialect: Dialect) -> Select[*tuple[Any, ...]]:
    return (
        _with_feedback(dialect)
        .join(threads, threads.c.id == steps.c.threadId)
        .where(
            threads.c.userId == bindparam("user_id"),
            dialect.json_is_true(steps.c.metadata, "favorite"),
        )
        .order_by(steps.c.createdAt.desc(), steps.c.ordinal.desc())
    )
