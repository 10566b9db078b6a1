"""A database as SQL text that makes it again: readable, and the same whenever it is made.

Rows are in the order of their text, one statement a table, so keys within a table hold.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Container, Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from tests.frozen.conversations import LONG

_TABLES_OF_POSTGRES = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
ORDER BY c.oid
"""
_LINE = LONG.splitlines(keepends=True)[0]
_REPEAT = len(LONG) // len(_LINE)
_LONG_EXPRESSIONS = {
    "sqlite": "replace(hex(zeroblob({count})), '00', {line})",
    "postgresql": "repeat({line}, {count})",
}
_CHARACTER = {"sqlite": "char", "postgresql": "chr"}


def sqlite_rows(path: str, without: Container[str] = ()) -> str:
    """The INSERT statements for all rows of a SQLite file.

    Args:
        path: The file.
        without: Tables to leave out.
    """
    connection = sqlite3.connect(path)
    try:
        tables = [
            name
            for (name,) in connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY rowid"
            )
            if name not in without
        ]
        statements = []
        for table in tables:
            cursor = connection.execute(f'SELECT * FROM "{table}"')
            names = [column[0] for column in cursor.description]
            statements.append(insert(table, names, cursor.fetchall(), "sqlite"))
        return "".join(statements)
    finally:
        connection.close()


async def postgres_rows(connection: asyncpg.Connection, without: Container[str] = ()) -> str:
    """The INSERT statements for all rows of a PostgreSQL database, its tables oldest first.

    Args:
        connection: A connection to it.
        without: Tables to leave out.
    """
    statements = []
    await connection.execute("SET TIME ZONE 'UTC'")
    for schema, table in await connection.fetch(_TABLES_OF_POSTGRES):
        if table in without:
            continue
        place = table if schema == "public" else f"{schema}.{table}"
        query = await connection.prepare(f'SELECT * FROM "{schema}"."{table}"')
        names = [attribute.name for attribute in query.get_attributes()]
        rows = [tuple(row) for row in await query.fetch()]
        statements.append(insert(place, names, rows, "postgresql"))
    return "".join(statements)


def insert(table: str, names: Sequence[str], rows: Iterable[Sequence[Any]], dialect: str) -> str:
    """One statement for the rows of a table; nothing where it has none."""
    lines = sorted(
        "    (" + ", ".join(literal(value, dialect) for value in row) + ")" for row in rows
    )
    if not lines:
        return ""
    place = table if table.replace("_", "").replace(".", "").islower() else f'"{table}"'
    columns = ", ".join(f'"{name}"' for name in names)
    return f"\nINSERT INTO {place} ({columns}) VALUES\n" + ",\n".join(lines) + ";\n"


def literal(value: Any, dialect: str) -> str:
    """A value as SQL."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return _text(value, dialect)
    if isinstance(value, UUID):
        return f"'{value}'"
    if isinstance(value, datetime):
        return f"'{value.isoformat(' ')}'"
    return _bytes(value, dialect) if isinstance(value, bytes) else _list(value, dialect)


def _text(value: str, dialect: str) -> str:
    if value == LONG:
        line = _text(_LINE, dialect)
        return _LONG_EXPRESSIONS[dialect].format(line=line, count=_REPEAT)
    quoted = "'" + value.replace("'", "''") + "'"
    # A file's line ends are changed by editors and by version control.
    for odd in "\r\0":
        quoted = quoted.replace(odd, f"' || {_CHARACTER[dialect]}({ord(odd)}) || '")
    return quoted


def _bytes(value: bytes, dialect: str) -> str:
    return f"X'{value.hex()}'" if dialect == "sqlite" else f"'\\x{value.hex()}'"


def _list(value: list[Any], dialect: str) -> str:
    if not value:
        return "'{}'"
    return "ARRAY[" + ", ".join(literal(one, dialect) for one in value) + "]"
