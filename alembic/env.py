"""Runs migrations for both doors: `alembic upgrade head` and `chainlit-sqla upgrade`."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from logging.config import fileConfig

from alembic import context
from sqlalchemy import Connection, text

from chainlit_sqla.database import Database, repeatable_ddl
from chainlit_sqla.database.checks import check_server, revoke_default_grants
from chainlit_sqla.database.revision import VERSION_TABLE
from chainlit_sqla.dialects.search_index import INDEX
from chainlit_sqla.models import Base

config = context.config


def ours_only(_object: object, name: str | None, kind: str, reflected: bool, _to: object) -> bool:
    """Leave the host application's tables and the search index alone when looking for drift."""
    if kind == "index" and name == INDEX:
        return False
    return not (kind == "table" and reflected and name not in Base.metadata.tables)


def options(database: Database) -> dict[str, object]:
    return {
        "target_metadata": Base.metadata,
        "version_table": VERSION_TABLE,
        "version_table_schema": database.schema,
        "include_object": ours_only,
        "compare_type": True,
    }


def run(connection: Connection, database: Database, *, inside: bool = False) -> None:
    """Migrate under the lock: the revision is read inside it, so a second one finds it done.

    With `inside`, the caller has the lock and a transaction, whose part this is.
    """
    default_schema = connection.dialect.default_schema_name
    with nullcontext() if inside else database.dialect.migration_lock(connection):
        try:
            if database.schema:
                enter_schema(connection, database.schema)
            context.configure(connection=connection, **options(database))
            if database.dialect.commits_ddl:
                repeatable_ddl.make_repeatable(context.get_context())
            with context.begin_transaction():
                context.run_migrations()
                if is_migration():
                    config.attributes["revoked"] = revoke_default_grants(connection, database)
            if database.dialect.commits_ddl:
                repeatable_ddl.finish(connection)
        finally:
            connection.dialect.default_schema_name = default_schema


def is_migration() -> bool:
    """Whether this is an upgrade or downgrade, not `alembic check` or `current`."""
    try:
        context.get_revision_argument()
    except KeyError:
        return False
    return True


def enter_schema(connection: Connection, schema: str) -> None:
    quoted = connection.dialect.identifier_preparer.quote(schema)
    known = text("SELECT 1 FROM pg_namespace WHERE nspname = :name")
    if not connection.scalar(known, {"name": schema}):
        connection.execute(text(f"CREATE SCHEMA {quoted}"))
    connection.execute(text(f"SET LOCAL search_path TO {quoted}"))
    connection.dialect.default_schema_name = schema


async def run_from_environment() -> None:
    database = Database()
    try:
        async with database.engine.connect() as connection:
            await check_server(connection, database)
            await connection.rollback()
            await connection.run_sync(run, database)
    finally:
        await database.close()


def run_offline() -> None:
    """Print the SQL instead of running it (`alembic upgrade head --sql`)."""
    database = Database()
    context.configure(url=database.url, literal_binds=True, **options(database))
    if database.dialect.commits_ddl:
        migration = context.get_context()
        # No server says which of the two it is; their collations differ.
        migration.dialect.is_mariadb = database.given_url.get_backend_name() == "mariadb"
        repeatable_ddl.make_repeatable(migration)
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    run_offline()
elif (given := config.attributes.get("connection")) is not None:
    run(given, config.attributes["database"], inside=config.attributes.get("inside", False))
else:
    if config.config_file_name:
        fileConfig(config.config_file_name, disable_existing_loggers=False)
    asyncio.run(run_from_environment())
