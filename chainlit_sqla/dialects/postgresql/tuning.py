"""How PostgreSQL is told to store and to plan tables, as the statements that say so anew.

The search path is empty while this runs, so the server writes all names in full.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import BigInteger

from ..moving import Dependent

_TABLE = "quote_ident(n.nspname) || '.' || quote_ident(c.relname)"
_OF_TABLES = "pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"


def _rows(connection: Connection, sql: str, oids: Sequence[int]) -> Sequence[Any]:
    statement = text(sql).bindparams(bindparam("oids", list(oids), ARRAY(BigInteger())))
    return connection.execute(statement).all()


def storage(connection: Connection, oids: Sequence[int]) -> Iterator[Dependent]:
    """Storage parameters of tables and columns, such as ``fillfactor``."""
    sql = f"""
        SELECT {_TABLE} AS "table", NULL AS "column", array_to_string(c.reloptions ||
          (SELECT array_agg('toast.' || one) FROM unnest(t.reloptions) one), ', ') AS options,
          NULL AS target
        FROM {_OF_TABLES} LEFT JOIN pg_class t ON t.oid = c.reltoastrelid WHERE c.oid = ANY(:oids)
        UNION ALL
        SELECT {_TABLE}, quote_ident(a.attname), array_to_string(a.attoptions, ', '),
          nullif(a.attstattarget, -1)
        FROM {_OF_TABLES} JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
        WHERE c.oid = ANY(:oids) AND NOT a.attisdropped"""  # noqa: S608
    for row in _rows(connection, sql, oids):
        change = f"ALTER TABLE {row.table}"
        name = row.table
        if row.column:
            change, name = f"{change} ALTER COLUMN {row.column}", f"{name}.{row.column}"
        made = [f"{change} SET ({row.options})"] if row.options else []
        made += [f"{change} SET STATISTICS {row.target}"] if row.target is not None else []
        if made:
            yield Dependent("storage parameters of", name, made, quiet=True)


def statistics(connection: Connection, oids: Sequence[int]) -> Iterator[Dependent]:
    """``CREATE STATISTICS``; what was gathered is gathered anew."""
    sql = """
        SELECT quote_ident(n.nspname) || '.' || quote_ident(s.stxname) AS name,
          pg_get_statisticsobjdef(s.oid) AS sql, nullif(s.stxstattarget, -1) AS target
        FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace
        WHERE s.stxrelid = ANY(:oids) ORDER BY 1"""
    for row in _rows(connection, sql, oids):
        made = [row.sql]
        if row.target is not None:
            made.append(f"ALTER STATISTICS {row.name} SET STATISTICS {row.target}")
        yield Dependent("statistics", row.name, made, (f"DROP STATISTICS {row.name}",))


def defaults(connection: Connection, oids: Sequence[int]) -> Iterator[Dependent]:
    """What a view writes where nothing is said."""
    sql = f"""
        SELECT {_TABLE} AS "view", quote_ident(a.attname) AS "column",
          pg_get_expr(d.adbin, d.adrelid) AS expression
        FROM pg_attrdef d JOIN {_OF_TABLES} ON c.oid = d.adrelid
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.adnum
        WHERE c.oid = ANY(:oids) AND c.relkind = 'v'"""  # noqa: S608
    for row in _rows(connection, sql, oids):
        change = f"ALTER VIEW {row.view} ALTER COLUMN {row.column}"
        set_ = f"{change} SET DEFAULT {row.expression}"
        yield Dependent("default of", f"{row.view}.{row.column}", (set_,), quiet=True)
