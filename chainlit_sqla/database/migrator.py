"""Creates, upgrades and checks the schema: the only module that imports Alembic.

Every migration holds the dialect's lock and runs in one transaction. So replicas that start
concurrently do the work once, and a failure leaves the schema unchanged.
"""

from __future__ import annotations

import asyncio
import io
import logging
import threading
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection

from ..errors import ChainlitSqlaError, ConfigurationError, SchemaOutdated, SchemaUnknown
from .engine import Database
from .revision import REVISIONS, current_revision, describe_foreign_tables, revision_mismatch

if TYPE_CHECKING:
    from alembic.config import Config

log = logging.getLogger(__name__)

_ALEMBIC = threading.Lock()
"""Alembic's ``op`` and ``context`` are global: concurrent migrations, also of different event
loops, would run on each other's connections."""

_LOCK_PAUSE = 0.01


def script_folder() -> Path:
    """Return the folder of the migrations: in the wheel, or beside the package in a checkout.

    Raises:
        ConfigurationError: Neither folder exists.
    """
    package = Path(__file__).parents[1]
    for folder in (package / "_alembic", package.parent / "alembic"):
        if (folder / "env.py").is_file():
            return folder
    raise ConfigurationError(
        "The migrations are missing from this installation; run: pip install --force-reinstall "
        "chainlit-sqla"
    )


async def ensure(database: Database) -> None:
    """Check that the schema matches this release, and upgrade it where that is allowed.

    Args:
        database: The database to check.

    Raises:
        SchemaOutdated: The schema is older, and upgrades are not automatic.
        SchemaUnknown: The schema is newer, or another program created the tables.
        DatabaseUnavailable: The database cannot be reached.
    """
    revision = await current(database)
    mismatch = revision_mismatch(database.label, revision)
    if mismatch is None:
        return
    if isinstance(mismatch, SchemaUnknown):
        raise mismatch
    if revision is None:
        await _refuse_foreign_tables(database)
    if database.auto_upgrade:
        await upgrade(database)
        return
    raise SchemaOutdated(f"{mismatch} (or set CHAINLIT_SQLA_AUTO_UPGRADE=true)")


async def current(database: Database) -> str | None:
    """Return the revision of a database, None where it has none.

    Args:
        database: The database to query.

    Raises:
        DatabaseUnavailable: The database cannot be reached.
    """
    return await database.read(lambda c: current_revision(c, database.schema))


async def upgrade(database: Database, revision: str = "head") -> None:
    """Upgrade the schema to a revision; nothing happens if it is at that revision already.

    Args:
        database: The database to change.
        revision: A revision, or ``head``.

    Raises:
        SchemaUnknown: Another program created the tables, or the schema is newer.
        DatabaseUnavailable: The database cannot be reached, or a permission is missing.
        ConfigurationError: There is no such revision.
    """
    await _refuse_foreign_tables(database)
    previous = await current(database)
    _refuse_unknown_revision(database, previous)
    await _run(database, lambda command, config: command.upgrade(config, revision))
    log.info(
        "Upgraded %s from revision %s to %s", database.label, previous or "(no tables)", revision
    )


async def downgrade(database: Database, revision: str) -> None:
    """Downgrade the schema to a revision; data that it has no columns for is lost.

    Args:
        database: The database to change.
        revision: A revision, ``-1`` or ``base`` (drops all tables).

    Raises:
        DatabaseUnavailable: The database cannot be reached, or a permission is missing.
        ConfigurationError: There is no such revision.
    """
    _refuse_unknown_revision(database, await current(database))
    await _run(database, lambda command, config: command.downgrade(config, revision))


async def migrate_inside(database: Database, connection: AsyncConnection, revision: str) -> None:
    """Migrate within the caller's transaction, which holds the dialect's lock.

    Args:
        database: The database to change.
        connection: A connection to it, in that transaction.
        revision: ``head`` creates the tables, ``base`` drops them.
    """
    name = "downgrade" if revision == "base" else "upgrade"
    await _run(
        database, lambda command, config: getattr(command, name)(config, revision), connection
    )


async def check(database: Database) -> None:
    """Compare the tables with the models.

    Args:
        database: The database to check.

    Raises:
        SchemaOutdated: The tables differ from the models.
    """
    from alembic.util.exc import AutogenerateDiffsDetected

    try:
        await _run(database, lambda command, config: command.check(config))
    except AutogenerateDiffsDetected as error:
        raise SchemaOutdated(f"{error}; add a migration") from error


async def _run(
    database: Database,
    action: Callable[[Any, Config], None],
    inside: AsyncConnection | None = None,
) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import AutogenerateDiffsDetected, CommandError

    def run(connection: Connection) -> None:
        config = Config(stdout=io.StringIO())
        config.set_main_option("script_location", str(script_folder()).replace("%", "%%"))
        config.set_main_option("path_separator", "os")
        config.attributes |= {"connection": connection, "database": database}
        config.attributes["inside"] = inside is not None
        action(command, config)

    while not _ALEMBIC.acquire(blocking=False):  # noqa: ASYNC110 - shared by event loops
        await asyncio.sleep(_LOCK_PAUSE)
    alembic_log = logging.getLogger("alembic")
    level = alembic_log.level
    try:
        alembic_log.setLevel(logging.WARNING)  # An application's log needs no single steps.
        async with nullcontext(inside) if inside else database.engine.connect() as connection:
            await connection.run_sync(run)
    except AutogenerateDiffsDetected:
        raise
    except CommandError as error:
        raise ConfigurationError(
            f"Alembic: {error}; known revisions are {', '.join(REVISIONS)}"
        ) from error
    except ChainlitSqlaError:
        raise
    except database.dialect.errors as error:
        raise database.translate(error) from error
    finally:
        alembic_log.setLevel(level)
        _ALEMBIC.release()


async def foreign_tables_message(database: Database) -> str:
    """Describe tables that another program created, "" if there are none.

    Args:
        database: The database to query.
    """
    # In this order: a process that upgrades concurrently can only add a revision.
    message = await database.read(lambda c: describe_foreign_tables(c, database.schema))
    return message if message and await current(database) is None else ""


async def _refuse_foreign_tables(database: Database) -> None:
    if message := await foreign_tables_message(database):
        raise SchemaUnknown(f"{database.label} {message}")


def _refuse_unknown_revision(database: Database, revision: str | None) -> None:
    mismatch = revision_mismatch(database.label, revision)
    if isinstance(mismatch, SchemaUnknown):
        raise mismatch
