"""The MySQL and MariaDB servers of the tests themselves: what the other tests rely on holds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from asyncmy.errors import MySQLError

from tests.until import PATIENCE

from .mysql import MySQLServer, empty, start_mysql


@pytest.fixture(scope="module", params=["mariadb", "mysql"])
def server(request: pytest.FixtureRequest) -> Iterator[MySQLServer]:
    made = start_mysql(request.param, own=True)
    yield made
    made.stop()


def test_what_was_committed_survives_kill_and_start(server: MySQLServer) -> None:
    url = server.create_database()
    server.execute("CREATE TABLE thing AS SELECT 7 AS a", url=url)
    server.kill()
    with pytest.raises(MySQLError):
        server.execute("SELECT 1", url=url)
    server.start()
    assert server.execute("SELECT a FROM thing", url=url) == [{"a": 7}]
    server.drop_database(url)
    with pytest.raises(MySQLError, match="Unknown database"):
        server.execute("SELECT 1", url=url)


def test_a_database_is_emptied_whatever_points_at_what(server: MySQLServer) -> None:
    url = server.create_database()
    server.execute("CREATE TABLE a (id INT PRIMARY KEY)", url=url)
    server.execute("CREATE TABLE b (id INT, FOREIGN KEY (id) REFERENCES a (id))", url=url)
    server.execute("CREATE TABLE kept AS SELECT 1 AS id", url=url)
    for table in "ab":
        server.execute(f"INSERT INTO {table} VALUES (1)", url=url)
    empty(url, "kept")
    counts = "SELECT (SELECT count(*) FROM a) AS a, (SELECT count(*) FROM b) AS b, id FROM kept"
    assert server.execute(counts, url=url) == [{"a": 0, "b": 0, "id": 1}]
    server.drop_database(url)


def test_each_server_is_the_one_that_was_asked_for(server: MySQLServer) -> None:
    [row] = server.execute("SELECT VERSION() AS version")
    assert ("MariaDB" in row["version"]) == server.url.startswith("mariadb")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("kind", ["mariadb", "mysql"])
def test_nothing_stays_behind_an_interrupted_run(kind: str, how: signal.Signals) -> None:
    script = (
        "from tests.servers.mysql import start_mysql\n"
        f"server = start_mysql({kind!r})\n"
        "print(server.execute('SELECT @@datadir AS d')[0]['d'], flush=True)\n"
        "import time; time.sleep(60)"
    )
    environment = os.environ | {"TEST_MYSQL_RUNG": "binaries"}
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        cwd=Path(__file__).parents[2],
        text=True,
    ) as run:
        assert run.stdout is not None
        folder = Path(run.stdout.readline().strip())
        assert folder.is_dir()
        run.send_signal(how)
        run.wait()
    deadline = time.monotonic() + PATIENCE
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not folder.exists()
