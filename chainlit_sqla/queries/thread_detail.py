"""A whole thread: its row, its steps and its elements.

Where each round trip is expensive, one statement reads all of it: the rows of the steps, and
one row with the thread and its elements as a JSON document. The steps as JSON, too, would
cost the server three times as much as sending their rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import CompoundSelect, Text, bindparam, cast, null, select

from .._internal import json as _json
from ..dialects import BoundStatement, Dialect, Rows
from ..models import elements as elements_table
from ..models import threads as threads_table
from . import elements, select_columns, steps, threads

_NO_LIMIT = 2**31 - 1

ThreadDetail = tuple[Sequence[Any], Rows, Rows]
"""A row of `queries.threads`, rows of `queries.steps` (without the thread's id), and rows of
`queries.elements`."""


def statements(dialect: Dialect, thread_id: str) -> Sequence[BoundStatement]:
    """Return the statements that read a thread.

    Args:
        dialect: The dialect of the database.
        thread_id: The thread.
    """
    combined = _combined(dialect)
    if combined is not None:
        return [(combined, {"thread_id": thread_id})]
    return [
        threads.by_id(dialect, thread_id),
        steps.of_thread(dialect, thread_id),
        elements.of_thread(dialect, thread_id),
    ]


def parse(results: Sequence[Rows]) -> ThreadDetail | None:
    """Return the rows of a thread, None if there is no such thread.

    Args:
        results: The rows of each of the `statements`.
    """
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
def _combined(dialect: Dialect) -> CompoundSelect[*tuple[Any, ...]] | None:
    thread = dialect.packed(select_columns(dialect, threads_table, threads.COLUMNS))
    element_list = dialect.packed(
        select_columns(dialect, elements_table, elements.COLUMNS), elements_table.c.ordinal
    )
    if thread is None or element_list is None:
        return None
    of_thread = elements_table.c.threadId == threads_table.c.id
    thread_elements = select(element_list).where(of_thread).scalar_subquery()
    document = cast(dialect.packed([thread, thread_elements]), Text)
    step_rows = steps.all_of_thread(dialect)
    padding = [null() for _ in step_rows.selected_columns][1:]
    document_row = select(document, *padding).where(threads_table.c.id == bindparam("thread_id"))
    # The limit makes the order of the steps binding, also for a parallel plan.
    return document_row.union_all(step_rows.limit(_NO_LIMIT))
