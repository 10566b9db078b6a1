"""The contract over chainlit-sqla's own layer, on each database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chainlit_sqla.database.revision import VERSION_TABLE
from tests.contract.backends import Backend, Databases, Server, empty_database
from tests.contract.fixtures import *  # noqa: F403
from tests.contract.ours import Ours, create_tables
from tests.servers import mysql


@pytest.fixture(scope="session")
def sqlite_databases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database with the schema and nothing in it."""
    path = tmp_path_factory.mktemp("template") / "template.db"
    create_tables(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgresql_databases(postgres: Server) -> Databases:
    """PostgreSQL databases with the schema and nothing in them."""
    return Databases.on_postgres(postgres, create_tables(postgres.create_database()))


def databases_of(kind: mysql.Kind) -> Iterator[Databases]:
    server = mysql.start_mysql(kind)
    yield Databases(
        server,
        lambda: create_tables(server.create_database()),
        lambda url: mysql.empty(url, VERSION_TABLE),
    )
    server.stop()


@pytest.fixture(scope="session")
def mariadb_databases() -> Iterator[Databases]:
    yield from databases_of("mariadb")


@pytest.fixture(scope="session")
def mysql_databases() -> Iterator[Databases]:
    yield from databases_of("mysql")


MYSQL = {"test_rows", "test_search", "test_statements", "test_values"}
"""Modules that run on MySQL, too: its types and collations differ from MariaDB's."""
ONE_DIALECT = {"test_context", "test_deferral", "test_elements", "test_user_cache"}
"""Modules whose behavior does not depend on the dialect; they run on SQLite and PostgreSQL."""

SQLITE = {"test_unreadable"}
"""Modules about values that the other databases refuse."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run SQLite and PostgreSQL everywhere, MariaDB and MySQL where their dialects differ."""
    if "backend" in metafunc.fixturenames:
        module = metafunc.module.__name__.rpartition(".")[2]
        names = ["sqlite", "postgresql"]
        names += ["mariadb"] * (module not in ONE_DIALECT) + ["mysql"] * (module in MYSQL)
        names = names[:1] if module in SQLITE else names
        metafunc.parametrize("backend", names, indirect=True)


@pytest.fixture
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    with empty_database(request.getfixturevalue(f"{request.param}_databases"), tmp_path) as url:
        yield Ours(tmp_path, url)
