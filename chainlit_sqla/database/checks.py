"""What a server must be and must not allow: for ``upgrade``, ``run``, ``doctor`` and the layer."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection

from ..dialects import BACKUP_SUFFIX
from ..models import Base
from .engine import Database
from .revision import CHAINLIT_TABLES, VERSION_TABLE, current_revision

log = logging.getLogger(__name__)

_TABLES = [
    *Base.metadata.tables,
    VERSION_TABLE,
    *(f"{name}{BACKUP_SUFFIX}" for name in CHAINLIT_TABLES),
]
"""All tables with conversations, and that of the revision."""


async def check_server(connection: AsyncConnection, database: Database) -> str | None:
    """Raise `ServerUnsuitable` where the server, or our tables on it, would lose rows.

    Returns:
        The revision of the tables, None where there are none.
    """
    revision = await current_revision(connection, database.schema)
    tables = list(Base.metadata.tables) if revision else []
    await connection.run_sync(database.dialect.check_server, tables)
    return revision


def revoke_default_grants(connection: Connection, database: Database) -> str:
    """Revoke what the server's default privileges gave to others; return a sentence, or ""."""
    grants = _unwanted_grants(connection, database, by_default=True)
    for _, statement in grants:
        connection.exec_driver_sql(statement)
    if not grants:
        return ""
    revoked = (
        f"Revoked what default privileges gave {_roles(grants)} on the tables of chainlit-sqla; "
        "to let a role keep it, name it in CHAINLIT_SQLA_TRUSTED_ROLES and grant it again"
    )
    log.warning("%s", revoked)
    return revoked


async def describe_grants(database: Database) -> str | None:
    """Describe who else may use the tables, "" for nobody; None where nobody needs to ask."""
    if database.dialect.unwanted_grants is None:
        return None
    grants = await database.read(lambda c: c.run_sync(_unwanted_grants, database))
    if not grants:
        return ""
    return (
        f"{_roles(grants)} may read or change conversations; run as the owner of the tables: "
        f"{'; '.join(statement for _, statement in grants)}; or name the roles that are meant to "
        "in CHAINLIT_SQLA_TRUSTED_ROLES"
    )


def _unwanted_grants(
    connection: Connection, database: Database, *, by_default: bool = False
) -> list[tuple[str, str]]:
    if (read := database.dialect.unwanted_grants) is None:
        return []
    trusted = {name.strip() for name in database.settings.trusted_roles.split(",")}
    grants = read(connection, database.schema, _TABLES, by_default=by_default)
    return [(role, statement) for role, statement in grants if role not in trusted]


def _roles(grants: Sequence[tuple[str, str]]) -> str:
    return ", ".join(sorted({role for role, _ in grants}))
