"""What keeps tables of PostgreSQL from being exchanged, asked before anything is done."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Text

_KINDS = {
    "v": "it is a view",
    "m": "it is a materialized view",
    "f": "it is a foreign table",
    "p": "it is partitioned",
}


def unfit(connection: Connection, schema: str | None, table: str) -> str | None:
    """Why something with a table's name cannot be moved; None: it can.

    Args:
        connection: That may read the catalog.
        schema: The schema.
        table: The name.
    """
    kind = connection.scalar(
        text(
            """
            SELECT CASE WHEN EXISTS (SELECT FROM pg_inherits
              WHERE c.oid IN (inhrelid, inhparent)) THEN 'p' ELSE c.relkind::text END
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relname = :table AND n.nspname = :schema
            """
        ),
        {"table": table, "schema": schema},
    )
    return _KINDS.get(kind or "")


def owners(connection: Connection, schema: str | None, tables: Sequence[str]) -> Sequence[str]:
    """The roles that own some of the tables and whose rights this login has not.

    Args:
        connection: That may read the catalog.
        schema: The schema.
        tables: Their names.
    """
    query = text(
        """
        SELECT DISTINCT pg_get_userbyid(c.relowner)::text AS owner
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relname = ANY(:tables) AND n.nspname = :schema
          AND NOT pg_has_role(c.relowner, 'USAGE') ORDER BY owner
        """
    ).bindparams(bindparam("tables", list(tables), ARRAY(Text())))
    return connection.scalars(query, {"schema": schema}).all()
