"""Replacing tables in place on PostgreSQL, whose DDL is transactional."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, bindparam, inspect, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import Text, TypeEngine

from ..base import driver_error
from ..in_place import BACKUP_SUFFIX, INDEX_PREFIXES, Dependent, TableReplacement, TablesInUse
from .dependents import find_dependents, find_grants

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

LOCK_SECONDS = 5
"""How long to wait for other connections to release the tables."""

_LOCK_NOT_AVAILABLE = "55P03"
_TIMEOUTS = (
    "statement_timeout",
    "idle_in_transaction_session_timeout",
    "transaction_timeout",
    "idle_session_timeout",
)


class PostgreSQLTableReplacement(TableReplacement):
    """PostgreSQL's part.

    Args:
        lock: The number of the advisory lock around migrations.
    """

    has_native_types = True

    def __init__(self, lock: int) -> None:
        self._lock = lock

    @asynccontextmanager
    async def transaction(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        """With the advisory lock, and without the time limits that some hosts set.

        A policy that would hide rows raises an error: hidden rows would not be copied.
        """
        engine = engine.execution_options(isolation_level="READ COMMITTED")
        async with engine.connect() as connection, connection.begin():
            await connection.execute(
                text(
                    "SELECT set_config(name, '0', true) FROM pg_settings WHERE name = ANY(:names)"
                ).bindparams(bindparam("names", list(_TIMEOUTS), ARRAY(Text())))
            )
            await connection.execute(text("SET LOCAL row_security = off"))
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({self._lock})"))
            yield connection

    def lock(self, connection: Connection, schema: str | None, tables: Sequence[str]) -> None:
        """``ACCESS EXCLUSIVE``, within a few seconds."""
        names = ", ".join(self.qualified(connection, schema, table) for table in tables)
        try:
            with connection.begin_nested():
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
                connection.exec_driver_sql(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE")
                connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
        except DBAPIError as error:
            if getattr(driver_error(error), "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                raise
            users = _users(connection, _schema_name(connection, schema), tables)
            raise TablesInUse(users) from error

    def dependents(
        self, connection: Connection, schema: str | None, tables: Sequence[str]
    ) -> list[Dependent]:
        """As the server describes them, with all names in full."""
        return find_dependents(connection, _schema_name(connection, schema), tables)

    def grants(
        self, connection: Connection, schema: str | None, tables: Sequence[str]
    ) -> list[str]:
        """Those of roles other than the owner."""
        return find_grants(connection, _schema_name(connection, schema), tables)

    def column_types(
        self, connection: Connection, schema: str | None, table: str
    ) -> Mapping[str, TypeEngine[Any]]:
        """As declared."""
        columns = inspect(connection).get_columns(table, schema=schema)
        return {column["name"]: column["type"] for column in columns if not column.get("computed")}

    def rename(self, connection: Connection, schema: str | None, table: str, to: str) -> None:
        """Rename a table and those of its indexes that could be named like ours."""
        quote = connection.dialect.identifier_preparer.quote
        query = text(
            "SELECT i.relname FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid "
            "WHERE x.indrelid = to_regclass(:table)"
        )
        name = self.qualified(connection, schema, table)
        for index in connection.scalars(query, {"table": name}).all():
            new = index.removesuffix(BACKUP_SUFFIX)
            if to.endswith(BACKUP_SUFFIX):
                new = f"{index[: 63 - len(BACKUP_SUFFIX)]}{BACKUP_SUFFIX}"
            if index.startswith(INDEX_PREFIXES) and new != index:
                place = self.qualified(connection, _schema_name(connection, schema), index)
                connection.exec_driver_sql(f"ALTER INDEX {place} RENAME TO {quote(new)}")
        super().rename(connection, schema, table, to)

    def inherit_security(
        self, connection: Connection, schema: str | None, tables: Sequence[str], like: str
    ) -> None:
        """Row level security without policies: hosts that open new tables to all show no row."""
        query = text(
            "SELECT relrowsecurity AS secured, quote_ident(pg_get_userbyid(relowner)) AS owner, "
            "relowner = current_user::regrole AS mine FROM pg_class WHERE oid = to_regclass(:table)"
        )
        legacy = connection.execute(
            query, {"table": self.qualified(connection, schema, like)}
        ).one()
        for table in tables:
            change = f"ALTER TABLE {self.qualified(connection, schema, table)}"
            if legacy.secured:
                connection.exec_driver_sql(f"{change} ENABLE ROW LEVEL SECURITY")
            if not legacy.mine:
                connection.exec_driver_sql(f"{change} OWNER TO {legacy.owner}")


def _schema_name(connection: Connection, schema: str | None) -> str:
    return schema or str(connection.dialect.default_schema_name)


def _users(connection: Connection, schema: str, tables: Sequence[str]) -> list[str]:
    query = text(
        """
        SELECT DISTINCT coalesce(nullif(a.application_name, ''), 'a program') || ' of ' || a.usename
          || ' from ' || coalesce(host(a.client_addr), 'local')
          || ' (process ' || a.pid || ', ' || a.state || ')'
        FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
        JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE l.granted AND l.pid <> pg_backend_pid() AND n.nspname = :schema
          AND c.relname = ANY(:tables)
          AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        """
    ).bindparams(bindparam("tables", list(tables), ARRAY(Text())))
    return list(connection.scalars(query, {"schema": schema}))
