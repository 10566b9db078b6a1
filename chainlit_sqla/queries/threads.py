"""Statements that read threads: one thread, its author, a page of a user's list."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    exists,
    select,
)

from ..dialects import BoundStatement, Dialect
from ..dialects.column_types import UtcDateTime
from ..models import feedbacks, steps, threads
from . import select_columns
from .pagination import Cursor

_Query = TypeVar("_Query", bound=Select[Any])

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
"""The columns of a thread row."""


@dataclass(frozen=True, slots=True)
class ThreadQuery:
    """Which threads of a user to list.

    Args:
        user_id: The user.
        first: The length of a page.
        after: The cursor after which the page begins; None for the first page.
        search: Text in the title or in a message; None or empty for no filter.
        feedback: Only threads with feedback of this value, 0 or 1; None for no filter.
    """

    user_id: str
    first: int
    after: Cursor | None = None
    search: str | None = None
    feedback: int | None = None


def by_id(dialect: Dialect, thread_id: str) -> BoundStatement:
    """Select a thread.

    Args:
        dialect: The dialect of the database.
        thread_id: The thread.
    """
    return _by_id(dialect), {"thread_id": thread_id}


def author(thread_id: str) -> BoundStatement:
    """Select the identifier of a thread's user.

    Args:
        thread_id: The thread.
    """
    return _AUTHOR, {"thread_id": thread_id}


def page(dialect: Dialect, query: ThreadQuery) -> BoundStatement:
    """Select a page of a user's threads by last activity, with one more row if there are more.

    Args:
        dialect: The dialect of the database.
        query: The threads to list; its search is ignored.
    """
    return _page(dialect, query.after is not None, query.feedback), page_parameters(query)


def page_parameters(query: ThreadQuery) -> dict[str, Any]:
    """Return the parameters of a page, except that of a search.

    Args:
        query: The threads to list.
    """
    parameters: dict[str, Any] = {"user_id": query.user_id, "rows": query.first + 1}
    if query.after:
        parameters |= {"at": query.after.last_activity, "id": query.after.id}
    return parameters


_AUTHOR = select(threads.c.userIdentifier).where(threads.c.id == bindparam("thread_id"))


@cache
def _by_id(dialect: Dialect) -> Select[*tuple[Any, ...]]:
    query = select(*select_columns(dialect, threads, COLUMNS))
    return query.where(threads.c.id == bindparam("thread_id"))


@cache
def _page(dialect: Dialect, after: bool, feedback: int | None) -> Select[*tuple[Any, ...]]:
    query = select(*select_columns(dialect, threads, COLUMNS)).where(
        threads.c.userId == bindparam("user_id")
    )
    if after:
        query = query.where(after_cursor(dialect, threads))
    if feedback is not None:
        query = query.where(has_feedback(threads.c.id, feedback))
    return newest_first(query, threads).limit(bindparam("rows", type_=Integer()))


def after_cursor(dialect: Dialect, source: FromClause) -> ColumnElement[bool]:
    """Return the condition that a thread follows the parameters ``at`` and ``id``.

    Args:
        dialect: The dialect of the database.
        source: A table or subquery with the columns ``updatedAt`` and ``id``.
    """
    cursor = bindparam("at", type_=UtcDateTime()), bindparam("id", type_=Text())
    return dialect.before((source.c.updatedAt, source.c.id), cursor)


def newest_first(query: _Query, source: FromClause) -> _Query:
    """Sort a query by last activity, as the thread list is sorted.

    Args:
        query: A query of threads.
        source: A table or subquery with the columns ``updatedAt`` and ``id``.
    """
    return query.order_by(source.c.updatedAt.desc(), source.c.id.desc())


def has_feedback(thread_id: ColumnElement[str], value: int) -> ColumnElement[bool]:
    """Return the condition that a thread has feedback of a value for an existing step.

    Args:
        thread_id: The id of the thread.
        value: 0 or 1.
    """
    return exists().where(
        and_(
            feedbacks.c.threadId == thread_id,
            feedbacks.c.value == value,
            steps.c.threadId == feedbacks.c.threadId,
            steps.c.id == feedbacks.c.forId,
        )
    )
