"""Columns of PostgreSQL whose values the database makes: what makes them so on a new table.

The search path is empty while this runs, so the server writes all names in full.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

from ..moving import Made

_COLUMNS = """
    SELECT a.attname AS name, quote_ident(a.attname) AS "column",
      quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS "table",
      format_type(a.atttypid, a.atttypmod) AS type, a.attidentity::text AS identity,
      a.attgenerated::text AS generated, pg_get_expr(d.adbin, d.adrelid) AS expression,
      (SELECT s.oid::regclass::text FROM pg_depend p JOIN pg_class s ON s.oid = p.objid
       WHERE p.classid = 'pg_class'::regclass AND p.refclassid = 'pg_class'::regclass
         AND p.refobjid = c.oid AND p.refobjsubid = a.attnum AND s.relkind = 'S'
         AND p.deptype IN ('a', 'i') LIMIT 1) AS sequence
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE c.relname = :table AND n.nspname = :schema AND a.attnum > 0 AND NOT a.attisdropped
      AND (a.attidentity <> '' OR d.adbin IS NOT NULL) ORDER BY a.attnum
"""


def made(connection: Connection, schema: str, table: str) -> list[Made]:
    """Find them.

    Args:
        connection: With an empty search path.
        schema: The schema of the table.
        table: Its name.
    """
    found = []
    for row in connection.execute(text(_COLUMNS), {"schema": schema, "table": table}):
        change = f"ALTER TABLE {row.table}"
        column = f"{change} ALTER COLUMN {row.column}"
        if row.identity:
            when = "ALWAYS" if row.identity == "a" else "BY DEFAULT"
            options = f"SEQUENCE NAME {row.sequence} {_options(connection, row.sequence)}"
            create = [
                f"{column} SET NOT NULL",
                f"{column} ADD GENERATED {when} AS IDENTITY ({options})",
                _position(connection, row.table, row.name, row.sequence),
                *_permissions(connection, row.sequence),
            ]
            found.append(Made(row.name, "identity", create))
        elif row.generated:
            kind = "STORED" if row.generated == "s" else "VIRTUAL"
            create = [
                f"{change} DROP COLUMN {row.column}",
                f"{change} ADD COLUMN {row.column} {row.type} "
                f"GENERATED ALWAYS AS ({row.expression}) {kind}",
            ]
            found.append(Made(row.name, "generated column", create, anew=True))
        else:
            create = [f"{column} SET DEFAULT {row.expression}"]
            before = []
            if row.sequence:
                before = [f"ALTER SEQUENCE {row.sequence} OWNED BY NONE"]
                create.append(f"ALTER SEQUENCE {row.sequence} OWNED BY {row.table}.{row.column}")
            found.append(Made(row.name, "default", create, before))
    return [*found, *_identities(connection, schema, table)]


def _identities(connection: Connection, schema: str, table: str) -> list[Made]:
    """The index by which replicas know rows; that of the primary key serves by itself."""
    query = text(
        """
        SELECT i.relname AS name, format('ALTER TABLE %I.%I REPLICA IDENTITY USING INDEX %I',
          n.nspname, c.relname, i.relname) AS sql
        FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
        JOIN pg_class c ON c.oid = x.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relname = :table AND n.nspname = :schema AND x.indisreplident
          AND NOT x.indisprimary AND c.relreplident = 'i'
        """
    )
    rows = connection.execute(query, {"schema": schema, "table": table})
    # Only the way back makes indexes again, and this after them.
    return [Made(row.name, "replica identity by index", [row.sql]) for row in rows]


def _options(connection: Connection, sequence: str) -> str:
    """How a sequence counts."""
    query = text(
        """
        SELECT format('INCREMENT BY %s MINVALUE %s MAXVALUE %s START WITH %s CACHE %s %s CYCLE',
          seqincrement, seqmin, seqmax, seqstart, seqcache,
          CASE WHEN seqcycle THEN '' ELSE 'NO' END)
        FROM pg_sequence WHERE seqrelid = CAST(CAST(:name AS text) AS regclass)
        """
    )
    return str(connection.scalar(query, {"name": sequence}))


def _position(connection: Connection, table: str, column: str, sequence: str) -> str:
    """What lets a sequence go on where another one stood."""
    say = "format('SELECT setval(pg_get_serial_sequence(%L, %L), %s, %L)'"
    names = "CAST(:table AS text), CAST(:column AS text)"
    query = text(f"SELECT {say}, {names}, last_value, is_called) FROM {sequence}")  # noqa: S608 - as the server wrote it
    return str(connection.scalar(query, {"table": table, "column": column}))


def _permissions(connection: Connection, sequence: str) -> list[str]:
    """Who may use a sequence: those who might use the old one, and nobody by default."""
    query = text(
        """
        SELECT format('REVOKE ALL ON SEQUENCE %s FROM %s', CAST(:name AS text), who) FROM (
          SELECT DISTINCT CASE g.grantee WHEN 0 THEN 'PUBLIC'
            ELSE quote_ident(pg_get_userbyid(g.grantee)) END AS who
          FROM pg_default_acl d, aclexplode(d.defaclacl) g
          WHERE d.defaclobjtype = 'S' AND g.grantee <> current_user::regrole) others
        UNION ALL
        SELECT format('GRANT %s ON SEQUENCE %s TO %s%s', string_agg(g.privilege_type, ', '),
          CAST(:name AS text), CASE g.grantee WHEN 0 THEN 'PUBLIC'
            ELSE quote_ident(pg_get_userbyid(g.grantee)) END,
          CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
        FROM pg_class c, aclexplode(c.relacl) g
        WHERE c.oid = CAST(CAST(:name AS text) AS regclass) AND g.grantee <> c.relowner
        GROUP BY g.grantee, g.is_grantable
        """
    )
    return list(connection.scalars(query, {"name": sequence}))
