"""Finding the items that make work on many items fail."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


async def bisect(
    items: Sequence[T],
    work: Callable[[Sequence[T]], Awaitable[Any]],
    is_refusal: Callable[[Exception], bool],
    on_refused: Callable[[T, Exception], None],
) -> None:
    """Do work on items together, and in ever smaller halves where some of them are refused.

    The items keep their order: the first half is finished before the second one begins, and
    ``on_refused`` is called in that order, too.

    Args:
        items: The items; none: nothing happens.
        work: Works on some of the items; all or nothing, so that a half can be repeated.
        is_refusal: Whether an error is due to an item; other errors end the whole.
        on_refused: Called with each item that is refused by itself, and the error.

    Raises:
        Exception: An error of ``work`` that is no refusal; the items after it are left.

    Example:
        >>> refused = []
        >>> await bisect(
        ...     records, write, is_rejected, lambda record, error: refused.append(record)
        ... )
    """
    if not items:
        return
    try:
        await work(items)
    except Exception as error:
        if not is_refusal(error):
            raise
        if len(items) == 1:
            on_refused(items[0], error)
            return
    else:
        return
    middle = len(items) // 2
    await bisect(items[:middle], work, is_refusal, on_refused)
    await bisect(items[middle:], work, is_refusal, on_refused)
