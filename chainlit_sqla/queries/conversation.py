"""Reading a whole thread: its row, its steps and its elements.

Where each round trip costs, they are one statement: the rows of the steps, and before the
first of them the rest as a JSON document. JSON for the steps too would cost the server
three times what it takes to send them as rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import CompoundSelect, Text, bindparam, cast, null, select

from .._internal import json as _json
from ..dialects import Asked, Dialect, Rows
from ..models import elements as elements_table
from ..models import threads
from . import elements, steps
from . import threads as threads_queries
from .columns import shown

_ALL = 2**31 - 1

Conversation = tuple[Sequence[Any], Rows, Rows]
"""A row of `queries.threads`, rows of `queries.steps` (without the thread), of elements."""


def ask(dialect: Dialect, thread_id: str) -> Sequence[Asked]:
    """What to run, in one go.

    Args:
        dialect: The database's dialect.
        thread_id: The thread.
    """
    together = _together(dialect)
    if together is not None:
        return [(together, {"thread_id": thread_id})]
    return [
        threads_queries.by_id(dialect, thread_id),
        steps.of_thread(dialect, thread_id),
        elements.of_thread(dialect, thread_id),
    ]


def answer(found: Sequence[Rows]) -> Conversation | None:
    """What was read; None where there is no such thread.

    Args:
        found: The rows of each statement of `ask`.
    """
    first = found[0]
    if not first:
        return None
    if len(found) > 1:
        return first[0], found[1], found[2]
    place = next(place for place, row in enumerate(first) if row[0] is not None)
    thread, its_elements = _json.loads(first[place][0])
    return thread, [*first[:place], *first[place + 1 :]], its_elements or []


@cache
def _together(dialect: Dialect) -> CompoundSelect[*tuple[Any, ...]] | None:
    thread = dialect.packed(shown(dialect, threads, threads_queries.COLUMNS))
    listed = dialect.packed(
        shown(dialect, elements_table, elements.COLUMNS), elements_table.c.ordinal
    )
    if thread is None or listed is None:
        return None
    own = select(listed).where(elements_table.c.threadId == threads.c.id).scalar_subquery()
    rest = cast(dialect.packed([thread, own]), Text)
    its_steps = steps.all_of_thread(dialect)
    nothing = [null() for _ in its_steps.selected_columns][1:]
    first = select(rest, *nothing).where(threads.c.id == bindparam("thread_id"))
    # With a limit the order counts, also where the server would like to work in parallel.
    return first.union_all(its_steps.limit(_ALL))
