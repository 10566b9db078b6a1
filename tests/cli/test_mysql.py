"""The commands on MySQL and MariaDB: what they say, and that it is what a user can act on."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from chainlit_sqla.database.revision import HEAD
from tests.cli.conftest import Command
from tests.cli.programs import Result
from tests.cli.test_errors import PASSWORD, refused
from tests.servers.mysql import MySQLServer, start_mysql
from tests.servers.ports import free_port


@pytest.fixture(scope="module", params=["mariadb", "mysql"])
def server(request: pytest.FixtureRequest) -> Iterator[MySQLServer]:
    """A server for all tests of this file."""
    made = start_mysql(request.param)
    yield made
    made.stop()


@pytest.fixture
def database(server: MySQLServer) -> Iterator[str]:
    """The URL of an empty database."""
    url = server.create_database()
    yield url
    server.drop_database(url)


@pytest.fixture
def stranger(server: MySQLServer, database: str) -> Iterator[str]:
    """The URL of an account that may read and nothing else."""
    name = database.rpartition("/")[2]
    server.execute(f"CREATE USER stranger@'%%' IDENTIFIED BY '{PASSWORD}'")
    server.execute(f"GRANT SELECT ON {name}.* TO stranger@'%%'")
    yield re.sub(r"//[^@]+@", f"//stranger:{PASSWORD}@", database)
    server.execute("DROP USER stranger@'%%'")


def fine(result: Result) -> str:
    """Check that a command worked; what it printed."""
    assert result.code == 0, result
    assert "Traceback" not in result.err
    return result.out + result.err


def test_up_and_down_and_up(cli: Command, server: MySQLServer, database: str) -> None:
    fine(cli("upgrade", "--url", database))
    assert HEAD in fine(cli("current", "--url", database))
    fine(cli("downgrade", "base", "--yes", "--url", database))
    names = "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = %s"
    left = server.execute(names, database.rpartition("/")[2])
    assert [row["name"] for row in left] == ["chainlit_sqla_version"]
    fine(cli("upgrade", "--url", database))


def test_the_driver_has_nothing_to_say_of_an_upgrade(program: Command, database: str) -> None:
    made = program("upgrade", "--url", database)
    assert made.code == 0
    assert made.err == ""


def test_doctor_is_content_and_leaves_nothing(
    cli: Command, server: MySQLServer, database: str
) -> None:
    report = cli("doctor", "--url", database)
    assert "run: chainlit-sqla upgrade" in report.out
    early = cli("doctor", "--url", database, CHAINLIT_SQLA_AUTO_UPGRADE="true")
    assert "created a table and rolled it back" in fine(early)
    names = "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = %s"
    assert server.execute(names, database.rpartition("/")[2]) == []
    fine(cli("upgrade", "--url", database))
    told = fine(cli("doctor", "--url", database))
    assert re.search(
        r"^ok +database: (MariaDB|MySQL) \d+\.\d+\.\d+, m\w+://tester:\*\*\*@", told, re.M
    )
    assert "wrote a user and rolled it back" in told
    assert server.execute("SELECT * FROM users", url=database) == []


def test_doctor_tells_who_may_not_write(cli: Command, database: str, stranger: str) -> None:
    fine(cli("upgrade", "--url", database))
    report = cli("doctor", "--url", stranger)
    assert report.code == 1
    assert "FAILED  write permission: 'stranger' may not do this" in report.out
    assert "GRANT ALL ON" in report.out


def test_wrong_password(cli: Command, database: str) -> None:
    url = re.sub(r":[^:@]+@", f":{PASSWORD}@", database)
    refused(cli("upgrade", "--url", url), "refuses the login", "correct the user or the password")


def test_missing_database(cli: Command, database: str) -> None:
    refused(cli("upgrade", "--url", f"{database}_none"), "has no database", "CREATE DATABASE")


def test_a_url_without_a_database(cli: Command, database: str) -> None:
    url = database.rpartition("/")[0]
    refused(cli("upgrade", "--url", url), "names no database", "mysql://user:password@")


def test_unreachable_server(cli: Command) -> None:
    url = f"mysql://me:{PASSWORD}@127.0.0.1:{free_port()}/x"
    for command in ("upgrade", "current"):
        refused(cli(command, "--url", url), "cannot be reached", "start the server or correct")


def test_no_permission_to_make_tables(cli: Command, stranger: str) -> None:
    refused(cli("upgrade", "--url", stranger), "may not do this", "grant the permission")


def test_somebody_elses_tables(cli: Command, server: MySQLServer, database: str) -> None:
    server.execute("CREATE TABLE users (name text)", url=database)
    refused(cli("upgrade", "--url", database), "users", "use another database")


def test_a_newer_schema(cli: Command, server: MySQLServer, database: str) -> None:
    fine(cli("upgrade", "--url", database))
    server.execute("UPDATE chainlit_sqla_version SET version_num = '9999'", url=database)
    refused(cli("upgrade", "--url", database), "9999", "pip install -U chainlit-sqla")


@pytest.mark.parametrize("driver", ["+pymysql", "+aiomysql", "+asyncmy", "+mysqldb", ""])
def test_any_driver_in_the_url_is_ours(cli: Command, database: str, driver: str) -> None:
    url = database.replace("://", f"{driver}://", 1) + "?charset=utf8mb4"
    fine(cli("upgrade", "--url", url))


def test_a_server_that_takes_no_writes(cli: Command, server: MySQLServer, database: str) -> None:
    name, secret = "narrow", PASSWORD
    server.execute(f"CREATE USER {name}@'%%' IDENTIFIED BY '{secret}'")
    server.execute(f"GRANT ALL ON {database.rpartition('/')[2]}.* TO {name}@'%%'")
    server.execute("SET GLOBAL read_only = ON")
    try:
        url = re.sub(r"//[^@]+@", f"//{name}:{secret}@", database)
        refused(cli("upgrade", "--url", url), "read-only", "connect to the primary")
    finally:
        server.execute("SET GLOBAL read_only = OFF")
        server.execute(f"DROP USER {name}@'%%'")


def test_without_the_extra_its_name_is_said(
    cli: Command, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chainlit_sqla.dialects.mysql.dialect.find_spec", lambda name: None)
    refused(cli("upgrade", "--url", database), 'pip install "chainlit-sqla[mysql]"')
