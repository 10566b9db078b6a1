"""Privileges of other roles on our tables.

Hosts with a public API (Supabase) let default privileges grant every new table to the roles of
that API: https://www.postgresql.org/docs/current/sql-alterdefaultprivileges.html
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Text

from ..in_place import qualified

# Without those who have access anyway: superusers, and members of the role that owns the table.
# Default privileges are those of the owner and of the role that creates the tables. A grant has no
# effect where row level security withholds every row; one to the app's own role is meant.
_GRANTS = text("""
    WITH tables AS (
      SELECT * FROM pg_class WHERE relname = ANY(:names) AND relkind IN ('r', 'p')
        AND relnamespace = to_regnamespace(quote_ident(coalesce(:schema, current_schema())))),
    grants AS (
      SELECT t.oid, a.grantee, a.privilege_type FROM tables t, aclexplode(relacl) a
      UNION
      SELECT t.oid, a.grantee, a.privilege_type
      FROM tables t JOIN pg_attribute c ON c.attrelid = t.oid, aclexplode(attacl) a),
    described AS (
      SELECT t.relname AS table_name, coalesce(rolname, 'PUBLIC') AS role, privilege_type,
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
      WHERE g.grantee = 0 OR r.oid IS NOT NULL AND NOT pg_has_role(r.oid, relowner, 'MEMBER'))
    SELECT table_name, role, string_agg(privilege_type, ', ' ORDER BY privilege_type) AS privileges
    FROM described
    WHERE CASE WHEN :by_default THEN is_default AND is_ours
      ELSE NOT sees_no_row AND (is_ours OR NOT is_granted_to_us) END
    GROUP BY table_name, role ORDER BY role, table_name
""")


class TableGrants:
    """What roles may do with tables, apart from the owner and those named as trusted."""

    def revoke_defaults(
        self,
        connection: Connection,
        schema: str | None,
        tables: Sequence[str],
        trusted: Collection[str],
    ) -> str:
        """Revoke what default privileges gave, and what was passed on.

        Returns:
            A sentence about what was revoked, "" for nothing.
        """
        grants = _grants(connection, schema, tables, trusted, by_default=True)
        for table, role, privileges in grants:
            connection.exec_driver_sql(
                f"REVOKE {privileges} ON TABLE {qualified(connection, schema, table)} "
                f"FROM {_quoted(connection, role)} CASCADE"
            )
        if not grants:
            return ""
        return (
            f"Revoked what default privileges gave {_roles(grants)} on the tables of "
            "chainlit-sqla; to let a role keep it, name it in CHAINLIT_SQLA_TRUSTED_ROLES and "
            "grant it again"
        )

    def describe(
        self,
        connection: Connection,
        schema: str | None,
        tables: Sequence[str],
        trusted: Collection[str],
    ) -> str:
        """Describe who else may use the tables.

        Returns:
            A sentence with the repair, "" for nobody.
        """
        grants = _grants(connection, schema, tables, trusted, by_default=False)
        if not grants:
            return ""
        names = sorted({qualified(connection, schema, table) for table, _, _ in grants})
        roles = sorted({_quoted(connection, role) for _, role, _ in grants})
        return (
            f"{_roles(grants)} may read or change conversations; run as the owner of the tables: "
            f"REVOKE ALL ON TABLE {', '.join(names)} FROM {', '.join(roles)} CASCADE; or name "
            "the roles that are meant to in CHAINLIT_SQLA_TRUSTED_ROLES"
        )


def _grants(
    connection: Connection,
    schema: str | None,
    tables: Sequence[str],
    trusted: Collection[str],
    *,
    by_default: bool,
) -> list[Any]:
    query = _GRANTS.bindparams(bindparam("names", list(tables), ARRAY(Text())))
    rows = connection.execute(query, {"schema": schema, "by_default": by_default})
    return [row for row in rows if row.role not in trusted]


def _roles(grants: Sequence[Any]) -> str:
    return ", ".join(sorted({role for _, role, _ in grants}))


def _quoted(connection: Connection, role: str) -> str:
    return role if role == "PUBLIC" else connection.dialect.identifier_preparer.quote(role)
