"""The contract over chainlit-sqla's own layer, on each database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.backends import Backend, Databases, Server
from tests.contract.fixtures import *  # noqa: F403
from tests.contract.on_mysql import MySQLDatabases, OurMySQL
from tests.contract.ours import OurPostgres, OurSqlite
from tests.servers.mysql import start_mysql


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database with the schema and nothing in it."""
    return OurSqlite.make_template(tmp_path_factory.mktemp("template"))


@pytest.fixture(scope="session")
def postgres_databases(postgres: Server) -> Databases:
    """PostgreSQL databases with the schema and nothing in them."""
    return Databases(postgres, OurPostgres.make_template(postgres))


@pytest.fixture(scope="session")
def mariadb_databases() -> Iterator[MySQLDatabases]:
    """MariaDB databases with the schema and nothing in them."""
    server = start_mysql("mariadb")
    yield MySQLDatabases(server)
    server.stop()


@pytest.fixture(scope="session")
def mysql_databases() -> Iterator[MySQLDatabases]:
    """MySQL databases with the schema and nothing in them."""
    server = start_mysql("mysql")
    yield MySQLDatabases(server)
    server.stop()


MYSQL = {"test_rows", "test_search", "test_statements", "test_values"}
"""Modules that run on MySQL, too: its types and collations differ from MariaDB's."""
ONE_DIALECT = {"test_context", "test_element_sources", "test_elements", "test_user_cache"}
"""Modules whose behavior does not depend on the dialect; they run on SQLite and PostgreSQL."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run SQLite and PostgreSQL everywhere, MariaDB and MySQL where their dialects differ."""
    if "backend" in metafunc.fixturenames:
        module = metafunc.module.__name__.rpartition(".")[2]
        names = ["sqlite", "postgresql"]
        names += ["mariadb"] * (module not in ONE_DIALECT) + ["mysql"] * (module in MYSQL)
        metafunc.parametrize("backend", names, indirect=True)


@pytest.fixture
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    """An empty database."""
    made: Backend
    if request.param == "sqlite":
        made = OurSqlite(tmp_path, request.getfixturevalue("sqlite_template"))
    elif request.param == "postgresql":
        made = OurPostgres(tmp_path, request.getfixturevalue("postgres_databases"))
    else:
        made = OurMySQL(tmp_path, request.getfixturevalue(f"{request.param}_databases"))
    yield made
    made.drop()
