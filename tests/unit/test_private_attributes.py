"""Private attributes of drivers and SDKs: in one module, and there in the installed releases."""

from __future__ import annotations

import ast
import socket
from pathlib import Path

import asyncpg
import pytest
from asyncmy.connection import Connection

import chainlit_sqla
from chainlit_sqla._internal.private_attributes import google_session, transport_of
from chainlit_sqla.storage.gcs.client import GCSStorage
from tests.servers.fixtures import postgres  # noqa: F401
from tests.servers.postgres import PostgresServer

PACKAGE = Path(chainlit_sqla.__file__).parent
OURS = {"self", "cls", "super"}
PUBLIC = {"_replace", "_asdict", "_mapping", "_fields", "_exit", "_getframe"}
"""Documented all the same, of named tuples, rows, `os` and `sys`."""


def private_reads(path: Path) -> list[str]:
    """Where a module reads a private attribute of something that may not be its own."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        name = ""
        if isinstance(node, ast.Attribute):
            owner = node.value.func if isinstance(node.value, ast.Call) else node.value
            if not (isinstance(owner, ast.Name) and owner.id in OURS):
                name = node.attr
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("getattr", "hasattr"):
            argument = node.args[1]
            name = str(argument.value) if isinstance(argument, ast.Constant) else ""
        if name.startswith("_") and not name.startswith("__") and name not in PUBLIC:
            found.append(f"{path.relative_to(PACKAGE)}: {name}")
    return found


def test_they_are_read_in_one_module() -> None:
    reads = {read for path in PACKAGE.rglob("*.py") for read in private_reads(path)}
    assert {read.partition(":")[0] for read in reads} == {"_internal/private_attributes.py"}


async def test_asyncpg_has_them(postgres: PostgresServer) -> None:  # noqa: F811
    driver = await asyncpg.connect(postgres.url)
    try:
        sock = transport_of(driver).get_extra_info("socket")
        assert sock.getpeername() == postgres.address
        assert sock.family == socket.AF_INET
        # `Connection` overrides it; prepared statements and cursors take their names from it.
        statement = await driver.prepare("SELECT 1")
        prefix = statement.get_name().rstrip("0123456789abcdef_")
        assert driver._get_unique_id("stmt").startswith(prefix)
    finally:
        await driver.close()


def test_asyncmy_has_them() -> None:
    for name in ("_transport", "_stream_broken"):
        assert hasattr(Connection, name) or hasattr(Connection(user="me"), name), name


def test_googles_client_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = GCSStorage("bucket", project="p", endpoint="http://127.0.0.1:9")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    session, token_request = google_session(storage._connect())
    for used in (session, token_request.session):
        assert used.get_adapter("https://x").poolmanager is not None
