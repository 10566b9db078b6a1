"""The contract over chainlit-sqla's own layer, on each database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.backends import Backend, Databases, Server
from tests.contract.fixtures import *  # noqa: F403
from tests.contract.ours import OurPostgres, OurSqlite


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database with the schema and nothing in it."""
    return OurSqlite.make_template(tmp_path_factory.mktemp("template"))


@pytest.fixture(scope="session")
def postgres_databases(postgres: Server) -> Databases:
    """PostgreSQL databases with the schema and nothing in them."""
    return Databases(postgres, OurPostgres.make_template(postgres))


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    """An empty database."""
    made: Backend
    if request.param == "sqlite":
        made = OurSqlite(tmp_path, request.getfixturevalue("sqlite_template"))
    else:
        made = OurPostgres(tmp_path, request.getfixturevalue("postgres_databases"))
    yield made
    made.drop()
