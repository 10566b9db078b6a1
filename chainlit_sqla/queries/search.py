"""Searching a user's threads: text in the title or in a message, newest activity first.

Without an index, a search reads the texts of one user's threads from the newest on until the
page is full. The statement is constant and leaves the database one sensible plan, however few
or many threads the user has and however common it believes the text to be:

- the condition on each thread is a scalar subquery, which cannot become a join or a hash of the
  whole table;
- ``OFFSET 0`` keeps the texts from being read before the threads are sorted, so reading ends
  with the page.

With an index, the same statement reads only the messages of threads in which the index has a
hit. The index covers all users: if it has more than `_COMMON` hits, the newest threads are likely
to contain the text, and they are read as without an index.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    Text,
    bindparam,
    case,
    func,
    literal_column,
    or_,
    select,
    true,
)

from ..database import Database
from ..dialects import BoundStatement, Dialect, Rows
from ..dialects.search_index import SearchState
from ..errors import SchemaOutdated
from ..models import steps, threads
from . import select_columns
from .threads import COLUMNS, ThreadQuery, after_cursor, has_feedback, newest_first, page_parameters

log = logging.getLogger(__name__)

SLOW_SECONDS = 0.5
_COMMON = 1_000


class Search:
    """Finds pages of threads, with the index where there is one; the clock measures searches."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._hinted = False

    async def page(self, query: ThreadQuery) -> Rows:
        """Return a page of the threads that contain a text, and one more row if there are more."""
        began = self._clock()
        state = await read_state(self._database)
        rows = await self._fetch(query, state)
        seconds = self._clock() - began
        can_have_index = self._database.dialect.search_index is not None
        if seconds > SLOW_SECONDS and can_have_index and not state.usable and not self._hinted:
            self._hinted = True
            log.warning(
                "Search took %.1f s without an index; run `chainlit-sqla search enable`.", seconds
            )
        return rows

    async def _fetch(self, query: ThreadQuery, state: SearchState) -> Rows:
        dialect = self._database.dialect
        if state.usable:
            try:
                [rows] = await self._database.fetch(page(dialect, query, state), slow=True)
            except SchemaOutdated:  # The index was dropped meanwhile, or more is missing.
                state = SearchState(folds_unicode=state.folds_unicode)
            else:
                return rows
        [rows] = await self._database.fetch(page(dialect, query, state), slow=True)
        return rows


async def read_state(database: Database) -> SearchState:
    """Return what a database has for searching."""
    index = database.dialect.search_index
    if index is None:
        return SearchState()
    [[row]] = await database.fetch(index.state_query(database.schema))
    return index.parse_state(row)


def page(dialect: Dialect, query: ThreadQuery, state: SearchState) -> BoundStatement:
    """Return the statement of a page, and of one more row if there are more."""
    text = query.search or ""
    values = page_parameters(query) | {"term": dialect.search_term(text)}
    match = dialect.search_index.match(text, state) if dialect.search_index else None
    is_indexed = state.usable and match is not None
    if is_indexed:
        values["match"] = match
    shape = query.after is not None, query.feedback, is_indexed, state.folds_unicode
    return _page(dialect, *shape), values


@cache
def _page(
    dialect: Dialect, after: bool, feedback: int | None, is_indexed: bool, icu: bool
) -> Select[Any]:
    of_user = select(threads.c.id, threads.c.updatedAt).where(
        threads.c.userId == bindparam("user_id")
    )
    if after:
        of_user = of_user.where(after_cursor(dialect, threads))
    ordered = newest_first(of_user, threads).offset(0).subquery("ordered")
    thread_id = ordered.c.id
    in_title, in_message = _in_title(dialect, thread_id, icu), _in_message(dialect, thread_id, icu)
    is_hit: ColumnElement[bool] = or_(in_title, in_message)
    if is_indexed:
        assert dialect.search_index
        limit: ColumnElement[int] = literal_column(str(_COMMON + 1))
        hits = dialect.search_index.hits(steps, icu=icu).limit(limit).cte("hits")
        hits = hits.prefix_with("MATERIALIZED", dialect=dialect.name)
        is_common = select(func.count() > literal_column(str(_COMMON))).select_from(hits)
        may_contain = or_(is_common.scalar_subquery(), thread_id.in_(select(hits.c.threadId)))
        is_hit = case((may_contain, is_hit), else_=in_title)
    page = select(thread_id).where(is_hit)
    if feedback is not None:
        page = page.where(has_feedback(thread_id, feedback))
    ids = page.limit(bindparam("rows", type_=Integer())).subquery("page")
    rows = select(*select_columns(dialect, threads, COLUMNS))
    return newest_first(rows.join_from(threads, ids, ids.c.id == threads.c.id), threads)


def _in_title(dialect: Dialect, thread_id: ColumnElement[str], icu: bool) -> ColumnElement[bool]:
    contains = dialect.contains(threads.c.name, bindparam("term", type_=Text()), icu=icu)
    return select(contains).where(threads.c.id == thread_id).scalar_subquery()


def _in_message(dialect: Dialect, thread_id: ColumnElement[str], icu: bool) -> ColumnElement[bool]:
    return (
        select(true())
        .where(
            steps.c.threadId == thread_id,
            # Not the predicate of the partial index: PostgreSQL would take it for each thread.
            func.coalesce(steps.c.type, literal_column("''")).like(literal_column("'%message%'")),
            dialect.contains(steps.c.output, bindparam("term", type_=Text()), icu=icu),
        )
        .limit(literal_column("1"))
        .scalar_subquery()
    )
