"""Databases for the write path: a file, and a PostgreSQL behind a proxy that can fail."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chainlit_sqla import SQLADataLayer
from chainlit_sqla.database import Database
from chainlit_sqla.database import migrator as migrations
from chainlit_sqla.settings import Settings
from chainlit_sqla.storage.uploads import Uploads
from tests.servers.fixtures import *  # noqa: F403
from tests.servers.fixtures import url_of
from tests.servers.mysql import MySQLServer
from tests.servers.postgres import PostgresServer, start_postgres
from tests.servers.proxy import FlakyProxy
from tests.until import PATIENCE
from tests.writes.gated import Gated


@pytest.fixture(scope="package")
def postgres() -> Iterator[PostgresServer]:
    server = start_postgres(own=True)
    yield server
    server.stop()


@pytest.fixture
def server(postgres: PostgresServer) -> PostgresServer:
    """The server behind the proxy; test_mysql has others."""
    return postgres


@pytest.fixture
def proxy(server: PostgresServer | MySQLServer) -> Iterator[FlakyProxy]:
    with FlakyProxy(*server.address) as made:
        yield made


@pytest.fixture
async def behind_proxy(
    server: PostgresServer | MySQLServer, proxy: FlakyProxy
) -> AsyncIterator[Database]:
    url = server.create_database()
    settings = Settings.load(retry_seconds=300, close_seconds=PATIENCE)
    made = Database(proxy.url(url), settings=settings)
    await migrations.upgrade(made)
    yield made
    proxy.restore()
    assert made.engine.sync_engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    await made.close()
    server.drop_database(url)


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    with contextmanager(url_of)(request, tmp_path) as url:
        made = Database(url, settings=Settings.load(retry_seconds=300, queue_size=4))
        await migrations.upgrade(made)
        yield made
        assert made.engine.sync_engine.pool.checkedout() == 0  # type: ignore[attr-defined]
        await made.close()


@pytest.fixture
async def layer(tmp_path: Path) -> AsyncIterator[SQLADataLayer]:
    database = Database(f"sqlite:///{tmp_path / 'chats.db'}")
    await migrations.upgrade(database)
    made = SQLADataLayer(database, storage=Gated(tmp_path / "files"))
    yield made
    await made.close()


@pytest.fixture
def store(layer: SQLADataLayer) -> Gated:
    assert isinstance(layer.storage, Gated)
    return layer.storage


@pytest.fixture
def uploads(layer: SQLADataLayer) -> Uploads:
    return layer._uploads
