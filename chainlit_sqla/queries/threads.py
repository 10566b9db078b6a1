"""Reading threads: one, its author, and a page of a user's list."""

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

from ..dialects import Asked, Dialect
from ..dialects.column_types import UtcDateTime
from ..models import feedbacks, steps, threads
from .columns import shown
from .cursor import Cursor

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
        query = query.where(after_cursor(dialect, threads))
    if feedback is not None:
        query = query.where(has_feedback(threads.c.id, feedback))
    return newest_first(query, threads).limit(bindparam("rows", type_=Integer()))


def after_cursor(dialect: Dialect, place: FromClause) -> ColumnElement[bool]:
    """Whether a thread stands after the parameters ``at`` and ``id`` in the list.

    Args:
        dialect: The database's dialect.
        place: What has the columns ``updatedAt`` and ``id``.
    """
    cursor = bindparam("at", type_=UtcDateTime()), bindparam("id", type_=Text())
    return dialect.before((place.c.updatedAt, place.c.id), cursor)


def newest_first(query: _Query, place: FromClause) -> _Query:
    """In the order of the list.

    Args:
        query: A query of threads.
        place: What has the columns ``updatedAt`` and ``id``.
    """
    return query.order_by(place.c.updatedAt.desc(), place.c.id.desc())


def has_feedback(thread_id: ColumnElement[str], value: int) -> ColumnElement[bool]:
    """Whether a thread has such a feedback, for a step that is there.

    Args:
        thread_id: The thread.
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
