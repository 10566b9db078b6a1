"""A real MySQL or MariaDB server for the tests, from the best source that this machine has.

The sources, tried in this order (``TEST_MYSQL_RUNG`` picks one by name):

========== ==========================================================================
url        ``TEST_MYSQL_URL`` or ``TEST_MARIADB_URL``: a server that is there, by an
           account that may create databases and accounts
containers testcontainers with the image ``TEST_MYSQL_IMAGE`` (``mysql:8.4``) or
           ``TEST_MARIADB_IMAGE`` (``mariadb:10.11``)
binaries   ``mysqld`` or ``mariadbd`` found on this machine
========== ==========================================================================
"""

from __future__ import annotations

import os
import secrets
from functools import partial
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

import asyncmy
from asyncmy.cursors import DictCursor
from sqlalchemy import make_url

from .containers import DatabaseContainer, NoEngineError, NoImageError
from .mysql_process import LocalServer, find_program
from .server import DatabaseServer, find_server, run_apart

Kind = Literal["mysql", "mariadb"]
IMAGES = {"mysql": "mysql:8.4", "mariadb": "mariadb:10.11"}
REPAIRS = {
    "mariadb": "set TEST_MARIADB_URL, start Docker or install MariaDB (apt install mariadb-server)",
    "mysql": "set TEST_MYSQL_URL, start Docker, install MySQL or run .ci/packages",
}


class MySQLServer(DatabaseServer):
    PORT = 3306
    NOT_OURS = (
        "the URL names a server that the tests may not restart",
        "call start_mysql(own=True)",
    )

    def create_database(self, options: str = "") -> str:
        name = f"test_{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name} {options}")
        self._databases.add(name)
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))

    def drop_database(self, url: str) -> None:
        """End the connections to a database and drop it; fine when it is gone already."""
        name = urlsplit(url).path.lstrip("/")
        # Not information_schema.processlist: MySQL 9 fails on an emoji in another's statement.
        for row in self.execute("SHOW PROCESSLIST"):
            if row["db"] != name:
                continue
            try:
                self.execute(f"KILL {row['Id']}")
            except asyncmy.errors.MySQLError:
                continue  # It has ended meanwhile.
        self.execute(f"DROP DATABASE IF EXISTS {name}")
        self._databases.discard(name)

    def execute(self, sql: str, *args: object, url: str | None = None) -> list[dict[str, Any]]:
        """Run one statement and return its rows; quotes are as in the standard."""
        return query(url or self.url, sql, *args)


def start_mysql(kind: Kind, *, own: bool = False, **settings: object) -> MySQLServer:
    """Start or find a server, for ``own`` one that the tests may kill and start again.

    Settings are options of the server, with underscores; only one of ours has them.
    """
    rungs = {origin: partial(rung, kind, settings) for origin, rung in RUNGS.items()}
    own = own or bool(settings)
    return find_server(kind, rungs, "TEST_MYSQL_RUNG", REPAIRS[kind], own=own)


def query(url: str, sql: str, *args: object) -> list[dict[str, Any]]:
    """Run one statement; the caller may stand in an event loop."""
    return run_apart(rows(url, sql, *args))


def empty(url: str, keep: str) -> None:
    names = query(
        url,
        "SELECT table_name AS name FROM information_schema.tables "
        "WHERE table_schema = DATABASE() AND table_name <> %s",
        keep,
    )
    deletions = "; ".join(f"DELETE FROM {row['name']}" for row in names)
    query(url, f"SET SESSION foreign_key_checks = 0, lock_wait_timeout = 5; {deletions}")


async def connect(url: str, **options: str) -> Any:
    """A connection of the plain driver."""
    parts = make_url(url)
    return await asyncmy.connect(
        host=parts.host,
        port=parts.port,
        user=parts.username,
        password=parts.password or "",
        database=parts.database,
        autocommit=True,
        **options,
    )


async def rows(url: str, sql: str, *args: object) -> list[dict[str, Any]]:
    connection = await connect(
        url,
        init_command="SET SESSION sql_mode = CONCAT(@@sql_mode, ',ANSI_QUOTES'), sql_notes = 0",
    )
    try:
        async with connection.cursor(DictCursor) as cursor:
            await cursor.execute(sql, args or None)
            return list(await cursor.fetchall() or ())
    finally:
        await connection.ensure_closed()


def _from_url(kind: str, _settings: dict[str, object]) -> MySQLServer | str:
    name = f"TEST_{kind.upper()}_URL"
    url = os.environ.get(name)
    return MySQLServer(url, "url") if url else f"{name} is not set"


def _from_containers(kind: str, settings: dict[str, object]) -> MySQLServer | str:
    password = secrets.token_urlsafe(12)
    try:
        container = DatabaseContainer(
            os.environ.get(f"TEST_{kind.upper()}_IMAGE", IMAGES[kind]),
            3306,
            {f"{kind.upper()}_ROOT_PASSWORD": password},
            [f"--{name}={value}" for name, value in settings.items()],
            [kind, "-h127.0.0.1", "-uroot", f"-p{password}", "-e", "SELECT 1"],
        )
    except (NoEngineError, NoImageError) as reason:
        return str(reason)
    url = f"{kind}://root:{password}@{container.address}/mysql"
    return MySQLServer(url, "containers", container)


def _from_binaries(kind: str, settings: dict[str, object]) -> MySQLServer | str:
    program = find_program(kind)
    if program is None:
        return "no server program on this machine"
    server = LocalServer(program, settings)
    return MySQLServer(server.url, "binaries", server)


RUNGS = {"url": _from_url, "containers": _from_containers, "binaries": _from_binaries}
