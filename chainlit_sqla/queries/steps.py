"""Reading steps with the feedback that they have."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Select, and_, bindparam, null, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..dialects import Asked, Dialect
from ..models import feedbacks, steps, threads
from .columns import shown

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
"""The first columns of a row."""
FEEDBACK = ("id", "value", "comment")
"""Those of its feedback, which come after them."""


def of_thread(dialect: Dialect, thread_id: str) -> Asked:
    """The steps of a thread by time, those of one instant by arrival.

    Args:
        dialect: The database's dialect.
        thread_id: The thread.
    """
    return all_of_thread(dialect), {"thread_id": thread_id}


def by_id(dialect: Dialect, step_id: str) -> Asked:
    """A step by its id alone; the first that arrived where several threads have it.

    Args:
        dialect: The database's dialect.
        step_id: The step.
    """
    return _by_id(dialect), {"step_id": step_id}


def favorites(dialect: Dialect, user_id: str) -> Asked:
    """The favourite steps in a user's threads, newest first.

    Args:
        dialect: The database's dialect.
        user_id: The user.
    """
    return _favorites(dialect), {"user_id": user_id}


@cache
def all_of_thread(dialect: Dialect) -> Select[*tuple[Any, ...]]:
    """The statement of `of_thread`, without the id of the thread in its first column.

    Args:
        dialect: The database's dialect.
    """
    own = steps.c.threadId == bindparam("thread_id")
    query = _with_feedback(dialect, null()).where(own)
    return query.order_by(steps.c.createdAt, steps.c.ordinal)


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


def _with_feedback(dialect: Dialect, first: Any = steps.c.threadId) -> Select[*tuple[Any, ...]]:
    of_step = and_(feedbacks.c.threadId == steps.c.threadId, feedbacks.c.forId == steps.c.id)
    feedback = shown(dialect, feedbacks, FEEDBACK)
    both = steps.outerjoin(feedbacks, of_step)
    return select(first, *shown(dialect, steps, COLUMNS[1:]), *feedback).select_from(both)


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
