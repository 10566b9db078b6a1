"""A database as SQL text that makes it again: readable, and the same whenever it is made.

Rows are in the order of their text, one statement a table, so keys within a table hold.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from tests.frozen import mysql
from tests.frozen.conversations import LONG

_TABLES_OF_POSTGRES = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
ORDER BY c.oid
"""
_LINE = LONG.splitlines(keepends=True)[0]
_REPEAT = len(LONG) // len(_LINE)


@dataclass(frozen=True)
class _Words:
    """How a dialect writes what its standard literals cannot.

    Args:
        long: The long output.
        odd: A character that a file cannot hold, between two pieces of a text.
        whole: A text that has one.
        binary: Bytes.
        quote: What is around a name.
    """

    long: str
    odd: str
    whole: str = "{}"
    binary: str = "X'{}'"
    quote: str = '"'


_MYSQL = _Words("REPEAT({line}, {count})", "', CHAR({} USING utf8mb4), '", "CONCAT({})", quote="`")
_WORDS = {
    "sqlite": _Words("replace(hex(zeroblob({count})), '00', {line})", "' || char({}) || '"),
    "postgresql": _Words("repeat({line}, {count})", "' || chr({}) || '", binary="'\\x{}'"),
    "mariadb": _MYSQL,
    "mysql": _MYSQL,
}


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


async def mysql_rows(url: str, dialect: str, tables: Iterable[str]) -> str:
    """The INSERT statements for all rows of a database of MySQL or MariaDB.

    Args:
        url: The database.
        dialect: Which of the two.
        tables: All tables in an order in which keys hold and triggers find nothing to do; the
            database does not know which of them is older.
    """
    found = await mysql.tables(url)
    return "".join(insert(name, *found[name], dialect) for name in tables if name in found)


def insert(table: str, names: Sequence[str], rows: Iterable[Sequence[Any]], dialect: str) -> str:
    """One statement for the rows of a table; nothing where it has none."""
    lines = sorted(
        "    (" + ", ".join(literal(value, dialect) for value in row) + ")" for row in rows
    )
    if not lines:
        return ""
    quote = _WORDS[dialect].quote
    plain = table.replace("_", "").replace(".", "").islower()
    place = table if plain else f"{quote}{table}{quote}"
    columns = ", ".join(f"{quote}{name}{quote}" for name in names)
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
    words = _WORDS[dialect]
    if value == LONG:
        return words.long.format(line=_text(_LINE, dialect), count=_REPEAT)
    quoted = "'" + value.replace("'", "''") + "'"
    if words is _MYSQL:
        quoted = quoted.replace("\\", "\\\\")
    # A file's line ends are changed by editors and by version control.
    whole = quoted
    for odd in "\r\0":
        whole = whole.replace(odd, words.odd.format(ord(odd)))
    return whole if whole == quoted else words.whole.format(whole)


def _bytes(value: bytes, dialect: str) -> str:
    return _WORDS[dialect].binary.format(value.hex())


def _list(value: list[Any], dialect: str) -> str:
    if not value:
        return "'{}'"
    return "ARRAY[" + ", ".join(literal(one, dialect) for one in value) + "]"
