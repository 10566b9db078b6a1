"""Reads threads: one with its contents, its author, and pages of a user's list."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, TypeVar

import orjson
from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    FromClause,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    cast,
    exists,
    null,
    select,
)

from .._internal import json as _json
from ..dialects import BoundStatement, Dialect, Rows
from ..dialects.column_types import UtcDateTime
from ..errors import InvalidCursor
from ..models import elements as elements_table
from ..models import feedbacks, threads
from ..models import steps as steps_table
from . import elements, select_columns, steps

_Query = TypeVar("_Query", bound=Select[Any])
_LONGEST_CURSOR = 10_000
_NO_LIMIT = 2**31 - 1

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
AUTHOR = select(threads.c.userIdentifier).where(threads.c.id == bindparam("thread_id"))
"""The identifier of the user of the thread ``thread_id``."""

# A thread with its contents

ThreadDetail = tuple[Sequence[Any], Rows, Rows]
"""A row of `COLUMNS`, rows of `queries.steps` (without the thread's id) and `queries.elements`."""


def detail_statements(dialect: Dialect, thread_id: str) -> Sequence[BoundStatement]:
    """Return the statements that read a thread, its steps and its elements.

    Where each round trip is expensive, it is one statement: the rows of the steps, and one row
    with the thread and its elements as a JSON document. The steps as JSON, too, would cost the
    server three times as much as sending their rows.
    """
    combined = _combined(dialect)
    if combined is not None:
        return [(combined, {"thread_id": thread_id})]
    queries = (_by_id(dialect), steps.of_thread(dialect), elements.of_thread(dialect))
    return [(query, {"thread_id": thread_id}) for query in queries]


def parse_detail(results: Sequence[Rows]) -> ThreadDetail | None:
    """Return a thread's rows from the results of `detail_statements`, None if it does not exist."""
    first = results[0]
    if not first:
        return None
    if len(results) > 1:
        return first[0], results[1], results[2]
    # The first column holds the document, and is NULL in the rows of the steps.
    index = next(index for index, row in enumerate(first) if row[0] is not None)
    thread_row, element_rows = _json.loads(first[index][0])
    return thread_row, [*first[:index], *first[index + 1 :]], element_rows or []


@cache
def _by_id(dialect: Dialect) -> Select[*tuple[Any, ...]]:
    query = select(*select_columns(dialect, threads, COLUMNS))
    return query.where(threads.c.id == bindparam("thread_id"))


@cache
def _combined(dialect: Dialect) -> CompoundSelect[*tuple[Any, ...]] | None:
    thread = dialect.packed(select_columns(dialect, threads, COLUMNS))
    element_list = dialect.packed(
        select_columns(dialect, elements_table, elements.COLUMNS), elements_table.c.ordinal
    )
    if thread is None or element_list is None:
        return None
    of_thread = elements_table.c.threadId == threads.c.id
    thread_elements = select(element_list).where(of_thread).scalar_subquery()
    document = cast(dialect.packed([thread, thread_elements]), Text)
    step_rows = steps.of_thread(dialect)
    padding = [null() for _ in step_rows.selected_columns][1:]
    document_row = select(document, *padding).where(threads.c.id == bindparam("thread_id"))
    # The limit makes the order of the steps binding, also for a parallel plan.
    return document_row.union_all(step_rows.limit(_NO_LIMIT))


# The list of a user's threads


@dataclass(frozen=True, slots=True)
class Cursor:
    """A position in the thread list, which stays valid while threads are added and deleted.

    Its text form is opaque to clients.
    """

    last_activity: datetime
    id: str

    def __str__(self) -> str:
        raw = orjson.dumps([self.last_activity.isoformat(), self.id])
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")

    @classmethod
    def parse(cls, cursor: str) -> Cursor:
        """Parse the result of ``str(cursor)``; raise `InvalidCursor` for any other text."""
        try:
            if len(cursor) > _LONGEST_CURSOR:
                raise ValueError("no id is that long")
            raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
            timestamp, id = orjson.loads(raw)
            last_activity = datetime.fromisoformat(timestamp)
            if last_activity.tzinfo is None:
                raise ValueError("the timestamp has no offset")
            return cls(last_activity.astimezone(UTC), _json.clean_text(str(id)))
        except (ValueError, TypeError, OverflowError, binascii.Error):
            raise InvalidCursor(
                f"{cursor[:80]!r} is not a cursor of this list; "
                "request the first page, without a cursor"
            ) from None


@dataclass(frozen=True, slots=True)
class ThreadQuery:
    """Which threads of a user to list: all, or those with a text or with feedback (0 or 1)."""

    user_id: str
    first: int
    after: Cursor | None = None
    search: str | None = None
    feedback: int | None = None


def page(dialect: Dialect, query: ThreadQuery) -> BoundStatement:
    """Select a page by last activity, and one more row if there are more; ignores the search."""
    return _page(dialect, query.after is not None, query.feedback), page_parameters(query)


def page_parameters(query: ThreadQuery) -> dict[str, Any]:
    """Return the parameters of a page, except that of a search."""
    parameters: dict[str, Any] = {"user_id": query.user_id, "rows": query.first + 1}
    if query.after:
        parameters |= {"at": query.after.last_activity, "id": query.after.id}
    return parameters


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
    """Return the condition that a thread follows the parameters ``at`` and ``id``."""
    cursor = bindparam("at", type_=UtcDateTime()), bindparam("id", type_=Text())
    return dialect.before((source.c.updatedAt, source.c.id), cursor)


def newest_first(query: _Query, source: FromClause) -> _Query:
    """Sort a query by last activity, as the thread list is sorted."""
    return query.order_by(source.c.updatedAt.desc(), source.c.id.desc())


def has_feedback(thread_id: ColumnElement[str], value: int) -> ColumnElement[bool]:
    """Return the condition that a thread has feedback of a value for an existing step."""
    return exists().where(
        and_(
            feedbacks.c.threadId == thread_id,
            feedbacks.c.value == value,
            steps_table.c.threadId == feedbacks.c.threadId,
            steps_table.c.id == feedbacks.c.forId,
        )
    )
