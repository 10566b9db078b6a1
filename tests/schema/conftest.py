"""Empty databases, by the kind of server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.fixtures import *  # noqa: F403
from tests.servers.fixtures import url_of
from tests.servers.mysql import MySQLServer


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    yield from url_of(request, tmp_path)


@pytest.fixture(params=["sqlite", "postgresql"])
def transactional_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Of a database that takes back what fails half-way."""
    yield from url_of(request, tmp_path)


@pytest.fixture(params=["mariadb", "mysql"])
def mysql_server(request: pytest.FixtureRequest) -> MySQLServer:
    found: MySQLServer = request.getfixturevalue(request.param)
    return found


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("CHAINLIT_", "DATABASE_URL")):
            monkeypatch.delenv(name)
