"""Ways to a PostgreSQL server: TLS as URLs ask for it, several hosts, a schema, a password file."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from sqlalchemy import make_url, text

from chainlit_sqla.database import Database, migrator
from chainlit_sqla.errors import DatabaseUnavailable
from chainlit_sqla.settings import Settings
from tests.servers.ports import free_port
from tests.servers.postgres import PostgresServer
from tests.servers.postgres_process import LocalCluster, find_binaries, find_packaged_binaries
from tests.servers.require import unavailable
from tests.until import PATIENCE


class Authorities:
    """Two authorities; the first made the server's certificate, for ``localhost``."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.certificate = authority.issue_cert("localhost")
        self.right, self.wrong = folder / "right.pem", folder / "wrong.pem"
        authority.cert_pem.write_to_path(str(self.right))
        trustme.CA().cert_pem.write_to_path(str(self.wrong))


class EncryptedCluster(LocalCluster):
    def __init__(self, binaries: Path, certificate: trustme.LeafCert) -> None:
        self._certificate = certificate
        super().__init__(binaries, {"ssl": "on"})

    def _initdb(self) -> None:
        super()._initdb()
        chain = "".join(pem.bytes().decode() for pem in self._certificate.cert_chain_pems)
        self.write("data/server.crt", chain)
        key = self.write("data/server.key", self._certificate.private_key_pem.bytes().decode())
        key.chmod(0o600)


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> Authorities:
    return Authorities(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def encrypted(authorities: Authorities) -> Iterator[str]:
    binaries = find_binaries() or find_packaged_binaries()
    if binaries is None:
        unavailable("no PostgreSQL on this machine", "install it or run .ci/packages")
    server = EncryptedCluster(binaries, authorities.certificate)
    yield server.url
    server.stop()


async def answer(url: str, query: str, **settings: float) -> object:
    database = Database(url, settings=Settings.load(**{"connect_timeout": PATIENCE, **settings}))
    try:
        return await database.read(lambda connection: connection.scalar(text(query)))
    finally:
        await database.close()


async def is_encrypted(url: str) -> bool:
    return bool(await answer(url, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"))


@pytest.mark.parametrize(
    ("host", "parameters", "expected"),
    [
        ("localhost", "", True),
        ("localhost", "sslmode=disable", False),
        ("127.0.0.1", "sslmode=require", True),
        ("localhost", "sslrootcert={right}", True),
        ("localhost", "sslmode=verify_full&sslrootcert={right}", True),
        ("localhost", "sslmode=require&channel_binding=require&sslrootcert={right}", True),
        ("127.0.0.1", "sslmode=verify-ca&sslrootcert={right}", True),
        ("127.0.0.1", "sslmode=require&sslrootcert={right}", True),
        ("127.0.0.1", "sslrootcert={right}", "certificate"),
        ("127.0.0.1", "sslmode=verify-full&sslrootcert={right}", "certificate"),
        ("127.0.0.1", "channel_binding=require&sslrootcert={right}", "certificate"),
        ("localhost", "sslrootcert={wrong}", "certificate"),
        ("localhost", "sslmode=verify-ca&sslrootcert={wrong}", "certificate"),
        ("localhost", "sslmode=require&sslrootcert={wrong}", "certificate"),
        ("localhost", "sslmode=verify-full", "certificate"),
        ("localhost", "sslrootcert=system", "certificate"),
        ("localhost", "sslmode=require&channel_binding=require", "certificate"),
    ],
)
async def test_tls(
    encrypted: str, authorities: Authorities, host: str, parameters: str, expected: bool | str
) -> None:
    files = {"right": authorities.right, "wrong": authorities.wrong}
    url = encrypted.replace("127.0.0.1", host) + "?" + parameters.format(**files)
    if isinstance(expected, bool):
        assert await is_encrypted(url) is expected
    else:
        with pytest.raises(DatabaseUnavailable, match=f"cannot be reached.*{expected}"):
            await is_encrypted(url)


@pytest.mark.parametrize("parameters", ["sslmode=require", "sslrootcert={right}"])
async def test_a_server_without_tls_gets_no_plain_text(
    postgres: PostgresServer, authorities: Authorities, parameters: str
) -> None:
    url = f"{postgres.url}?{parameters.format(right=authorities.right)}"
    with pytest.raises(DatabaseUnavailable, match="rejected SSL upgrade"):
        await is_encrypted(url)


async def test_several_hosts(postgres: PostgresServer) -> None:
    host, port = postgres.address
    url, closed = make_url(postgres.url), f"127.0.0.1:{free_port()}"
    login = f"postgresql://{url.username}:{url.password}"
    for form in (
        f"@{closed},{host}:{port}/postgres",
        f"@/postgres?host={closed}&host={host}:{port}",
    ):
        assert await answer(login + form, "SELECT 1") == 1
        writable = f"{login}{form}{'&' if '?' in form else '?'}target_session_attrs=read-write"
        assert await answer(writable, "SELECT 1") == 1
    with pytest.raises(DatabaseUnavailable, match=f"at {closed}, {closed} cannot be reached"):
        await answer(f"{login}@{closed},{closed}/postgres", "SELECT 1")
    with pytest.raises(DatabaseUnavailable, match=r"match the target.*standby"):
        await answer(f"{login}@{host}:{port}/postgres?target_session_attrs=standby", "SELECT 1")


async def test_a_silent_host_is_passed_over_at_the_next_attempt(postgres: PostgresServer) -> None:
    host, port = postgres.address
    url = make_url(postgres.url)
    with socket.create_server(("127.0.0.1", free_port())) as silent:
        hosts = f"127.0.0.1:{silent.getsockname()[1]},{host}:{port}"
        address = f"postgresql://{url.username}:{url.password}@{hosts}/postgres"
        database = Database(address, settings=Settings.load(connect_timeout=0.5))
        with pytest.raises(DatabaseUnavailable, match="does not answer"):
            await database.read(lambda connection: connection.scalar(text("SELECT 1")))
        assert await database.read(lambda connection: connection.scalar(text("SELECT 1"))) == 1
        await database.close()


async def test_parameters_reach_the_server(postgres_url: str, tmp_path: Path) -> None:
    named = f"{postgres_url}?application_name=mine"
    assert await answer(named, "SHOW application_name") == "mine"
    path = f"{postgres_url}?options=-csearch_path%3Dchats"
    assert await answer(path, "SHOW search_path") == "chats"
    url = make_url(postgres_url)
    passwords = tmp_path / "passwords"
    passwords.write_text(f"*:*:*:*:{url.password}\n")
    passwords.chmod(0o600)
    login = f"{url.username}@{url.host}:{url.port}/{url.database}"
    assert await answer(f"postgresql://{login}?passfile={passwords}", "SELECT 1") == 1


async def test_the_schema_of_a_url_holds_the_tables(
    postgres_url: str, postgres: PostgresServer
) -> None:
    for parameter, schema in (("schema", "prisma"), ("currentSchema", "jdbc")):
        database = Database(f"{postgres_url}?{parameter}={schema}")
        await migrator.upgrade(database)
        await database.close()
        query = "SELECT schemaname FROM pg_tables WHERE tablename = 'steps' AND schemaname = $1"
        assert postgres.execute(query, schema, url=postgres_url)
