"""The testcontainers way to a PostgreSQL server, from the engine to its databases.

With a Docker engine and a registry: ``pytest -m containers``. Without, as root on Debian:
``python -m tests.containers.engine pytest -m containers`` (makes engine and image itself).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.postgres import PostgresServer, start_postgres

pytestmark = pytest.mark.containers


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEST_POSTGRES_RUNG", "containers")
        server = start_postgres(own=True)
    yield server
    server.stop()


def test_a_container_serves_databases_made_from_a_template(server: PostgresServer) -> None:
    assert server.origin == "containers"
    url = server.create_database()
    server.execute("CREATE TABLE thing AS SELECT 7 AS a", url=url)
    copy = server.create_database(url)
    assert server.execute("SELECT a FROM thing", url=copy)[0]["a"] == 7


def test_what_was_committed_survives_a_killed_container(server: PostgresServer) -> None:
    url = server.create_database()
    server.execute("CREATE TABLE thing AS SELECT 7 AS a", url=url)
    server.kill()
    with pytest.raises(OSError):
        server.execute("SELECT 1", url=url)
    server.start()
    assert server.execute("SELECT a FROM thing", url=url)[0]["a"] == 7


def test_an_image_that_cannot_be_had_leads_to_the_next_source(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("TEST_POSTGRES_RUNG", raising=False)
    monkeypatch.setenv("TEST_POSTGRES_IMAGE", "local/there-is-no-such-image:0")
    with pytest.warns(UserWarning, match="no image local/there-is-no-such-image:0"):
        server = start_postgres(own=True)
    assert server.origin in ("binaries", "pgserver")
    server.stop()
