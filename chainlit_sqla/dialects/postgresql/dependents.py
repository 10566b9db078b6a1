"""What belongs to tables of PostgreSQL or uses them, as the statements that make it anew.

The search path is empty while this runs, so the server writes all names in full
(https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-CATALOG).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import BigInteger, Text

from ..moving import Dependent
from .tuning import defaults, statistics, storage

_TABLE = "quote_ident(n.nspname) || '.' || quote_ident(c.relname)"
_OF_TABLES = "pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
_KIND = "CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'TABLE' END"
_NOT_OURS = "NOT LIKE 'chainlit\\_sqla\\_%'"
_STATES = {"D": "DISABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}
"""What a trigger or a rule is, where it is not simply enabled."""
_CALL = r'(?:[\w"]+\.)*[\w"]+\(\)'


def dependents(connection: Connection, schema: str, tables: Sequence[str]) -> list[Dependent]:
    """Find them, in the order in which they are to be made anew.

    Args:
        connection: With an empty search path.
        schema: The schema of the tables.
        tables: Their names.
    """
    oids = list(
        connection.execute(
            text(
                f"SELECT c.oid::bigint FROM {_OF_TABLES} "
                "WHERE n.nspname = :schema AND c.relname = ANY(:tables)"
            ).bindparams(bindparam("tables", list(tables), ARRAY(Text()))),
            {"schema": schema},
        ).scalars()
    )
    parts = (
        _comments,
        _triggers,
        _foreign_keys,
        _references,
        _views,
        _rules,
        _policies,
        _others_policies,
        _security,
        storage,
        statistics,
        _publications,
        _grants,
        _owners,
    )
    return [one for part in parts for one in part(connection, oids)]


def _rows(connection: Connection, sql: str, oids: Sequence[int]) -> Sequence[Any]:
    statement = text(sql).bindparams(bindparam("oids", list(oids), ARRAY(BigInteger())))
    return connection.execute(statement).all()


def _comments(connection: Connection, oids: Sequence[int]) -> Iterator[Dependent]:
    sql = f"""
        SELECT {_TABLE} AS "table", quote_ident(a.attname) AS "column",
          quote_literal(d.description) AS comment, {_KIND} AS kind
        FROM pg_description d JOIN {_OF_TABLES} ON c.oid = d.objoid
        LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.objsubid AND a.attnum > 0
        WHERE d.classoid = 'pg_class'::regclass AND c.oid = ANY(:oids)"""
    for row in _rows(connection, sql, oids):
        place = f"COLUMN {row.table}.{row.column}" if row.column else f"{row.kind} {row.table}"
        yield Dependent("comment on", place, (f"COMMENT ON {place} IS {row.comment}",), quiet=True)


def _triggers(connection: Connection, oids: Sequence[int]) -> Iterator[Dependent]:
    sql = f"""
        SELECT quote_ident(t.tgname) AS name, {_TABLE} AS "table", t.tgenabled::text AS enabled,
          pg_get_triggerdef(t.oid) AS sql
        FROM pg_trigger t JOIN {_OF_TABLES} ON c.oid = t.tgrelid
        WHERE NOT t.tgisinternal AND c.oid = ANY(:oids) AND t.tgname {_NOT_OURS}"""
    for row in _rows(connection, sql, oids):
        made = [row.sql]
        if row.enabled in _STATES:
            made.append(f"ALTER TABLE {row.table} {_STATES[row.enabled]} TRIGGER {row.name}")
        yield Dependent("trigger", f"{row.name} on {row.table}", made)


def _foreign_keys(connection: Connection, oids: Sequence[int]) -> Iterator[Dependent]:
    sql = f"""
        SELECT quote_ident(k.conname) AS name, {_TABLE} AS "table",
          pg_get_constraintdef(k.oid) AS sql
        FROM pg_constraint k JOIN {_OF_TABLES} ON c.oid = k.conrelid
        WHERE k.contype = 'f' AND k.confrelid = ANY(:oids) AND NOT k.conrelid = ANY(:oids)
          AND c.relname {_NOT_OURS} AND k.conparentid = 0"""
    for row in _rows(connection, sql, oids):
        make = f"ALTER TABLE {row.table} ADD CONSTRAINT {row.name} {row.sql}"
        drop = f"ALTER TABLE {row.table} DROP CONSTRAINT {row.name}"
        # Checked against the rows only when these are there.
        probe = make if make.endswith("NOT VALID") else f"{make} NOT VALID"
        yield Dependent("foreign key", f"{row.name} of {row.table}", (make,), (drop,), (probe,))


def _references(connection: Connection, oids: Sequence[int]) -> Iterator[Dependent]:
    """To other tables, from columns that we do not know."""
    sql = f"""
        SELECT quote_ident(k.conname) AS name, {_TABLE} AS "table",
          pg_get_constraintdef(k.oid) AS sql
        FROM pg_constraint k JOIN {_OF_TABLES} ON c.oid = k.conrelid
        WHERE k.contype = 'f' AND k.conrelid = ANY(:oids) AND NOT k.confrelid = ANY(:oids)
          AND k.conparentid = 0"""
    for row in _rows(connection, sql, oids):
        make = f"ALTER TABLE {row.table} ADD CONSTRAINT {row.name} {row.sql}"
        drop = f"ALTER TABLE {row.table} DROP CONSTRAINT {row.name}"
        # Of another kind than those of others: it goes with its table.
        yield Dependent("foreign key to others", f"{row.name} of {row.table}", (make,), (drop,))


def _views(connection: Connection, oids: Sequence[int]) -> Iterator[Dependent]:
    sql = f"""
        WITH RECURSIVE uses (view, used) AS (
          SELECT DISTINCT r.ev_class, d.refobjid FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
          WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass
            AND r.ev_class <> d.refobjid),
        found (oid, depth) AS (
          SELECT view, 1 FROM uses WHERE used = ANY(:oids)
          UNION SELECT u.view, f.depth + 1 FROM found f JOIN uses u ON u.used = f.oid
          WHERE f.depth < 100)
        SELECT {_TABLE} AS name, c.oid::bigint AS oid, c.relkind::text AS kind, c.relispopulated AS full,
          rtrim(pg_get_viewdef(c.oid), ';') AS sql, array_to_string(c.reloptions, ', ') AS options
        FROM (SELECT oid, max(depth) AS depth FROM found GROUP BY oid) f
        JOIN {_OF_TABLES} ON c.oid = f.oid WHERE c.relkind IN ('v', 'm')
        ORDER BY f.depth, c.relname"""  # noqa: E501
    for row in _rows(connection, sql, oids):
        options = f" WITH ({row.options})" if row.options else ""
        kind = "VIEW" if row.kind == "v" else "MATERIALIZED VIEW"
        make = f"CREATE {kind} {row.name}{options} AS {row.sql}"
        empty, full = ("", "") if row.kind == "v" else (" WITH NO DATA", " WITH DATA")
        around = [*_indexes_of(connection, row.oid)]
        parts = (_comments, defaults, statistics, _triggers, _rules, _unshared, _grants, _owners)
        for part in parts:
            around += [sql for one in part(connection, [row.oid]) for sql in one.create]
        yield Dependent(
            kind.lower(),
            row.name,
            (make + (full if row.full else empty), *around),
            (f"DROP {kind} {row.name}",),
            (make + empty,),
        )


def _indexes_of(connection: Connection, oid: int) -> Sequence[str]:
    sql = "SELECT pg_get_indexdef(indexrelid) AS sql FROM pg_index WHERE indrelid = ANY(:oids)"
    return [row.sql for row in _rows(connection, sql, [oid])]


def _rules(connection: Connection, oids: Sequence[int]) -> Iterator[Dependent]:
    sql = f"""
        SELECT quote_ident(r.rulename) AS name, {_TABLE} AS "table", pg_get_ruledef(r.oid) AS sql,
          r.ev_enabled::text AS enabled
        FROM pg_rewrite r JOIN {_OF_TABLES} ON c.oid = r.ev_class
        WHERE c.oid = ANY(:oids) AND r.rulename <> '_RETURN'"""
    for row in _rows(connection, sql, oids):
        drop = f"DROP RULE {row.name} ON {row.table}"
        made = [row.sql]
        if row.enabled in _STATES:
            made.append(f"ALTER TABLE {row.table} {_STATES[row.enabled]} RULE {row.name}")
        yield Dependent("rule", f"{row.name} on {row.table}", made, (drop,))


def _policies(connection: Connection, oids: Sequence[int]) -> Iterator[Dependent]:
    return _policies_where(connection, oids, "policy", "c.oid = ANY(:oids)")


def _others_policies(connection: Connection, oids: Sequence[int]) -> Iterator[Dependent]:
    """Policies of other tables that look into these; they keep these from being dropped."""
    uses = """NOT c.oid = ANY(:oids) AND EXISTS (SELECT FROM pg_depend d
          WHERE d.classid = 'pg_policy'::regclass AND d.objid = p.oid
            AND d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY(:oids))"""
    return _policies_where(connection, oids, "policy of others", uses)


def _policies_where(
    connection: Connection, oids: Sequence[int], kind: str, where: str
) -> Iterator[Dependent]:
    sql = f"""
        SELECT quote_ident(p.polname) AS name, {_TABLE} AS "table", p.polpermissive AS permissive,
          CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE'
            WHEN 'd' THEN 'DELETE' ELSE 'ALL' END AS command,
          (SELECT string_agg(CASE one WHEN 0 THEN 'PUBLIC'
             ELSE quote_ident(pg_get_userbyid(one)) END, ', ') FROM unnest(p.polroles) one) AS roles,
          pg_get_expr(p.polqual, p.polrelid) AS reads,
          pg_get_expr(p.polwithcheck, p.polrelid) AS writes
        FROM pg_policy p JOIN {_OF_TABLES} ON c.oid = p.polrelid
        WHERE {where}"""  # noqa: E501
    for row in _rows(connection, sql, oids):
        make = f"CREATE POLICY {row.name} ON {row.table}"
        if not row.permissive:
            make += " AS RESTRICTIVE"
        make += f" FOR {row.command} TO {row.roles}"
        for word, expression in (("USING", row.reads), ("WITH CHECK", row.writes)):
            if expression is not None:
                make += f" {word} ({expression})"
        drop = f"DROP POLICY {row.name} ON {row.table}"
        yield Dependent(
            kind,
            f"{row.name} on {row.table}",
            (make,),
            (drop,),
            suggested=(as_text(make),) if as_text(make) != make else (),
        )


def as_text(sql: str) -> str:
    """Compare what functions return as text with the ids, which are text now.

    Args:
        sql: A statement as the server writes it.

    Example:
        >>> as_text('USING ((auth.uid() = "userId"))')
        'USING (((auth.uid())::text = "userId"))'
    """
    sql = re.sub(rf"\( SELECT ({_CALL}) AS (\w+)\)", r"( SELECT (\1)::text AS \2)", sql)
    sql = re.sub(rf"({_CALL}) = ", r"(\1)::text = ", sql)
    return re.sub(rf" = ({_CALL})", r" = (\1)::text", sql)


def _security(connection: Connection, oids: Sequence[int]) -> Iterator[Dependent]:
    sql = f"""
        SELECT {_TABLE} AS "table", c.relrowsecurity AS on, c.relforcerowsecurity AS forced,
          c.relreplident::text AS identity
        FROM {_OF_TABLES} WHERE c.oid = ANY(:oids)"""
    for row in _rows(connection, sql, oids):
        change = f"ALTER TABLE {row.table}"
        make = [f"{change} ENABLE ROW LEVEL SECURITY"] if row.on else []
        make += [f"{change} FORCE ROW LEVEL SECURITY"] if row.forced else []
        if make:
            yield Dependent("row level security of", row.table, make)
        if word := {"f": "FULL", "n": "NOTHING"}.get(row.identity):
            identity = (f"{change} REPLICA IDENTITY {word}",)
            yield Dependent("replica identity of", row.table, identity, quiet=True)


def _publications(connection: Connection, oids: Sequence[int]) -> Iterator[Dependent]:
    more = (connection.dialect.server_version_info or ()) >= (15,)
    columns = "(SELECT string_agg(quote_ident(a.attname), ', ') FROM unnest(r.prattrs) one "
    columns += "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = one)"
    filter_ = "pg_get_expr(r.prqual, r.prrelid)"
    sql = f"""
        SELECT quote_ident(p.pubname) AS name, {_TABLE} AS "table",
          {columns if more else "NULL"} AS columns, {filter_ if more else "NULL"} AS filter
        FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
        JOIN {_OF_TABLES} ON c.oid = r.prrelid WHERE c.oid = ANY(:oids)"""
    for row in _rows(connection, sql, oids):
        make = f"ALTER PUBLICATION {row.name} ADD TABLE {row.table}"
        make += f" ({row.columns})" if row.columns else ""
        make += f" WHERE ({row.filter})" if row.filter else ""
        drop = f"ALTER PUBLICATION {row.name} DROP TABLE {row.table}"
        yield Dependent("publication", f"{row.name} of {row.table}", (make,), (drop,))


def _unshared(connection: Connection, oids: Sequence[int]) -> Iterator[Dependent]:
    """What is made anew is not given to those who get new tables by default."""
    sql = f"""
        SELECT DISTINCT {_TABLE} AS "table", CASE g.grantee WHEN 0 THEN 'PUBLIC'
          ELSE quote_ident(pg_get_userbyid(g.grantee)) END AS grantee
        FROM {_OF_TABLES}, pg_default_acl d, aclexplode(d.defaclacl) g
        WHERE c.oid = ANY(:oids) AND d.defaclobjtype = 'r'
          AND g.grantee <> current_user::regrole ORDER BY 2"""
    for row in _rows(connection, sql, oids):
        revoke = f"REVOKE ALL ON {row.table} FROM {row.grantee}"
        yield Dependent("permission of", f"{row.grantee} on {row.table}", (revoke,), quiet=True)


def _grants(connection: Connection, oids: Sequence[int]) -> Iterator[Dependent]:
    sql = f"""
        SELECT "table", "column", grantee, string_agg(right_, ', ' ORDER BY right_) AS rights, again
        FROM (
          SELECT {_TABLE} AS "table", NULL AS "column", g.grantee AS who,
            CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END
              AS grantee, g.privilege_type AS right_, g.is_grantable AS again
          FROM {_OF_TABLES}, aclexplode(c.relacl) g
          WHERE c.oid = ANY(:oids) AND g.grantee <> c.relowner
          UNION ALL
          SELECT {_TABLE}, quote_ident(a.attname), g.grantee,
            CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END,
            g.privilege_type, g.is_grantable
          FROM {_OF_TABLES} JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0,
            aclexplode(a.attacl) g WHERE c.oid = ANY(:oids) AND NOT a.attisdropped
        ) found GROUP BY 1, 2, 3, 5 ORDER BY 1, 3, 2"""
    for row in _rows(connection, sql, oids):
        rights = row.rights
        if row.column:
            rights = ", ".join(f"{one} ({row.column})" for one in rights.split(", "))
        make = f"GRANT {rights} ON {row.table} TO {row.grantee}"
        make += " WITH GRANT OPTION" if row.again else ""
        yield Dependent("permission of", f"{row.grantee} on {row.table}", (make,), quiet=True)


def _owners(connection: Connection, oids: Sequence[int]) -> Iterator[Dependent]:
    """Last: what belongs to somebody else may be out of reach then."""
    sql = f"""
        SELECT {_TABLE} AS "table", quote_ident(pg_get_userbyid(c.relowner)) AS owner,
          {_KIND} AS kind
        FROM {_OF_TABLES}
        WHERE c.oid = ANY(:oids) AND c.relowner <> current_user::regrole"""
    for row in _rows(connection, sql, oids):
        make = f"ALTER {row.kind} {row.table} OWNER TO {row.owner}"
        yield Dependent("owner of", row.table, (make,), quiet=True)
