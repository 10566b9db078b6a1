"""Privileges of other roles on our tables.

Hosts with a public API (Supabase) let default privileges grant every new table to the roles of
that API: https://www.postgresql.org/docs/current/sql-alterdefaultprivileges.html
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Text

# Without those who have access anyway: superusers, and members of the role that owns the table.
# Default privileges are those of the owner and of the role that creates the tables. A grant has no
# effect where row level security withholds every row; one to the app's own role is meant.
_GRANTS = text("""
    WITH tables AS (
      SELECT *, format('%s.%I', relnamespace::regnamespace, relname) AS full_name
      FROM pg_class WHERE relname = ANY(:names) AND relkind IN ('r', 'p')
        AND relnamespace = to_regnamespace(quote_ident(coalesce(:schema, current_schema())))),
    grants AS (
      SELECT t.oid, a.grantee, a.privilege_type FROM tables t, aclexplode(relacl) a
      UNION
      SELECT t.oid, a.grantee, a.privilege_type
      FROM tables t JOIN pg_attribute c ON c.attrelid = t.oid, aclexplode(attacl) a),
    described AS (
      SELECT full_name, coalesce(rolname, 'PUBLIC') AS role, privilege_type,
        CASE WHEN r.oid IS NULL THEN 'PUBLIC' ELSE quote_ident(rolname) END AS quoted_role,
        pg_has_role(current_user, relowner, 'USAGE') AS is_ours,
        r.oid IS NOT NULL AND pg_has_role(current_user, r.oid, 'USAGE') AS is_granted_to_us,
        relrowsecurity AND rolbypassrls IS NOT TRUE
          AND privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
          AND NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = t.oid) AS sees_no_row,
        EXISTS (
          SELECT FROM pg_default_acl d, aclexplode(defaclacl) a
          WHERE defaclobjtype = 'r' AND defaclnamespace IN (0, relnamespace)
            AND defaclrole IN (relowner, current_user::regrole)
            AND (a.grantee, a.privilege_type) = (g.grantee, g.privilege_type)) AS is_default
      FROM tables t JOIN grants g USING (oid) LEFT JOIN pg_roles r ON r.oid = g.grantee
      WHERE g.grantee = 0 OR r.oid IS NOT NULL AND NOT pg_has_role(r.oid, relowner, 'MEMBER')),
    by_table AS (
      SELECT role, quoted_role, full_name,
        string_agg(privilege_type, ', ' ORDER BY privilege_type) AS privileges
      FROM described
      WHERE CASE WHEN :by_default THEN is_default AND is_ours
        ELSE NOT sees_no_row AND (is_ours OR NOT is_granted_to_us) END
      GROUP BY role, quoted_role, full_name)
    SELECT role, format('REVOKE %s ON TABLE %s FROM %s CASCADE', privileges,
      string_agg(full_name, ', ' ORDER BY full_name), quoted_role)
    FROM by_table GROUP BY role, quoted_role, privileges ORDER BY role, privileges
""")


def unwanted_grants(
    connection: Connection, schema: str | None, tables: Sequence[str], *, by_default: bool
) -> list[tuple[str, str]]:
    """Return who may use tables apart from their owner: a role, and what takes its grants back.

    With ``by_default``, only what default privileges gave, and what this account can revoke.
    """
    query = _GRANTS.bindparams(bindparam("names", list(tables), ARRAY(Text())))
    rows = connection.execute(query, {"schema": schema, "by_default": by_default})
    return [(role, statement) for role, statement in rows]
