"""Replacing tables in place on PostgreSQL, whose DDL is transactional."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import BigInteger, Text

from ...errors import AdoptionRefused
from ..error_kinds import driver_error
from ..in_place import Dependent, TableReplacement, qualified

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

LOCK_SECONDS = 5
"""How long to wait for other connections to release the tables."""

_LOCK_NOT_AVAILABLE = "55P03"
_NO_TIMEOUTS = text(
    "SELECT set_config(name, '0', true) FROM pg_settings WHERE name IN "
    "('statement_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout')"
)
_OIDS = text(
    "SELECT c.oid::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE n.nspname = :schema AND c.relname = ANY(:names)"
)
_USERS = text("""
    SELECT concat(coalesce(nullif(application_name, ''), 'a program'), ' of ', usename, ' from ',
      coalesce(host(client_addr), 'local'), ' (process ', pid, ', ', state, ')')
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND pid IN (
      SELECT pid FROM pg_locks WHERE granted AND relation = ANY(CAST(:names AS regclass[])))
""")
# Views that read the tables, directly or through other views, and what belongs to the tables and
# these views. Other objects that PostgreSQL knows to depend on them (indexes, defaults, statistics)
# stay with the renamed table, and so do foreign keys from it to other tables.
_DEPENDENTS = text(r"""
    WITH RECURSIVE relations (id, depth) AS (
      SELECT unnest(CAST(:tables AS oid[])), 0
      UNION
      SELECT r.ev_class, n.depth + 1
      FROM relations n
      JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = n.id
        AND d.classid = 'pg_rewrite'::regclass
      JOIN pg_rewrite r ON r.oid = d.objid AND r.rulename = '_RETURN' AND r.ev_class <> n.id
      WHERE n.depth < 100),
    objects (class, id, depth) AS (
      SELECT 'pg_class'::regclass::oid, id, max(depth) FROM relations WHERE depth > 0 GROUP BY id
      UNION ALL
      SELECT d.classid, d.objid, max(n.depth)
      FROM relations n
      JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = n.id
      WHERE d.classid <> 'pg_class'::regclass GROUP BY d.classid, d.objid)
    SELECT type || ' ' || identity AS name, definition, CASE type
        WHEN 'table constraint' THEN 'ALTER TABLE ' || owner || ' DROP CONSTRAINT ' || member
        WHEN 'publication relation' THEN 'ALTER PUBLICATION ' || owner || ' DROP TABLE ' || member
        ELSE 'DROP ' || upper(type) || ' ' || identity END AS drop
    FROM (
      SELECT i.type, i.identity, o.depth, k.owner, k.member, CASE i.type
        WHEN 'trigger' THEN
          (SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE oid = o.id AND NOT tgisinternal)
        WHEN 'rule' THEN (SELECT rtrim(pg_get_ruledef(oid), ';') FROM pg_rewrite
                          WHERE oid = o.id AND rulename <> '_RETURN')
        WHEN 'table constraint' THEN 'ALTER TABLE ' || k.owner || ' ADD CONSTRAINT ' || k.member
          || ' ' || pg_get_constraintdef(o.id)
        WHEN 'publication relation' THEN
          'ALTER PUBLICATION ' || k.owner || ' ADD TABLE ' || k.member
        WHEN 'policy' THEN (
          SELECT 'CREATE POLICY ' || i.identity || ' AS ' || permissive || ' FOR ' || cmd || ' TO '
            || (SELECT string_agg(quote_ident(role), ', ') FROM unnest(roles) role)
            || coalesce(' USING (' || qual || ')', '')
            || coalesce(' WITH CHECK (' || with_check || ')', '')
          FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
          JOIN pg_policies ON policyname = p.polname AND tablename = c.relname
            AND schemaname = c.relnamespace::regnamespace::name
          WHERE p.oid = o.id)
        WHEN 'view' THEN 'CREATE VIEW ' || i.identity || options || E' AS\n' || query
        WHEN 'materialized view' THEN 'CREATE MATERIALIZED VIEW ' || i.identity || options
          || E' AS\n' || query || coalesce(E';\n' || (
            SELECT string_agg(pg_get_indexdef(indexrelid), E';\n')
            FROM pg_index WHERE indrelid = o.id), '')
        END AS definition
      FROM objects o
      CROSS JOIN LATERAL pg_identify_object(o.class, o.id, 0) i
      LEFT JOIN LATERAL (
        SELECT coalesce(' WITH (' || array_to_string(reloptions, ', ') || ')', '') AS options,
          rtrim(pg_get_viewdef(oid), ';') AS query
        FROM pg_class WHERE i.type IN ('view', 'materialized view') AND oid = o.id) v ON true
      LEFT JOIN LATERAL (
        SELECT conrelid::regclass::text AS owner, quote_ident(conname) AS member
        FROM pg_constraint WHERE i.type = 'table constraint' AND oid = o.id AND contype = 'f'
          AND conparentid = 0 AND conrelid <> ALL(:tables)
        UNION ALL
        SELECT quote_ident(pubname), prrelid::regclass::text
        FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
        WHERE i.type = 'publication relation' AND r.oid = o.id) k ON true
    ) described
    WHERE definition IS NOT NULL ORDER BY depth, type DESC, identity
""")


class PostgreSQLTableReplacement(TableReplacement):
    """PostgreSQL's part; ``lock`` is the number of the advisory lock around migrations."""

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
            await connection.execute(_NO_TIMEOUTS)
            await connection.execute(text("SET LOCAL row_security = off"))
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({self._lock})"))
            yield connection

    def lock(self, connection: Connection, schema: str | None, tables: Sequence[str]) -> None:
        """``ACCESS EXCLUSIVE``, within a few seconds."""
        names = [qualified(connection, schema, table) for table in tables]
        try:
            with connection.begin_nested():
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
                listed = ", ".join(names)
                connection.exec_driver_sql(f"LOCK TABLE {listed} IN ACCESS EXCLUSIVE MODE")
                connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
        except DBAPIError as error:
            if getattr(driver_error(error), "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                raise
            query = _USERS.bindparams(bindparam("names", names, ARRAY(Text())))
            users = "; ".join(connection.scalars(query)) or "another connection"
            raise AdoptionRefused(
                f"No changes made: the tables are in use by {users}. Stop the application, and "
                "run the command again"
            ) from error

    def dependents(
        self, connection: Connection, schema: str | None, tables: Sequence[str]
    ) -> list[Dependent]:
        """As the server describes them.

        The search path is empty meanwhile, so all names are written in full
        (https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-CATALOG).
        """
        path = connection.scalar(text("SHOW search_path"))
        schema = schema or str(connection.dialect.default_schema_name)
        names = _OIDS.bindparams(bindparam("names", list(tables), ARRAY(Text())))
        oids = list(connection.scalars(names, {"schema": schema}))
        set_path = text("SELECT set_config('search_path', :path, true)")
        connection.execute(set_path, {"path": ""})
        query = _DEPENDENTS.bindparams(bindparam("tables", oids, ARRAY(BigInteger())))
        dependents = [Dependent(*row) for row in connection.execute(query)]
        connection.execute(set_path, {"path": path})
        return dependents

    def inherit_security(
        self, connection: Connection, schema: str | None, tables: Sequence[str], like: str
    ) -> None:
        """Row level security without policies: hosts that open new tables to all show no row."""
        query = text(
            "SELECT relrowsecurity AS secured, quote_ident(pg_get_userbyid(relowner)) AS owner, "
            "relowner = current_user::regrole AS mine FROM pg_class WHERE oid = to_regclass(:table)"
        )
        name = qualified(connection, schema, like)
        legacy = connection.execute(query, {"table": name}).one()
        for table in tables:
            change = f"ALTER TABLE {qualified(connection, schema, table)}"
            if legacy.secured:
                connection.exec_driver_sql(f"{change} ENABLE ROW LEVEL SECURITY")
            if not legacy.mine:
                connection.exec_driver_sql(f"{change} OWNER TO {legacy.owner}")
