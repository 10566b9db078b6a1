"""What a server must be and must not allow: for ``upgrade``, ``run``, ``doctor`` and the layer."""

from __future__ import annotations

import logging

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
    if (grants := database.dialect.grants) is None:
        return ""
    trusted = database.settings.trusted_role_names
    if revoked := grants.revoke_defaults(connection, database.schema, _TABLES, trusted):
        log.warning("%s", revoked)
    return revoked


async def describe_grants(database: Database) -> str | None:
    """Describe who else may use the tables, "" for nobody; None where nobody needs to ask."""
    if (grants := database.dialect.grants) is None:
        return None
    trusted = database.settings.trusted_role_names
    return await database.read(
        lambda connection: connection.run_sync(grants.describe, database.schema, _TABLES, trusted)
    )
