"""Searching a user's threads: text in the title or in a message, newest activity first.

Without an index, a search reads the texts of one user's threads from the newest on until the
page is full. The statement is constant and leaves the database one sensible plan, however few
or many threads the user has and however common it believes the text to be:

- what is looked up for each thread is a scalar subquery, which cannot become a join or a hash
  of the whole table;
- ``OFFSET 0`` keeps the texts from being read before the threads are sorted, so reading ends
  with the page.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    Text,
    bindparam,
    literal_column,
    or_,
    select,
    true,
)

from ..dialects import BoundStatement, Dialect
from ..models import steps, threads
from . import select_columns
from .threads import COLUMNS, ThreadQuery, after_cursor, has_feedback, newest_first


def page(dialect: Dialect, query: ThreadQuery) -> BoundStatement:
    """A page of the threads that contain a text, and one more row if there are more.

    Args:
        dialect: The database's dialect.
        query: Which threads; ``search`` is the text.
    """
    values: dict[str, Any] = {
        "user_id": query.user_id,
        "term": dialect.search_term(query.search or ""),
        "rows": query.first + 1,
    }
    if query.after:
        values |= {"at": query.after.last_activity, "id": query.after.id}
    return _page(dialect, query.after is not None, query.feedback), values


@cache
def _page(dialect: Dialect, after: bool, feedback: int | None) -> Select[Any]:
    of_user = select(threads.c.id, threads.c.updatedAt).where(
        threads.c.userId == bindparam("user_id")
    )
    if after:
        of_user = of_user.where(after_cursor(dialect, threads))
    ordered = newest_first(of_user, threads).offset(0).subquery("ordered")
    hits = select(ordered.c.id).where(_mentions(dialect, ordered.c.id))
    if feedback is not None:
        hits = hits.where(has_feedback(ordered.c.id, feedback))
    hit_page = hits.limit(bindparam("rows", type_=Integer())).subquery("page")
    rows = select(*select_columns(dialect, threads, COLUMNS))
    return newest_first(rows.join_from(threads, hit_page, hit_page.c.id == threads.c.id), threads)


def _mentions(dialect: Dialect, thread_id: ColumnElement[str]) -> ColumnElement[bool]:
    term = bindparam("term", type_=Text())
    in_title = (
        select(dialect.contains(threads.c.name, term))
        .where(threads.c.id == thread_id)
        .scalar_subquery()
    )
    in_message = (
        select(true())
        .where(
            steps.c.threadId == thread_id,
            steps.c.type.like("%message%"),
            dialect.contains(steps.c.output, term),
        )
        .limit(literal_column("1"))
        .scalar_subquery()
    )
    return or_(in_title, in_message)
