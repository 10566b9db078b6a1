"""The objects that depend on tables of PostgreSQL, as the statements that create them.

The search path is empty while the catalog is read, so the server writes all names in full
(https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-CATALOG).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import BigInteger, Text

from ..in_place import Dependent

_TABLE = "quote_ident(n.nspname) || '.' || quote_ident(c.relname)"
_TABLES = "pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
_NOT_OURS = "NOT LIKE 'chainlit\\_sqla\\_%'"

# Each query gives the name, the statement that creates the object, and the one that drops it
# ('': it stays with the renamed table).
_POLICIES = f"""
    SELECT name || ' on ' || "table", 'CREATE POLICY ' || name || ' ON ' || "table"
      || CASE WHEN permissive THEN '' ELSE ' AS RESTRICTIVE' END
      || ' FOR ' || command || ' TO ' || roles || coalesce(' USING (' || reads || ')', '')
      || coalesce(' WITH CHECK (' || writes || ')', ''),
      'DROP POLICY ' || name || ' ON ' || "table"
    FROM (
      SELECT quote_ident(p.polname) AS name, {_TABLE} AS "table", p.polpermissive AS permissive,
        CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE'
          WHEN 'd' THEN 'DELETE' ELSE 'ALL' END AS command,
        (SELECT string_agg(CASE role WHEN 0 THEN 'PUBLIC'
           ELSE quote_ident(pg_get_userbyid(role)) END, ', ')
         FROM unnest(p.polroles) role) AS roles,
        pg_get_expr(p.polqual, p.polrelid) AS reads,
        pg_get_expr(p.polwithcheck, p.polrelid) AS writes
      FROM pg_policy p JOIN {_TABLES} ON c.oid = p.polrelid
      WHERE c.oid = ANY(:tables) OR EXISTS (
        SELECT FROM pg_depend d WHERE d.classid = 'pg_policy'::regclass AND d.objid = p.oid
          AND d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY(:tables))
    ) policy ORDER BY 1"""
_TRIGGERS = f"""
    SELECT quote_ident(t.tgname) || ' on ' || {_TABLE}, pg_get_triggerdef(t.oid),
      'DROP TRIGGER ' || quote_ident(t.tgname) || ' ON ' || {_TABLE}
    FROM pg_trigger t JOIN {_TABLES} ON c.oid = t.tgrelid
    WHERE NOT t.tgisinternal AND c.oid = ANY(:tables) AND t.tgname {_NOT_OURS} ORDER BY 1"""
_FOREIGN_KEYS = f"""
    SELECT quote_ident(k.conname) || ' of ' || {_TABLE}, 'ALTER TABLE ' || {_TABLE}
      || ' ADD CONSTRAINT ' || quote_ident(k.conname) || ' ' || pg_get_constraintdef(k.oid),
      CASE WHEN k.conrelid = ANY(:tables) THEN ''
        ELSE 'ALTER TABLE ' || {_TABLE} || ' DROP CONSTRAINT ' || quote_ident(k.conname) END
    FROM pg_constraint k JOIN {_TABLES} ON c.oid = k.conrelid
    WHERE k.contype = 'f' AND k.conparentid = 0 AND c.relname {_NOT_OURS}
      AND (k.confrelid = ANY(:tables)) <> (k.conrelid = ANY(:tables)) ORDER BY 1"""
_VIEWS = f"""
    WITH RECURSIVE uses (view, used) AS (
      SELECT DISTINCT r.ev_class, d.refobjid FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
      WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass
        AND r.ev_class <> d.refobjid),
    found (oid, depth) AS (
      SELECT view, 1 FROM uses WHERE used = ANY(:tables)
      UNION SELECT u.view, f.depth + 1 FROM found f JOIN uses u ON u.used = f.oid
      WHERE f.depth < 100)
    SELECT {_TABLE}, 'CREATE ' || kind || ' ' || {_TABLE}
      || coalesce(' WITH (' || array_to_string(c.reloptions, ', ') || ')', '')
      || E' AS\\n' || rtrim(pg_get_viewdef(c.oid), ';')
      || coalesce(E';\\n' || (SELECT string_agg(pg_get_indexdef(indexrelid), E';\\n')
                             FROM pg_index WHERE indrelid = c.oid), '')
      || coalesce(E';\\n' || (SELECT string_agg(pg_get_triggerdef(t.oid), E';\\n')
                             FROM pg_trigger t WHERE tgrelid = c.oid AND NOT tgisinternal), ''),
      'DROP ' || kind || ' ' || {_TABLE}
    FROM (SELECT oid, max(depth) AS depth FROM found GROUP BY oid) f
    JOIN {_TABLES} ON c.oid = f.oid
    CROSS JOIN LATERAL (SELECT CASE c.relkind WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'VIEW' END
                        AS kind) k
    WHERE c.relkind IN ('v', 'm') ORDER BY f.depth, c.relname"""
_RULES = f"""
    SELECT quote_ident(r.rulename) || ' on ' || {_TABLE}, rtrim(pg_get_ruledef(r.oid), ';'),
      'DROP RULE ' || quote_ident(r.rulename) || ' ON ' || {_TABLE}
    FROM pg_rewrite r JOIN {_TABLES} ON c.oid = r.ev_class
    WHERE r.rulename <> '_RETURN' AND (c.oid = ANY(:tables) OR c.relkind IN ('r', 'p') AND EXISTS (
      SELECT FROM pg_depend d WHERE d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
        AND d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY(:tables))) ORDER BY 1"""
_PUBLICATIONS = f"""
    SELECT quote_ident(p.pubname) || ' of ' || {_TABLE},
      'ALTER PUBLICATION ' || quote_ident(p.pubname) || ' ADD TABLE ' || {_TABLE},
      'ALTER PUBLICATION ' || quote_ident(p.pubname) || ' DROP TABLE ' || {_TABLE}
    FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
    JOIN {_TABLES} ON c.oid = r.prrelid WHERE c.oid = ANY(:tables) ORDER BY 1"""
_QUERIES = {
    "foreign key": _FOREIGN_KEYS,
    "view": _VIEWS,
    "rule": _RULES,
    "trigger": _TRIGGERS,
    "policy": _POLICIES,
    "publication": _PUBLICATIONS,
}
_GRANTS = f"""
    SELECT 'GRANT ' || string_agg(privilege, ', ' ORDER BY privilege) || ' ON ' || "table"
      || ' TO ' || grantee
    FROM (
      SELECT {_TABLE} AS "table", g.privilege_type AS privilege, CASE g.grantee WHEN 0 THEN 'PUBLIC'
        ELSE quote_ident(pg_get_userbyid(g.grantee)) END AS grantee
      FROM {_TABLES}, aclexplode(c.relacl) g
      WHERE c.oid = ANY(:tables) AND g.grantee <> c.relowner
    ) grants GROUP BY "table", grantee ORDER BY grantee, "table\""""


def find_dependents(connection: Connection, schema: str, tables: Sequence[str]) -> list[Dependent]:
    """Find what depends on tables, in the order in which it can be created again.

    Args:
        connection: In a transaction.
        schema: The schema of the tables.
        tables: Their names.
    """
    with _full_names(connection):
        return [
            Dependent(kind, name, create.split(";\n"), drop)
            for kind, query in _QUERIES.items()
            for name, create, drop in _rows(connection, query, schema, tables)
        ]


def find_grants(connection: Connection, schema: str, tables: Sequence[str]) -> list[str]:
    """The ``GRANT`` statements of what roles other than the owner may do with tables.

    Args:
        connection: In a transaction.
        schema: The schema of the tables.
        tables: Their names.
    """
    with _full_names(connection):
        return [grant for (grant,) in _rows(connection, _GRANTS, schema, tables)]


@contextmanager
def _full_names(connection: Connection) -> Iterator[None]:
    path = connection.scalar(text("SHOW search_path"))
    set_path = text("SELECT set_config('search_path', :path, true)")
    connection.execute(set_path, {"path": ""})
    yield
    connection.execute(set_path, {"path": path})


def _rows(connection: Connection, query: str, schema: str, tables: Sequence[str]) -> Sequence[Any]:
    oids = text(
        f"SELECT c.oid::bigint FROM {_TABLES} WHERE n.nspname = :schema AND c.relname = ANY(:names)"
    ).bindparams(bindparam("names", list(tables), ARRAY(Text())))
    found = list(connection.scalars(oids, {"schema": schema}))
    statement = text(query).bindparams(bindparam("tables", found, ARRAY(BigInteger())))
    return connection.execute(statement).all()
