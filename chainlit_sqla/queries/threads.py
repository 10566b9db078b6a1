"""Reading threads: one, its author, and a page of a user's list."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    exists,
    or_,
    select,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from ..column_types import UtcDateTime
from ..dialects import Asked, Dialect, Rows
from ..models import feedbacks, steps, threads
from .columns import shown
from .cursor import Cursor

COLUMNS = (
    "id",
    "createdAt",
    "updatedAt",
    "name",
    "userId",
    "userIdentifier",
    "tags",
    "metadata",
)
"""The columns of a row."""


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


def by_id(dialect: Dialect, thread_id: str) -> Asked:
    """The row of a thread.

    Args:
        dialect: The database's dialect.
        thread_id: The thread.
    """
    return _by_id(dialect), {"thread_id": thread_id}


def author(thread_id: str) -> Asked:
    """The identifier of the user whom a thread belongs to.

    Args:
        thread_id: The thread.
    """
    return _AUTHOR, {"thread_id": thread_id}


def page(dialect: Dialect, query: ThreadQuery) -> Asked:
    """A page of a user's threads by last activity, and one more row if there are more.

    Args:
        dialect: The database's dialect.
        query: Which threads, without a search.
    """
    return _page(dialect, query.after is not None, query.feedback), _values(query)


async def search(connection: AsyncConnection, dialect: Dialect, query: ThreadQuery) -> Rows:
    """The same among the threads in which a text is found.

    Args:
        connection: A connection that may read.
        dialect: The database's dialect.
        query: Which threads.
    """
    statement = _page(dialect, query.after is not None, query.feedback)
    statement = statement.where(_mentions(dialect, query.search or ""))
    return (await connection.execute(statement, _values(query))).all()


def _values(query: ThreadQuery) -> dict[str, Any]:
    values: dict[str, Any] = {"user_id": query.user_id, "rows": query.first + 1}
    if query.after:
        values |= {"at": query.after.at, "id": query.after.id}
    return values


_AUTHOR = select(threads.c.userIdentifier).where(threads.c.id == bindparam("thread_id"))


@cache
def _by_id(dialect: Dialect) -> Select[*tuple[Any, ...]]:
    query = select(*shown(dialect, threads, COLUMNS))
    return query.where(threads.c.id == bindparam("thread_id"))


@cache
def _page(dialect: Dialect, after: bool, feedback: int | None) -> Select[*tuple[Any, ...]]:
    query = select(*shown(dialect, threads, COLUMNS)).where(
        threads.c.userId == bindparam("user_id")
    )
    if after:
        place = tuple_(bindparam("at", type_=UtcDateTime()), bindparam("id", type_=Text()))
        query = query.where(tuple_(threads.c.updatedAt, threads.c.id) < place)
    if feedback is not None:
        query = query.where(_has_feedback(feedback))
    query = query.order_by(threads.c.updatedAt.desc(), threads.c.id.desc())
    return query.limit(bindparam("rows", type_=Integer()))


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
