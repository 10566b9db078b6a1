"""Names of tables and columns where a database takes ``Threads`` and ``threads`` for the same."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection

from . import dialect_named


def canonical(connection: Connection, names: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Each name that is there, and how we write it.

    Args:
        connection: To the database, which knows whether case counts.
        names: Names that are there.
        known: Names as we write them; others stay.

    Example:
        >>> canonical(connection, ["Threads", "other"], ["threads"])  # on SQLite
        {'Threads': 'threads', 'other': 'other'}
    """
    ours = {}
    if dialect_named(connection.dialect.name).ignores_case:
        ours = {name.lower(): name for name in known}
    return {name: ours.get(name.lower(), name) for name in names}
