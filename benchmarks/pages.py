"""Walking through the list of a user's threads, as the frontend does."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

from .history import user_id

LENGTH = 20
"""Threads on a page."""

_LONG = 500
_READS, _SECONDS = 9, 0.1


async def timed(layer: Any, user: int, *, cursor: str | None, search: str | None = None) -> float:
    """Measure how long a page takes, in milliseconds: the median of a few, if they are short.

    Args:
        layer: A data layer.
        user: The number of a user of the history.
        cursor: Of the page before.
        search: A word.
    """
    times: list[float] = []
    while len(times) < _READS and sum(times) < _SECONDS:
        began = time.perf_counter()
        await read(layer, user, LENGTH, cursor, search)
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


async def cursor_before(layer: Any, user: int, number: int) -> str | None:
    """Find the cursor with which a page is asked for; None for the first.

    Args:
        layer: A data layer.
        user: The number of a user of the history.
        number: 1 is the first page.
    """
    if number == 1:
        return None
    found = await read(layer, user, LENGTH * (number - 1), None, None)
    return str(found.pageInfo.endCursor)


async def found_threads(layer: Any, user: int, search: str) -> set[str]:
    """Collect the ids of all threads that a search finds, page by page."""
    found: set[str] = set()
    cursor = None
    while True:
        answer = await read(layer, user, _LONG, cursor, search)
        found.update(thread["id"] for thread in answer.data)
        if not answer.pageInfo.hasNextPage:
            return found
        cursor = answer.pageInfo.endCursor


def exponent(times: Mapping[int, float]) -> float:
    """Find how time grows with size: the slope of the line through the logarithms.

    Args:
        times: For each size, how long it took; two at least.

    Example:
        >>> exponent({10: 1.0, 100: 10.0, 1000: 100.0})
        1.0
    """
    xs = [math.log(size) for size in times]
    ys = [math.log(time) for time in times.values()]
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    slope = sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True))
    return slope / sum((a - x) ** 2 for a in xs)


def sizes(largest: int, smallest: int = 10_000) -> Sequence[int]:
    """The numbers of steps at which is measured: powers of ten, and the largest.

    Example:
        >>> sizes(2_000_000)
        [10000, 100000, 1000000, 2000000]
    """
    powers = [10**power for power in range(4, 10) if smallest <= 10**power < largest]
    return [*powers, largest]


async def read(layer: Any, user: int, first: int, cursor: str | None, search: str | None) -> Any:
    """Read a page.

    Args:
        layer: A data layer.
        user: The number of a user of the history.
        first: How many threads.
        cursor: Of the page before.
        search: A word.
    """
    from chainlit.types import Pagination, ThreadFilter

    asked = Pagination(first=first, cursor=cursor)
    return await layer.list_threads(asked, ThreadFilter(userId=user_id(user), search=search))
