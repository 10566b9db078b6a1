"""``INSERT … ON CONFLICT``, which PostgreSQL and SQLite have in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Insert


def on_conflict(statement: Any, keys: Sequence[str], update: Iterable[str]) -> Insert:
    """Complete an INSERT for databases that know ``ON CONFLICT``.

    Args:
        statement: The dialect's own ``insert(table)``.
        keys: Names of the columns of the unique key that decides.
        update: Names of the columns written where the row exists; none: it stays.
    """
    changes = {name: statement.excluded[name] for name in update}
    complete: Insert = (
        statement.on_conflict_do_update(index_elements=list(keys), set_=changes)
        if changes
        else statement.on_conflict_do_nothing(index_elements=list(keys))
    )
    return complete
