"""Empty databases, by the kind of server."""

from __future__ import annotations

import os
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


@pytest.fixture(params=["sqlite", "postgresql", "mariadb", "mysql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'chats.db'}"
    elif request.param == "postgresql":
        yield request.getfixturevalue("postgres_url")
    else:
        server: MySQLServer = request.getfixturevalue(request.param)
        made = server.create_database()
        yield made
        server.drop_database(made)


@pytest.fixture(params=["sqlite", "postgresql"])
def transactional_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a database that takes back what fails half-way."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'chats.db'}"
    found: str = request.getfixturevalue("postgres_url")
    return found


@pytest.fixture(params=["mariadb", "mysql"])
def mysql_server(request: pytest.FixtureRequest) -> MySQLServer:
    found: MySQLServer = request.getfixturevalue(request.param)
    return found


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("CHAINLIT_", "DATABASE_URL")):
            monkeypatch.delenv(name)
