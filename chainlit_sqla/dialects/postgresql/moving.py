"""Changing the shape of tables in place on PostgreSQL, whose DDL is transactional."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import BindParameter, ColumnElement, Connection, bindparam, cast, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import NullType, Text, TypeDecorator, TypeEngine, UserDefinedType

from ..error_kinds import driver_error
from ..moving import Declared, Dependent, Made, Mover, TablesInUse
from .dependents import dependents
from .made import made
from .unfit import owners, unfit

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

LOCK_SECONDS = 5
"""How long the tables may be in use by others."""

_LOCK_NOT_AVAILABLE = "55P03"
_TIMEOUTS = (
    "statement_timeout",
    "idle_in_transaction_session_timeout",
    "transaction_timeout",
    "idle_session_timeout",
)
# What the driver reads and writes without loss, so quarantined rows have it as JSON has it.
_PLAIN = re.compile(
    r"(small|big)?int(eger)?|boolean|uuid|text(\[\])?|character varying(\(\d+\))?"
    r"|double precision|numeric(\([\d,]+\))?|timestamp(\(\d\))? with(out)? time zone|bytea"
)
# A constant with or without a cast, and the clock.
_HARMLESS = re.compile(
    r"""[+-]?[\d.]+|true|false|now\(\)|CURRENT_TIMESTAMP|CURRENT_DATE
    |('([^']|'')*'|NULL)(::[\w ."\[\]()]+)?|\(?'?[\d.-]+'?\)?(::[\w ]+)?
    |gen_random_uuid\(\)""",
    re.VERBOSE,
)


_PROBE = "00000000-0000-4000-8000-c4a171175917"
"""An id that nobody has, and that is a UUID as well."""


class PostgreSQLMover(Mover):
    """PostgreSQL's part.

    Args:
        lock: The number of the advisory lock around migrations.
    """

    has_uuids = True

    def __init__(self, lock: int) -> None:
        self._lock = lock

    @asynccontextmanager
    async def transaction(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        """With the advisory lock; without limits of time, of which hosts have some."""
        engine = engine.execution_options(isolation_level="READ COMMITTED")
        async with engine.connect() as connection, connection.begin():
            await connection.execute(
                text(
                    "SELECT set_config(name, '0', true) FROM pg_settings WHERE name = ANY(:names)"
                ).bindparams(bindparam("names", list(_TIMEOUTS), ARRAY(Text())))
            )
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({self._lock})"))
            yield connection

    def lock(self, connection: Connection, schema: str | None, tables: Sequence[str]) -> None:
        """``ACCESS EXCLUSIVE``, waiting for some seconds."""
        names = ", ".join(self.qualified(connection, schema, table) for table in tables)
        try:
            with connection.begin_nested():
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
                connection.exec_driver_sql(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE")
                connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
        except DBAPIError as error:
            if getattr(driver_error(error), "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                raise
            raise TablesInUse(_users(connection, schema, tables)) from error

    def columns(self, connection: Connection, schema: str | None, table: str) -> list[Declared]:
        """From the catalog: types with their schemas and lengths."""
        path = connection.scalar(text("SHOW search_path"))
        _set_path(connection, "")
        rows = connection.execute(
            text(
                """
                SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
                  a.attnotnull AS required, a.attidentity <> '' OR a.attgenerated <> '' AS made,
                  pg_get_expr(d.adbin, d.adrelid) AS "default"
                FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
                JOIN pg_namespace n ON n.oid = c.relnamespace
                LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
                WHERE c.relname = :table AND n.nspname = :schema
                  AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
                """
            ),
            {"table": table, "schema": schema or connection.dialect.default_schema_name},
        ).all()
        _set_path(connection, path or "")
        return [
            Declared(row.name, row.type, _kept(row.default, row.made), row.required) for row in rows
        ]

    def indexes(self, connection: Connection, schema: str | None, table: str) -> dict[str, str]:
        """As the server writes them."""
        rows = connection.execute(
            text(
                """
                SELECT i.relname AS name, pg_get_indexdef(x.indexrelid) AS sql
                FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
                JOIN pg_class c ON c.oid = x.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE c.relname = :table AND n.nspname = :schema
                  AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = x.indexrelid
                                  AND k.contype IN ('p', 'u', 'x') AND k.conrelid = c.oid)
                ORDER BY i.relname
                """
            ),
            {"table": table, "schema": schema or connection.dialect.default_schema_name},
        )
        return {row.name: row.sql for row in rows}

    def firing(self, connection: Connection, schema: str | None, table: str) -> Sequence[str]:
        """An update that changes nothing, and a copy of a row under another key."""
        name = self.qualified(connection, schema, table)
        unique = {"feedbacks": "forId", "users": "identifier"}
        values = dict.fromkeys(("id", unique.get(table, "id")), _PROBE)
        changed = f"to_jsonb(one) || '{json.dumps(values)}'"
        query = text(
            "SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute WHERE attnum > 0 "
            "AND attrelid = to_regclass(:name) AND NOT attisdropped AND attgenerated = ''"
        )
        columns = connection.scalar(query, {"name": name})
        copied = f"jsonb_populate_record(NULL::{name}, {changed})"
        return (
            "SET CONSTRAINTS ALL IMMEDIATE",
            f"UPDATE {name} SET id = id WHERE ctid = (SELECT ctid FROM {name} LIMIT 1)",  # noqa: S608
            f"INSERT INTO {name} ({columns}) SELECT {columns} FROM "  # noqa: S608
            f"(SELECT ({copied}).* FROM {name} one LIMIT 1) copied",
        )

    def constraints(self, connection: Connection, schema: str | None, table: str) -> dict[str, str]:
        """As the server writes them, exclusions included."""
        query = text(
            """
            SELECT k.conname, pg_get_constraintdef(k.oid) FROM pg_constraint k
            JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relname = :table AND n.nspname = :schema AND k.contype IN ('u', 'x', 'c')
            ORDER BY k.conname
            """
        )
        schema = schema or connection.dialect.default_schema_name
        rows = connection.execute(query, {"table": table, "schema": schema})
        return {row[0]: row[1] for row in rows}

    def rules(self, connection: Connection, schema: str | None, table: str) -> dict[str, str]:
        """What the server writes after the columns, and whether rows were checked."""
        query = (
            "SELECT a.attname, pg_get_constraintdef(k.oid) FROM pg_constraint k "
            "JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1] "
            "WHERE k.contype = 'f' AND k.conrelid = to_regclass(:name)"
        )
        name = self.qualified(connection, schema, table)
        rows = connection.execute(text(query), {"name": name})
        return {row[0]: row[1].rpartition(")")[2].strip() for row in rows}

    def constrain(self, connection: Connection, table: str, name: str, constraint: str) -> None:
        """As a constraint."""
        quoted = connection.dialect.identifier_preparer.quote(name)
        connection.exec_driver_sql(f"ALTER TABLE {table} ADD CONSTRAINT {quoted} {constraint}")

    def unfit(self, connection: Connection, schema: str | None, table: str) -> str | None:
        """Views, foreign and partitioned tables, and tables that inherit."""
        return unfit(connection, schema or connection.dialect.default_schema_name, table)

    def owners(
        self, connection: Connection, schema: str | None, tables: Sequence[str]
    ) -> Sequence[str]:
        """From the catalog; superusers have the rights of all."""
        return owners(connection, schema or connection.dialect.default_schema_name, tables)

    def free_names(self, connection: Connection, schema: str | None, table: str) -> None:
        """Indexes, also of constraints, get other names."""
        space = schema or connection.dialect.default_schema_name
        quote = connection.dialect.identifier_preparer.quote
        rows = connection.execute(
            text(
                """
                SELECT i.relname FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
                JOIN pg_class c ON c.oid = x.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE c.relname = :table AND n.nspname = :schema
                """
            ),
            {"table": table, "schema": space},
        ).scalars()
        for number, name in enumerate(rows.all()):
            connection.exec_driver_sql(
                f"ALTER INDEX {self.qualified(connection, space, name)} "
                f"RENAME TO {quote(f'{table}_{number}')}"
            )

    def uncover(self, connection: Connection, schema: str | None, tables: Sequence[str]) -> None:
        """Policies hide nothing from the owner; from others the server refuses to read."""
        for table in tables:
            full = self.qualified(connection, schema, table)
            connection.exec_driver_sql(f"ALTER TABLE {full} NO FORCE ROW LEVEL SECURITY")
        connection.exec_driver_sql("SET LOCAL row_security = off")

    def close_cursors(self, connection: Connection) -> None:
        """The driver leaves portals to the end of the transaction; they hold what they read."""
        connection.exec_driver_sql("CLOSE ALL")

    def after_rows(
        self,
        connection: Connection,
        schema: str | None,
        tables: Sequence[str],
        others: Sequence[str],
        like: str,
    ) -> None:
        """Without the default privileges; who may write steps may write our other tables."""
        full = self.qualified(connection, schema, like)
        row = connection.execute(
            text(
                "SELECT pg_get_userbyid(relowner) AS owner, relowner = current_user::regrole "
                "AS mine, relrowsecurity AS secured FROM pg_class WHERE oid = to_regclass(:name)"
            ),
            {"name": full},
        ).one()
        writers = _grantees(connection, full, "INSERT")
        quote = connection.dialect.identifier_preparer.quote
        for table in (*tables, *others):
            name = self.qualified(connection, schema, table)
            for grantee in _grantees(connection, name):
                connection.exec_driver_sql(f"REVOKE ALL ON {name} FROM {grantee}")
            if table in tables:
                connection.exec_driver_sql(f"ANALYZE {name}")
                continue
            for grantee in writers:
                rights = "SELECT, INSERT, UPDATE, DELETE"
                connection.exec_driver_sql(f"GRANT {rights} ON {name} TO {grantee}")
            if row.secured:
                connection.exec_driver_sql(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")
            if not row.mine:
                connection.exec_driver_sql(f"ALTER TABLE {name} OWNER TO {quote(row.owner)}")

    def dependents(
        self, connection: Connection, schema: str | None, tables: Sequence[str]
    ) -> list[Dependent]:
        """See ``postgresql_dependents``; all names in them are with their schemas."""
        path = connection.scalar(text("SHOW search_path"))
        _set_path(connection, "")
        found = dependents(
            connection, schema or str(connection.dialect.default_schema_name), tables
        )
        _set_path(connection, path or "")
        return found

    def made(self, connection: Connection, schema: str | None, table: str) -> list[Made]:
        """See ``postgresql_made``."""
        path = connection.scalar(text("SHOW search_path"))
        _set_path(connection, "")
        found = made(connection, schema or str(connection.dialect.default_schema_name), table)
        _set_path(connection, path or "")
        return found

    def stranger(self, declared: str) -> TypeEngine[Any]:
        """Plain ones as the driver has them; others as text."""
        return NullType() if _PLAIN.fullmatch(declared.lower()) else AsText(declared)

    def named(self, declared: str) -> TypeEngine[Any]:
        """As it is."""
        return _Named(declared)

    def bind(self, type_: str, what: str, value: Any) -> Any:
        """As asyncpg wants it."""
        kind = type_.lower()
        if value is None:
            return None
        if kind == "uuid":
            return uuid.UUID(value)
        if kind.endswith("[]") and isinstance(value, list):
            return [None if one is None else str(one) for one in value]
        if isinstance(value, datetime) and kind.startswith(("timestamp", "date")):
            return value if "with time zone" in kind else value.astimezone(UTC).replace(tzinfo=None)
        if kind == "boolean":
            return value
        if kind.startswith("numeric"):
            return Decimal(str(value))
        if kind.startswith(("double", "real")):
            return float(value)
        textual = kind.startswith(("text", "char", "json"))
        if textual and isinstance(value, bool):
            return "true" if value else "false"
        found = super().bind(type_, what, value)
        return str(found) if textual and not isinstance(found, str) else found


def _kept(default: str | None, made: bool) -> str | None:
    return default if default and not made and _HARMLESS.fullmatch(default) else None


def _set_path(connection: Connection, path: str) -> None:
    connection.execute(text("SELECT set_config('search_path', :path, true)"), {"path": path})


def _grantees(connection: Connection, name: str, right: str | None = None) -> list[str]:
    """Who but the owner may do something with a table, quoted."""
    rows = connection.execute(
        text(
            """
            SELECT DISTINCT CASE g.grantee WHEN 0 THEN 'PUBLIC'
              ELSE quote_ident(pg_get_userbyid(g.grantee)) END AS grantee
            FROM pg_class c, aclexplode(c.relacl) g
            WHERE c.oid = to_regclass(:name) AND g.grantee <> c.relowner
              AND g.privilege_type = coalesce(:one, g.privilege_type) ORDER BY 1
            """
        ),
        {"name": name, "one": right},
    )
    return list(rows.scalars())


def _users(connection: Connection, schema: str | None, tables: Sequence[str]) -> list[str]:
    rows = connection.execute(
        text(
            """
            SELECT DISTINCT a.pid, coalesce(nullif(a.application_name, ''), 'a program') AS name,
              a.usename AS "user", coalesce(host(a.client_addr), 'local') AS address, a.state
            FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
            JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE l.granted AND l.pid <> pg_backend_pid() AND n.nspname = :schema
              AND c.relname = ANY(:tables)
              AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
            """
        ).bindparams(bindparam("tables", list(tables), ARRAY(Text()))),
        {"schema": schema or connection.dialect.default_schema_name},
    )
    return [
        f"{row.name} of {row.user} from {row.address} (process {row.pid}, {row.state})"
        for row in rows
    ]


class AsText(TypeDecorator[str]):
    """A column that goes from table to table as its text, which every type has without loss.

    Args:
        declared: Its type as SQL.
    """

    impl = Text
    cache_ok = True

    def __init__(self, declared: str) -> None:
        super().__init__()
        self.declared = declared

    def bind_expression(self, bindparam: BindParameter[str]) -> ColumnElement[Any]:
        """``CAST(… AS declared)``."""
        return cast(bindparam, _Named(self.declared))

    def column_expression(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """``CAST(column AS TEXT)``."""
        return cast(column, Text())


class _Named(UserDefinedType[Any]):
    """A type by its name in SQL."""

    cache_ok = True

    def __init__(self, declared: str) -> None:
        self.declared = declared

    def get_col_spec(self, **_options: Any) -> str:
        return self.declared
