"""Servers for the journeys: one for each database, restarted where a journey requires it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.servers.fixtures import *  # noqa: F403

from .person import Person
from .server import AppServer


@pytest.fixture(scope="package", params=["sqlite", "postgres"])
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AppServer]:
    settings = {}
    if request.param != "sqlite":
        url = request.getfixturevalue(request.param).create_database()
        settings = {"DATABASE_URL": url, "CHAINLIT_SQLA_AUTO_UPGRADE": "true"}
    server = AppServer(tmp_path_factory.mktemp("app"), settings)
    yield server
    server.stop()
    server.check_log()


@pytest.fixture
def server(running: AppServer) -> Iterator[AppServer]:
    """The running application; what each test makes it print is checked."""
    running.start()
    yield running
    running.check_log()


@pytest.fixture
async def alice(server: AppServer) -> AsyncIterator[Person]:
    async with Person(server.url, "alice") as person:
        yield person


@pytest.fixture
async def bob(server: AppServer) -> AsyncIterator[Person]:
    async with Person(server.url, "bob") as person:
        yield person
