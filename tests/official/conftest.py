"""The same contract over Chainlit's own layers: where they differ is listed in differences.py."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from chainlit.context import ChainlitContext, context_var
from chainlit.session import HTTPSession

from tests.contract.backends import Backend, Databases, Server
from tests.contract.fixtures import *  # noqa: F403
from tests.official.backends import (
    AsyncpgOnPostgres,
    SqlAlchemyOnPostgres,
    SqlAlchemyOnSqlite,
    postgres_databases,
    sqlite_template,
)
from tests.official.schema import prisma_tables, sqlalchemy_tables


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "ours: a promise that Chainlit's own layers do not make")


@pytest.fixture(scope="session")
def sa_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documented schema on SQLite."""
    return sqlite_template(tmp_path_factory.mktemp("template"), sqlalchemy_tables(sqlite=True))


@pytest.fixture(scope="session")
def sa_postgres(postgres: Server) -> Databases:
    """The documented schema on PostgreSQL."""
    return postgres_databases(postgres, sqlalchemy_tables(sqlite=False))


@pytest.fixture(scope="session")
def cd_postgres(postgres: Server) -> Databases:
    """The schema of the asyncpg layer."""
    return postgres_databases(postgres, prisma_tables())


@pytest.fixture(params=["sa-sqlite", "sa-postgresql", "cd"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    """An empty database."""
    made: Backend
    if request.param == "sa-sqlite":
        made = SqlAlchemyOnSqlite(tmp_path, request.getfixturevalue("sa_sqlite"))
    elif request.param == "sa-postgresql":
        made = SqlAlchemyOnPostgres(tmp_path, request.getfixturevalue("sa_postgres"))
    else:
        made = AsyncpgOnPostgres(tmp_path, request.getfixturevalue("cd_postgres"))
    yield made
    made.drop()


@pytest.fixture
async def layer(backend: Backend) -> AsyncIterator[Any]:
    """A layer inside a session: outside of one these layers raise, whatever is called."""
    session = HTTPSession(id="session", client_type="webapp", thread_id="thread")
    token = context_var.set(ChainlitContext(session))
    yield backend.open()
    context_var.reset(token)
    await backend.close()
