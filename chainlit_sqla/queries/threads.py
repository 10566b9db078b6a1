"""Reading threads: one, its author, and a page of a user's list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, exists, literal, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from ..column_types import UtcDateTime
from ..dialects import Dialect
from ..models import feedbacks, steps, threads
from .cursor import Cursor


@dataclass(frozen=True, slots=True)
class ThreadQuery:
    """Which threads of a user to list.

    Args:
        user_id: The user.
        first: The length of a page.
        after: The place after which the page begins; None: the newest.
        search: Text in the title or in a message; None or empty: no filter.
        feedback: Only threads with such a feedback, 0 or 1; None: no filter.
    """

    user_id: str
    first: int
    after: Cursor | None = None
    search: str | None = None
    feedback: int | None = None


async def by_id(connection: AsyncConnection, thread_id: str) -> Row[Any] | None:
    """The row of a thread.

    Args:
        connection: A connection that may read.
        thread_id: The thread.
    """
    return (await connection.execute(select(threads).where(threads.c.id == thread_id))).first()


async def author(connection: AsyncConnection, thread_id: str) -> str | None:
    """The identifier of the user whom a thread belongs to.

    Args:
        connection: A connection that may read.
        thread_id: The thread.
    """
    query = select(threads.c.userIdentifier).where(threads.c.id == thread_id)
    identifier: str | None = await connection.scalar(query)
    return identifier


async def page(
    connection: AsyncConnection, dialect: Dialect, query: ThreadQuery
) -> Sequence[Row[Any]]:
    """A page of a user's threads by last activity, and one more row if there are more.

    Args:
        connection: A connection that may read.
        dialect: The database's dialect.
        query: Which threads.
    """
    place = tuple_(threads.c.updatedAt, threads.c.id)
    statement = select(threads).where(threads.c.userId == query.user_id)
    if query.after:
        after = tuple_(literal(query.after.at, UtcDateTime()), literal(query.after.id))
        statement = statement.where(place < after)
    if query.search:
        statement = statement.where(_mentions(dialect, query.search))
    if query.feedback is not None:
        statement = statement.where(_has_feedback(query.feedback))
    statement = statement.order_by(threads.c.updatedAt.desc(), threads.c.id.desc())
    return (await connection.execute(statement.limit(query.first + 1))).all()


def _mentions(dialect: Dialect, text: str) -> ColumnElement[bool]:
    in_message = exists().where(
        and_(
            steps.c.threadId == threads.c.id,
            steps.c.type.like("%message%"),
            dialect.contains(steps.c.output, text),
        )
    )
    return or_(dialect.contains(threads.c.name, text), in_message)


def _has_feedback(value: int) -> ColumnElement[bool]:
    return exists().where(
        and_(
            feedbacks.c.threadId == threads.c.id,
            feedbacks.c.value == value,
            steps.c.threadId == feedbacks.c.threadId,
            steps.c.id == feedbacks.c.forId,
        )
    )
