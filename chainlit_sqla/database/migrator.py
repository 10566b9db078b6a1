"""Making, upgrading and checking the schema: the only module that imports Alembic.

Every migration runs inside the dialect's lock and in one transaction, so that replicas
that start at once do the work once, and a failure leaves the schema as it was.
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
from .database import Database
from .revision import HEAD, REVISIONS, current_revision, occupied

if TYPE_CHECKING:
    from alembic.config import Config

log = logging.getLogger(__name__)

_ALEMBIC = threading.Lock()
"""Alembic's ``op`` and ``context`` are one per process: two migrations at a time would run
on each other's connections, also from different event loops."""

_LOCK_PAUSE = 0.01


def script_folder() -> Path:
    """The folder of the migrations: inside the wheel, or beside the package in a checkout.

    Raises:
        ConfigurationError: Neither is there.
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
    """See to it that the schema fits this release, upgrading it where that is allowed.

    Args:
        database: The database to check.

    Raises:
        SchemaOutdated: It is older, and upgrading is not automatic here.
        SchemaUnknown: It is newer, or the tables are somebody else's.
        DatabaseUnavailable: It cannot be reached.
    """
    revision = await current(database)
    if revision == HEAD:
        return
    _refuse_unknown(database, revision)
    if revision is None:
        await _refuse_foreign(database)
    automatic = database.settings.auto_upgrade
    if automatic if automatic is not None else database.dialect.auto_upgrade:
        await upgrade(database)
        return
    state = f"is at revision {revision}" if revision else "has no tables yet"
    raise SchemaOutdated(
        f"{database.label} {state}, this release needs {HEAD}; run: chainlit-sqla upgrade "
        "(or set CHAINLIT_SQLA_AUTO_UPGRADE=true)"
    )


async def current(database: Database) -> str | None:
    """The revision that a database has, None where it has none.

    Args:
        database: The database to ask.

    Raises:
        DatabaseUnavailable: It cannot be reached.
    """
    return await database.read(lambda c: current_revision(c, database.schema))


async def upgrade(database: Database, revision: str = "head") -> None:
    """Bring the schema up to a revision; nothing happens where it is there already.

    Args:
        database: The database to change.
        revision: A revision, or ``head``.

    Raises:
        SchemaUnknown: The tables in it are not ours.
        DatabaseUnavailable: It cannot be reached, or the permission is missing.
        ConfigurationError: There is no such revision.
    """
    await _refuse_foreign(database)
    at = await current(database)
    _refuse_unknown(database, at)
    await _run(database, lambda command, config: command.upgrade(config, revision))
    log.info("%s: upgraded from %s to %s", database.label, at or "nothing", revision)


async def downgrade(database: Database, revision: str) -> None:
    """Take the schema back to a revision; what that revision cannot hold is lost.

    Args:
        database: The database to change.
        revision: A revision, ``-1`` or ``base`` (drops all tables).

    Raises:
        DatabaseUnavailable: It cannot be reached, or the permission is missing.
        ConfigurationError: There is no such revision.
    """
    _refuse_unknown(database, await current(database))
    await _run(database, lambda command, config: command.downgrade(config, revision))


async def upgrade_inside(database: Database, connection: AsyncConnection) -> None:
    """Make the tables as a part of a transaction in which the dialect's lock is held.

    Args:
        database: The database to change.
        connection: A connection to it, in that transaction.
    """
    await _run(database, lambda command, config: command.upgrade(config, "head"), connection)


async def downgrade_inside(database: Database, connection: AsyncConnection) -> None:
    """Drop the tables as a part of a transaction; see `upgrade_inside`."""
    await _run(database, lambda command, config: command.downgrade(config, "base"), connection)


async def check(database: Database) -> None:
    """Compare the tables with the models.

    Raises:
        SchemaOutdated: They differ.
    """
    from alembic.util.exc import AutogenerateDiffsDetected

    try:
        await _run(database, lambda command, config: command.check(config))
    except AutogenerateDiffsDetected as error:
        raise SchemaOutdated(f"{error}; add a migration for it") from error


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
    alembics_log = logging.getLogger("alembic")
    level = alembics_log.level
    try:
        alembics_log.setLevel(logging.WARNING)  # Its steps are no news to an application.
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
        alembics_log.setLevel(level)
        _ALEMBIC.release()


async def not_ours(database: Database) -> str:
    """What is to be said of tables in a database that are not ours; "": none are.

    Args:
        database: The database to ask.
    """
    # In this order: a process that upgrades at the same time can only add a revision.
    words = await database.read(lambda connection: occupied(connection, database.schema))
    return words if words and await current(database) is None else ""


async def _refuse_foreign(database: Database) -> None:
    if words := await not_ours(database):
        raise SchemaUnknown(f"{database.label} {words}")


def _refuse_unknown(database: Database, revision: str | None) -> None:
    if revision is not None and revision not in REVISIONS:
        raise SchemaUnknown(
            f"{database.label} is at revision {revision}, which this release does not know; "
            "upgrade chainlit-sqla (pip install -U chainlit-sqla)"
        )
