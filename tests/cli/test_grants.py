"""Who else may read and change the tables, tried by connections of other roles."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator

import asyncpg
import pytest
from sqlalchemy import make_url

from chainlit_sqla import SQLADataLayer
from tests.cli.conftest import Command
from tests.cli.test_doctor import checks
from tests.frozen.catalog import CATALOG
from tests.frozen.load import execute
from tests.schema.test_migrations import alembic
from tests.servers.postgres import PostgresServer
from tests.servers.server import run_apart

TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
DEEDS = ("SELECT 1 FROM {}", "DELETE FROM {}", "TRUNCATE {} CASCADE")


class Server:
    """A database, and roles whose names are used nowhere else."""

    def __init__(self, postgres: PostgresServer, url: str) -> None:
        self._postgres, self.url = postgres, url
        self.roles: list[str] = []

    def role(self, name: str, options: str = "") -> str:
        role = f"{name}_{secrets.token_hex(4)}"
        self.sql(f"CREATE ROLE {role} LOGIN PASSWORD 'x' {options}")
        self.roles.append(role)
        return role

    def sql(self, *statements: str) -> None:
        for statement in statements:
            self._postgres.execute(statement, url=self.url)

    def default(self, role: str, what: str = "ALL", where: str = "IN SCHEMA public") -> None:
        self.sql(f"ALTER DEFAULT PRIVILEGES {where} GRANT {what} ON TABLES TO {role}")

    def url_of(self, role: str) -> str:
        url = make_url(self.url).set(username=role, password="x")
        return url.render_as_string(hide_password=False)

    def open_to(self, role: str) -> set[str]:
        """What a role does to the tables when it tries: select, delete, truncate."""
        tables = [row[0] for row in self._postgres.execute(TABLES, url=self.url)]
        assert "steps" in tables

        async def attack() -> set[str]:
            done = set()
            connection = await asyncpg.connect(self.url_of(role))
            for deed in [deed.format(table) for table in tables for deed in DEEDS]:
                attempt = connection.transaction()
                await attempt.start()
                try:
                    await connection.execute(deed)
                    done.add(deed)
                except asyncpg.InsufficientPrivilegeError:
                    pass
                await attempt.rollback()
            await connection.close()
            return done

        return run_apart(attack())


@pytest.fixture
def server(postgres: PostgresServer, database: str) -> Iterator[Server]:
    server = Server(postgres, database)
    yield server
    postgres.drop_database(database)
    for role in server.roles:
        postgres.execute(f"DROP ROLE {role}")


@pytest.mark.parametrize("door", ["chainlit-sqla", "alembic"])
def test_an_upgrade_takes_back_what_default_privileges_gave(
    server: Server, cli: Command, door: str
) -> None:
    anon, reader = server.role("anon"), server.role("reader")
    server.default(anon)
    server.default(reader, "SELECT, INSERT", where="")
    server.default("PUBLIC", "SELECT")
    if door == "alembic":
        assert alembic("upgrade", "head", DATABASE_URL=server.url).returncode == 0
    else:
        done = cli("upgrade", "--url", server.url)
        assert f"Revoked what default privileges gave PUBLIC, {anon}, {reader} on" in done.out
    assert server.open_to(anon) == server.open_to(reader) == set()
    assert checks(cli("doctor", "--url", server.url).out)["access"] == "ok"


def test_tables_of_an_older_release_are_closed_by_the_next_upgrade(
    server: Server, cli: Command
) -> None:
    assert cli("upgrade", "--url", server.url).code == 0
    anon = server.role("anon")
    server.default(anon)
    server.sql(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {anon}")
    assert "DELETE FROM steps" in server.open_to(anon)
    report = cli("doctor", "--url", server.url)
    assert report.code == 1
    assert f"FAILED  access: {anon} may read or change conversations" in report.out
    again = cli("upgrade", "--url", server.url)
    assert "already at" in again.out
    assert anon in again.out
    assert server.open_to(anon) == set()
    assert cli("doctor", "--url", server.url).code == 0
    assert "Revoked" not in cli("upgrade", "--url", server.url).out


def test_what_was_granted_by_hand_is_only_reported(server: Server, cli: Command) -> None:
    assert cli("upgrade", "--url", server.url, "--schema", "Chat").code == 0
    analyst, auditor = server.role("analyst"), server.role("auditor")
    server.sql(
        f'GRANT USAGE ON SCHEMA "Chat" TO {analyst}, {auditor}',
        f'GRANT SELECT ON "Chat".steps TO {analyst}',
        f'GRANT SELECT (name) ON "Chat".threads TO {auditor}',
    )
    options = ("--url", server.url, "--schema", "Chat")
    assert "Revoked" not in cli("upgrade", *options).out
    report = cli("doctor", *options)
    assert report.code == 1
    assert f"{analyst}, {auditor} may read or change conversations" in report.out
    trusted = {"CHAINLIT_SQLA_TRUSTED_ROLES": f"{analyst}, {auditor}"}
    assert cli("doctor", *options, **trusted).code == 0
    repair = re.search(r"REVOKE .* CASCADE", report.out)
    assert repair
    server.sql(*repair[0].split("; "))
    assert cli("doctor", *options).code == 0


def test_an_app_with_a_role_of_its_own_keeps_its_grants(server: Server, cli: Command) -> None:
    group = server.role("group")
    app, owner = server.role("app", f"IN ROLE {group}"), server.role("owner")
    server.sql(f"GRANT ALL ON SCHEMA public TO {owner}")
    by_default, by_hand = server.role("migrated"), {"--url": server.url_of(owner)}
    server.sql(f"ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT SELECT ON TABLES TO {by_default}")
    trusted = {"CHAINLIT_SQLA_TRUSTED_ROLES": f"{by_default},{group}"}
    url = by_hand["--url"]
    assert cli("upgrade", "--url", url, **trusted).code == 0
    server.sql(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {group}")
    assert cli("upgrade", "--url", url, **trusted).code == 0
    assert "SELECT 1 FROM steps" in server.open_to(by_default)

    async def write() -> object:
        layer = SQLADataLayer(server.url_of(app))
        await layer.create_step({"id": "s", "threadId": "t", "type": "tool", "output": "kept"})
        thread = await layer.get_thread("t")
        await layer.close()
        return thread and thread["steps"][0]["output"]

    assert run_apart(write()) == "kept"
    assert cli("doctor", "--url", url, **trusted).code == 0
    # The app's own role needs no setting; what others got by default is reported to it, too.
    assert by_default in cli("doctor", "--url", server.url_of(app)).out
    server.sql(f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {by_default}")
    assert checks(cli("doctor", "--url", server.url_of(app)).out)["access"] == "ok"


def test_row_level_security_without_policies_closes_a_table(server: Server, cli: Command) -> None:
    assert cli("upgrade", "--url", server.url).code == 0
    anon, service = server.role("anon"), server.role("service", "BYPASSRLS")
    server.sql("ALTER TABLE steps ENABLE ROW LEVEL SECURITY", f"GRANT SELECT ON steps TO {anon}")
    assert cli("doctor", "--url", server.url).code == 0
    server.sql(f"GRANT SELECT ON steps TO {service}")
    report = cli("doctor", "--url", server.url)
    assert f"{service} may read" in report.out
    assert anon not in report.out
    server.sql(
        f"REVOKE ALL ON steps FROM {service}", "CREATE POLICY p ON steps TO PUBLIC USING (true)"
    )
    assert f"{anon} may read" in cli("doctor", "--url", server.url).out


def test_an_adoption_closes_both_tables_and_backup(server: Server, cli: Command) -> None:
    anon = server.role("anon")
    server.default(anon)
    execute(server.url, CATALOG["postgres_v7"].file.read_text())
    assert "SELECT 1 FROM steps" in server.open_to(anon)
    done = cli("adopt", "--yes", "--url", server.url)
    assert f"Revoked what default privileges gave {anon} on" in done.out
    assert server.open_to(anon) == set()
