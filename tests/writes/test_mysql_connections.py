"""Ways to a MySQL server: TLS as URLs ask for it, a Unix socket, odd passwords."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import trustme
from sqlalchemy import text

from chainlit_sqla.database import Database
from chainlit_sqla.errors import DatabaseUnavailable
from chainlit_sqla.settings import Settings
from tests.servers.mysql_process import LocalServer, find_program
from tests.servers.ports import free_port
from tests.servers.require import unavailable
from tests.until import PATIENCE

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    """MySQL makes certificates for itself."""
    program = find_program("mysql")
    if program is None:
        unavailable("no MySQL on this machine", "install it or run .ci/packages")
    made = LocalServer(program)
    yield made
    made.stop()


async def cipher(url: str) -> str:
    """How the connection is encrypted; empty: not."""
    database = Database(url, settings=Settings.load(connect_timeout=PATIENCE))
    try:
        query = text("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
        row = await database.read(lambda c: first(c, query))
        return str(row[1])
    finally:
        await database.close()


async def first(connection, query):  # type: ignore[no-untyped-def]
    return (await connection.execute(query)).one()


def authority(server: LocalServer) -> Path:
    return server.socket.parent / "data" / "ca.pem"


async def test_a_url_asks_for_tls(server: LocalServer) -> None:
    assert await cipher(server.url) == ""
    for mode in ("ssl-mode=REQUIRED", "sslmode=require", "ssl=true", "tls=skip-verify"):
        assert await cipher(f"{server.url}?{mode}"), mode
    folder = authority(server).parent
    client = f"ssl_cert={folder / 'client-cert.pem'}&ssl_key={folder / 'client-key.pem'}"
    assert await cipher(f"{server.url}?{client}"), "a certificate asks for TLS, too"
    for mode in ("ssl-mode=DISABLED", "sslmode=disable"):
        assert await cipher(f"{server.url}?{mode}") == "", mode


async def test_the_servers_certificate_is_checked(server: LocalServer) -> None:
    assert await cipher(f"{server.url}?ssl-mode=VERIFY_CA&ssl_ca={authority(server)}")
    for refused in ("ssl-mode=VERIFY_CA", f"ssl-mode=VERIFY_IDENTITY&ssl_ca={authority(server)}"):
        with pytest.raises(DatabaseUnavailable, match=r"cannot be reached.*certificate"):
            await cipher(f"{server.url}?{refused}")


@pytest.mark.parametrize("kind", ["mariadb", "mysql"])
async def test_the_name_in_the_certificate_is_checked(kind: str) -> None:
    program = find_program(kind)
    if program is None:
        unavailable(f"no {kind} on this machine", "install it or run .ci/packages")
    right, certificate = trustme.CA(), "certificate"
    with tempfile.TemporaryDirectory() as name:  # The server's user cannot enter pytest's folders.
        folder = Path(name)
        folder.chmod(0o755)
        leaf = right.issue_cert("localhost")
        leaf.cert_chain_pems[0].write_to_path(str(folder / "server.pem"))
        leaf.private_key_pem.write_to_path(str(folder / "server.key"))
        right.cert_pem.write_to_path(str(folder / "right.pem"))
        trustme.CA().cert_pem.write_to_path(str(folder / "wrong.pem"))
        for path in folder.iterdir():
            path.chmod(0o644)
        files = {"ssl-cert": folder / "server.pem", "ssl-key": folder / "server.key"}
        server = LocalServer(program, {**files, "ssl-ca": folder / "right.pem"})
        by_name = server.url.replace("127.0.0.1", "localhost")
        try:
            for parameters in ("ssl_ca=", "ssl-verify-identity=true&ssl_ca=", "sslrootcert="):
                assert await cipher(f"{by_name}?{parameters}{folder}/right.pem")
                for url in (
                    f"{server.url}?{parameters}{folder}/right.pem",
                    f"{by_name}?{parameters}{folder}/wrong.pem",
                ):
                    with pytest.raises(DatabaseUnavailable, match=certificate):
                        await cipher(url)
            assert await cipher(f"{server.url}?ssl-mode=VERIFY_CA&ssl_ca={folder}/right.pem")
            with pytest.raises(DatabaseUnavailable, match=certificate):
                await cipher(f"{by_name}?ssl_verify_identity=true")
        finally:
            server.stop()


@pytest.mark.parametrize("parameters", ["ssl-mode=REQUIRED", "ssl_verify_identity=true"])
async def test_a_server_without_tls_gets_no_plain_text(parameters: str) -> None:
    program = find_program("mariadb")
    if program is None:
        unavailable("no MariaDB on this machine", "install it or run .ci/packages")
    server = LocalServer(program, {"skip-ssl": "ON"})
    try:
        with pytest.raises(DatabaseUnavailable):
            await cipher(f"{server.url}?{parameters}")
    finally:
        server.stop()


async def test_a_server_that_never_says_a_word_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as silent:
        url = f"mysql://me:secret@127.0.0.1:{silent.getsockname()[1]}/chats"
        database = Database(url, settings=Settings.load(connect_timeout=0.3))
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(DatabaseUnavailable, match="does not answer; check the host"):
                await database.read(database.dialect.server_version)
        await database.close()


@pytest.mark.parametrize("parameters", ["unix_socket=", "serverVersion=8&read_timeout=9&socket="])
async def test_a_unix_socket(server: LocalServer, parameters: str) -> None:
    url = f"mysql://tester:{server.password}@/mysql?{parameters}{server.socket}"
    assert await cipher(url) == ""


async def test_odd_passwords_and_what_needs_tls(server: LocalServer) -> None:
    database = Database(server.url)
    password = "пароль ü@:/%'\\\"😀"
    async with database.write() as connection:
        for statement in (
            "CREATE USER odd@'%' IDENTIFIED WITH caching_sha2_password BY :password REQUIRE SSL",
            "CREATE USER plain@'%' IDENTIFIED WITH caching_sha2_password BY :password",
        ):
            await connection.execute(text(statement), {"password": password})
        for account in ("odd", "plain"):
            await connection.execute(text(f"GRANT ALL ON mysql.* TO {account}@'%'"))
    await database.close()
    secret, where = quote(password, safe=""), f"127.0.0.1:{server.port}/mysql"
    assert await cipher(f"mysql://odd:{secret}@{where}?ssl-mode=REQUIRED")
    assert await cipher(f"mysql://plain:{secret}@{where}") == "", "by the server's public key"
    with pytest.raises(DatabaseUnavailable, match="refuses the login"):
        await cipher(f"mysql://odd:{secret}@{where}")


async def test_a_server_that_takes_only_tls_says_so(server: LocalServer) -> None:
    database = Database(server.url)
    async with database.write() as connection:
        await connection.execute(text("SET GLOBAL require_secure_transport = ON"))
    try:
        with pytest.raises(DatabaseUnavailable, match=r"add \?ssl-mode=REQUIRED"):
            await cipher(server.url)
        assert await cipher(f"{server.url}?ssl-mode=REQUIRED")
    finally:
        async with database.write() as connection:
            await connection.execute(text("SET GLOBAL require_secure_transport = OFF"))
        await database.close()
