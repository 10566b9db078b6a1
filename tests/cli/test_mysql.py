"""The commands on MariaDB, and on MySQL where it differs."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from chainlit_sqla.database.revision import HEAD
from tests.cli.conftest import Command
from tests.cli.programs import Result
from tests.cli.test_errors import PASSWORD, refused
from tests.servers.mysql import MySQLServer
from tests.servers.ports import free_port

pytestmark = pytest.mark.full

_TABLES = "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = %s"

both = pytest.mark.parametrize("server", ["mariadb", "mysql"], indirect=True)


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> MySQLServer:
    """MariaDB unless a test asks for both."""
    server: MySQLServer = request.getfixturevalue(getattr(request, "param", "mariadb"))
    return server


@pytest.fixture
def database(server: MySQLServer) -> Iterator[str]:
    url = server.create_database()
    yield url
    server.drop_database(url)


def succeeded(result: Result) -> str:
    """The output of a command, which must have succeeded."""
    assert result.code == 0, result
    assert "Traceback" not in result.err
    return result.out + result.err


@both
def test_upgrade_and_downgrade(
    cli: Command, program: Command, server: MySQLServer, database: str
) -> None:
    assert program("upgrade", "--url", database).err == "", "the driver printed warnings"
    assert HEAD in succeeded(cli("current", "--url", database))
    succeeded(cli("downgrade", "base", "--yes", "--url", database))
    names = [row["name"] for row in server.execute(_TABLES, database.rpartition("/")[2])]
    assert names == ["chainlit_sqla_version"]
    with_driver = database.replace("://", "+pymysql://", 1) + "?charset=utf8mb4"
    succeeded(cli("upgrade", "--url", with_driver))


@both
def test_doctor_leaves_nothing(cli: Command, server: MySQLServer, database: str) -> None:
    report = cli("doctor", "--url", database)
    assert "run: chainlit-sqla upgrade" in report.out
    report = cli("doctor", "--url", database, CHAINLIT_SQLA_AUTO_UPGRADE="true")
    assert "created a table and rolled it back" in succeeded(report)
    assert server.execute(_TABLES, database.rpartition("/")[2]) == []
    succeeded(cli("upgrade", "--url", database))
    text = succeeded(cli("doctor", "--url", database))
    version = r"^ok +database: (MariaDB|MySQL) \d+\.\d+\.\d+, m\w+://tester:\*\*\*@"
    assert re.search(version, text, re.M)
    assert "wrote a user and rolled it back" in text
    assert server.execute("SELECT * FROM users", url=database) == []


@both
def test_connection_errors_name_the_repair(cli: Command, database: str) -> None:
    wrong_password = re.sub(r":[^:@]+@", f":{PASSWORD}@", database)
    urls = {
        wrong_password: ("refuses the login", "correct the user or the password"),
        f"{database}_none": ("has no database", "CREATE DATABASE"),
        database.rpartition("/")[0]: ("names no database", "mysql://user:password@"),
        f"mysql://me:{PASSWORD}@127.0.0.1:{free_port()}/x": ("cannot be reached", "start the"),
    }
    for url, words in urls.items():
        refused(cli("upgrade", "--url", url), *words)


def test_a_missing_extra_is_named(
    cli: Command, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chainlit_sqla.dialects.mysql.dialect.find_spec", lambda name: None)
    refused(cli("upgrade", "--url", database), 'pip install "chainlit-sqla[mysql]"')
