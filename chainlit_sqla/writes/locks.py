"""Locks on the rows of threads, which order writes against deletions of other processes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select, update

from ..models import threads


def lock_threads(
    connection: Connection, ids: Iterable[str], *, exclusive: bool
) -> Mapping[str, Any]:
    """Lock the rows of threads, always in the same order.

    Args:
        connection: In a transaction.
        ids: The threads; threads that do not exist are ignored.
        exclusive: Whether to exclude saves too, as deletions need.

    Returns:
        The rows by id: id, updatedAt and userIdentifier.
    """
    columns = threads.c
    query = (
        select(columns.id, columns.updatedAt, columns.userIdentifier)
        .where(columns.id.in_(sorted(set(ids))))
        .order_by(columns.id)
        .with_for_update(key_share=not exclusive)
    )
    return {row.id: row for row in connection.execute(query)}


def bump_row_versions(connection: Connection, ids: Collection[str]) -> None:
    """Give the rows of locked threads a new version without changing a value.

    A fast batch in another process, whose snapshot may be older than its lock, detects the change
    by the version: see `chainlit_sqla.dialects.postgresql.fast_batch`.

    Args:
        connection: In a transaction.
        ids: The threads.
    """
    if ids:
        same = update(threads).values(updatedAt=threads.c.updatedAt)
        connection.execute(same.where(threads.c.id.in_(ids)))


def batched(ids: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """Split ids into portions for one statement each.

    Args:
        ids: The ids.
        size: The largest length of a portion.
    """
    for start in range(0, len(ids), size):
        yield ids[start : start + size]
