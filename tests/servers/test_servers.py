"""The servers of the tests themselves: what the other tests rely on holds."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.until import PATIENCE, until

from .binaries import LocalCluster, find_binaries, find_packaged_binaries
from .ports import free_port
from .postgres import PostgresServer, start_postgres
from .proxy import FlakyProxy
from .require import unavailable

ROOT = Path(__file__).parents[2]
LOST = (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, ConnectionError)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    server = start_postgres(own=True)
    yield server
    server.stop()


@pytest.fixture
def url(server: PostgresServer) -> Iterator[str]:
    url = server.create_database()
    yield url
    server.drop_database(url)


@pytest.fixture
def proxy(server: PostgresServer) -> Iterator[FlakyProxy]:
    with FlakyProxy(*server.address) as proxy:
        yield proxy


# PostgreSQL


async def test_a_copied_database_has_the_content_of_its_template(
    server: PostgresServer, url: str
) -> None:
    server.execute("CREATE TABLE thing AS SELECT 7 AS a", url=url)
    copy = server.create_database(url)
    assert server.execute("SELECT a FROM thing", url=copy)[0]["a"] == 7


def test_a_dropped_database_is_gone_though_somebody_is_connected(server: PostgresServer) -> None:
    url = server.create_database()

    async def drop_while_connected() -> None:
        connection = await asyncpg.connect(url)
        server.drop_database(url)
        with pytest.raises(LOST):
            await connection.fetch("SELECT 1")

    asyncio.run(drop_while_connected())
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        server.execute("SELECT 1", url=url)


def test_databases_of_other_encodings_can_be_had(server: PostgresServer) -> None:
    url = server.create_database(encoding="LATIN1", locale="C")
    assert server.execute("SHOW server_encoding", url=url)[0][0] == "LATIN1"


def test_a_wrong_password_is_refused(server: PostgresServer) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        server.execute("SELECT 1", url=server.url.replace("@", "x@"))


def test_what_was_committed_survives_kill_and_start(server: PostgresServer, url: str) -> None:
    server.execute("CREATE TABLE thing AS SELECT 7 AS a", url=url)
    server.kill()
    with pytest.raises(OSError):
        server.execute("SELECT 1", url=url)
    server.start()
    assert server.execute("SELECT a FROM thing", url=url)[0]["a"] == 7


@pytest.mark.parametrize("find", [find_binaries, find_packaged_binaries])
def test_each_source_of_binaries_gives_a_server(find: Callable[[], Path | None]) -> None:
    folder = find()
    if folder is None:
        unavailable(f"{find.__name__} finds nothing", "install it")
    cluster = LocalCluster(folder)
    server = PostgresServer(cluster.url, "this test", cluster)
    assert server.execute("SELECT 1", url=server.create_database())[0][0] == 1
    server.stop()
    with pytest.raises(OSError):
        server.execute("SELECT 1")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_nothing_stays_behind_an_interrupted_run(how: signal.Signals) -> None:
    script = (
        "from tests.servers.postgres import start_postgres\n"
        "server = start_postgres()\n"
        "print(server.execute('SHOW data_directory')[0][0], flush=True)\n"
        "import time; time.sleep(60)"
    )
    environment = os.environ | {"TEST_POSTGRES_RUNG": "binaries"}
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        cwd=ROOT,
    ) as run:
        assert run.stdout is not None
        folder = Path(run.stdout.readline().decode().strip()).parent
        assert (folder / "data").is_dir()
        run.send_signal(how)
    deadline = time.monotonic() + PATIENCE
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not folder.exists()


def test_a_forced_source_that_is_missing_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_POSTGRES_RUNG", "url")
    monkeypatch.delenv("TEST_POSTGRES_URL", raising=False)
    monkeypatch.setenv("REQUIRE_ALL", "1")
    with pytest.raises(pytest.fail.Exception, match="TEST_POSTGRES_URL is not set"):
        start_postgres()
    monkeypatch.delenv("REQUIRE_ALL")
    with pytest.raises(pytest.skip.Exception, match="NOT TESTED: no PostgreSQL"):
        start_postgres()


def test_a_server_of_somebody_else_is_used_and_left_clean(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEST_POSTGRES_RUNG", raising=False)
    monkeypatch.setenv("TEST_POSTGRES_URL", server.url)
    guest = start_postgres()
    assert guest.origin == "url"
    url = guest.create_database()
    guest.stop()
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        server.execute("SELECT 1", url=url)


def test_a_free_port_lies_below_the_ephemeral_range() -> None:
    assert all(1024 < free_port() < 32_768 for _ in range(50))


def test_no_process_is_given_the_free_port_of_another() -> None:
    script = (
        "import random; from tests.servers.ports import free_port\n"
        "random.seed(7); print(free_port())"
    )
    random.seed(7)
    mine = {free_port() for _ in range(3)}
    random.seed()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, cwd=ROOT)
    assert int(done.stdout) not in mine, done.stderr


# The proxy


async def test_the_proxy_passes_on_what_is_sent(proxy: FlakyProxy, url: str) -> None:
    connection = await asyncpg.connect(proxy.url(url))
    text = "x" * 1_000_000
    assert await connection.fetchval("SELECT $1::text", text) == text
    assert proxy.connections == 1
    await connection.close()
    await until(lambda: proxy.connections == 0)


async def test_drop_all_resets_open_connections_only(proxy: FlakyProxy, url: str) -> None:
    connection = await asyncpg.connect(proxy.url(url))
    assert proxy.drop_all() == 1
    with pytest.raises(LOST):
        await connection.fetch("SELECT 1")
    again = await asyncpg.connect(proxy.url(url))
    assert await again.fetchval("SELECT 1") == 1
    await again.close()


async def test_refuse_keeps_new_connections_out_until_accept(proxy: FlakyProxy, url: str) -> None:
    connection = await asyncpg.connect(proxy.url(url))
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        await asyncpg.connect(proxy.url(url))
    assert await connection.fetchval("SELECT 1") == 1
    proxy.accept()
    again = await asyncpg.connect(proxy.url(url))
    await again.close()
    await connection.close()


async def test_a_black_hole_answers_nothing_until_restored(proxy: FlakyProxy, url: str) -> None:
    connection = await asyncpg.connect(proxy.url(url))
    proxy.blackhole()
    query = asyncio.ensure_future(connection.fetchval("SELECT 1"))
    with pytest.raises(TimeoutError):
        await asyncpg.connect(proxy.url(url), timeout=0.1)
    assert not query.done()
    proxy.restore()
    assert await query == 1
    await connection.close()


async def test_a_delayed_answer_comes_later(proxy: FlakyProxy, url: str) -> None:
    connection = await asyncpg.connect(proxy.url(url))
    proxy.delay(0.2)
    asked = time.monotonic()
    assert await connection.fetchval("SELECT 1") == 1
    assert time.monotonic() - asked >= 0.2
    proxy.delay(0)
    await connection.close()


@pytest.mark.parametrize("deliver", [True, False])
async def test_a_cut_commit_is_done_or_not_as_ordered(
    proxy: FlakyProxy, server: PostgresServer, url: str, deliver: bool
) -> None:
    server.execute("CREATE TABLE thing (a int)", url=url)
    connection = await asyncpg.connect(proxy.url(url))
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("INSERT INTO thing VALUES (1)")
    proxy.cut_at(b"COMMIT", deliver=deliver)
    with pytest.raises(LOST):
        await transaction.commit()
    assert not proxy.cut_pending
    assert len(server.execute("SELECT FROM thing", url=url)) == int(deliver)
