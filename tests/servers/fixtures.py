"""Servers for the tests of a folder, and databases on them: imported by its conftest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.mysql import MySQLServer, start_mysql
from tests.servers.postgres import PostgresServer, start_postgres


@pytest.fixture(scope="package")
def postgres() -> Iterator[PostgresServer]:
    server = start_postgres()
    yield server
    server.stop()


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    url = postgres.create_database()
    yield url
    postgres.drop_database(url)


@pytest.fixture(scope="package")
def mariadb() -> Iterator[MySQLServer]:
    server = start_mysql("mariadb")
    yield server
    server.stop()


@pytest.fixture(scope="package")
def mysql() -> Iterator[MySQLServer]:
    server = start_mysql("mysql")
    yield server
    server.stop()


def url_of(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    """The URL of an empty database of the kind that is the fixture's parameter."""
    if request.param == "sqlite":
        yield f"sqlite:///{folder / 'chats.db'}"
    elif request.param == "postgresql":
        yield request.getfixturevalue("postgres_url")
    else:
        server: MySQLServer = request.getfixturevalue(request.param)
        made = server.create_database()
        yield made
        server.drop_database(made)
