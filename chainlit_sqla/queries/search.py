"""Searching a user's threads: text in the title or in a message, newest activity first.

A search reads the texts of threads from the newest on until the page is full. Threads that
have a signature are passed over where it shows that they do not contain the text; so what
is read are threads with the text, few others, and those without a signature.

The statements are constant and are made so that the database has one sensible way to carry
them out, however few or many threads the user has and whatever it believes of the text:

- what is looked up for each thread stands in a subquery that cannot become a join or a hash
  of the whole table;
- ``OFFSET 0`` keeps the reading of texts above the sorting, so it ends with the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    false,
    literal_column,
    or_,
    select,
    true,
)

from .._internal.signature import PROBES, probes
from ..dialects import BoundStatement, Dialect
from ..models import signatures, steps, threads
from . import select_columns
from .threads import COLUMNS, ThreadQuery, after_cursor, has_feedback, newest_first

_NEWEST = 200
"""Threads that are looked at first: with a common word, they fill a page."""
_END = datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC)
"""Later than any activity: the place before the first page."""


def pages(dialect: Dialect, query: ThreadQuery) -> Sequence[BoundStatement]:
    """How to find a page of the threads with a text, and one more if there are more.

    Args:
        dialect: The database's dialect.
        query: Which threads; ``search`` is the text.

    Returns:
        Statements to run one after the other; the first one that gives more rows than a
        page has is enough, and the last one always is.
    """
    text = query.search or ""
    places = probes(text)
    values: dict[str, Any] = {
        "user_id": query.user_id,
        "term": dialect.search_term(text),
        "at": query.after.last_activity if query.after else _END,
        "id": query.after.id if query.after else "",
        "rows": query.first + 1,
    }
    if places is None:  # Too short for signatures: all is read.
        return [(_statement(dialect, False, False, query.feedback), values)]
    values |= {f"place_{i}": place for i, place in enumerate(places)}
    return [
        (_statement(dialect, True, True, query.feedback), values),
        (_statement(dialect, True, False, query.feedback), values),
    ]


@cache
def _statement(dialect: Dialect, signed: bool, newest: bool, feedback: int | None) -> Select[Any]:
    """The threads of a page, of all or of the newest, with the help of signatures or not."""
    mine = _newest(dialect) if newest else _all()
    candidates = _unless_passed_over(dialect, mine) if signed else mine
    ordered = newest_first(select(candidates).where(after_cursor(dialect, candidates)), candidates)
    threads_in_order = ordered.offset(0).subquery("ordered")
    found = select(threads_in_order.c.id).where(_mentions(dialect, threads_in_order.c.id))
    if feedback is not None:
        found = found.where(has_feedback(threads_in_order.c.id, feedback))
    page = found.limit(bindparam("rows", type_=Integer())).subquery("page")
    rows = select(*select_columns(dialect, threads, COLUMNS))
    return newest_first(rows.join_from(threads, page, page.c.id == threads.c.id), threads)


def _all() -> CTE:
    """The threads of the user.

    Those before the cursor too: a server that does not know the cursor believes that it
    leaves few threads, and looks up the signatures of many one by one.
    """
    columns = threads.c
    query = select(columns.id, columns.updatedAt).where(columns.userId == bindparam("user_id"))
    return query.cte("user_threads")


def _newest(dialect: Dialect) -> CTE:
    """The first threads of the user after the cursor."""
    columns = threads.c
    query = select(columns.id, columns.updatedAt).where(
        columns.userId == bindparam("user_id"), after_cursor(dialect, threads)
    )
    limit: ColumnElement[int] = literal_column(str(_NEWEST))
    return newest_first(query, threads).limit(limit).cte("user_threads")


def _unless_passed_over(dialect: Dialect, mine: CTE) -> CTE:
    """The threads that may contain the text."""
    probed = [bindparam(f"place_{i}", type_=Integer()) for i in range(PROBES)]
    may_contain = dialect.has_all(signatures.c.signature, probed)
    of_thread = and_(
        signatures.c.threadId == mine.c.id,
        signatures.c.userId == bindparam("user_id"),
        signatures.c.updatedAt == mine.c.updatedAt,
    )
    query = select(mine).outerjoin(signatures, of_thread).where(may_contain.is_not(false()))
    # Planned for all its rows: else the server thinks of a page, and looks up one by one.
    return dialect.materialized(query.cte("candidates"))


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
