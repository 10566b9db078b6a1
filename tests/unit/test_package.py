"""The package root: its public names, its version, and what importing it changes."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import chainlit_sqla
from chainlit_sqla import errors
from chainlit_sqla.database import Database, migrator
from tests.servers.fixtures import *  # noqa: F403
from tests.servers.fixtures import url_of
from tests.until import PATIENCE

CHANGES = """
import gc, json, os, sys
import chainlit.server
from chainlit.server import app

def state():
    return {
        "routes": [repr(route) for route in app.router.routes],
        "middleware": [repr(item) for item in app.user_middleware],
        "garbage collector": [gc.isenabled(), gc.get_threshold(), gc.get_freeze_count()],
        "environment": dict(os.environ),
        "files": sorted(os.listdir(".")),
        "recursion limit": sys.getrecursionlimit(),
    }

before = state()
import chainlit_sqla
lazy = [name for name in sys.modules if name.startswith("chainlit_sqla.")]
import chainlit_sqla.data_layer
after = state()
changed = [name for name in before if before[name] != after[name]]
count = len(app.router.routes)
layer = chainlit_sqla.data_layer.SQLADataLayer("sqlite:///chats.db")
added = [len(app.router.routes) - count, app.router.routes[0].__class__.__name__]
print(json.dumps([lazy, changed, added]))
"""

FIRST_QUERY = """
import asyncio, json, sys
import chainlit, chainlit.data

before = set(sys.modules)
from chainlit_sqla import SQLADataLayer

async def main():
    layer = SQLADataLayer(*sys.argv[1:2], storage=sys.argv[2])
    assert await layer.get_user("nobody") is None
    imported = sorted(set(sys.modules) - before)
    await layer.close()
    return imported

print(json.dumps(asyncio.run(main())))
"""
NOT_IMPORTED = {
    "alembic",
    "aiobotocore",
    "botocore",
    "google.auth",
    "google.cloud.storage",
    "azure.core",
    "azure.identity",
    "azure.storage.blob",
    "typer",
    "rich",
    "markdown_it",
    "chainlit_sqla.cli",
    "chainlit_sqla.demo",
    "chainlit_sqla.transfer",
    "chainlit_sqla.storage.copy",
    "chainlit_sqla.storage.consistency_check",
    "chainlit_sqla.storage.s3.upload",
}
DIALECTS = {
    "sqlite": {"aiosqlite", "sqlalchemy.dialects.sqlite", "chainlit_sqla.dialects.sqlite"},
    "postgresql": {
        *("asyncpg", "sqlalchemy.dialects.postgresql", "chainlit_sqla.dialects.postgresql"),
    },
    "mysql": {"asyncmy", "sqlalchemy.dialects.mysql", "chainlit_sqla.dialects.mysql"},
}
STORES = ("file:///files", "s3://bucket", "gs://bucket", "az://bucket?account=acme")


def run(script: str, folder: Path, *arguments: str) -> Any:
    """Run Python code in a process of its own and return the JSON that it prints."""
    process = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env={**os.environ, "CHAINLIT_APP_ROOT": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])


def test_a_layer_changes_the_process_and_the_import_does_not(tmp_path: Path) -> None:
    modules, changes, added = run(CHANGES, tmp_path)
    assert (modules, changes) == (["chainlit_sqla.errors"], [])
    assert added == [2, "WriteGuard"]


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    yield from url_of(request, tmp_path)


@pytest.mark.parametrize(
    ("url", "store"),
    [
        *(("sqlite", store) for store in STORES[:2]),
        *(pytest.param("sqlite", store, marks=pytest.mark.full) for store in STORES[2:]),
        ("postgresql", STORES[0]),
        ("mysql", STORES[0]),
    ],
    indirect=["url"],
)
async def test_the_first_query_imports_nothing_that_is_used_later(
    tmp_path: Path, url: str, store: str
) -> None:
    name = url.split(":")[0].split("+")[0]
    database = Database(url)
    await migrator.upgrade(database)
    await database.close()
    imported = run(FIRST_QUERY, tmp_path, url, store)
    assert "chainlit_sqla.data_layer" in imported
    packages = {".".join(name.split(".")[:n]) for name in imported for n in range(1, 5)}
    others = {module for other in DIALECTS if other != name for module in DIALECTS[other]}
    assert packages & (NOT_IMPORTED | others) == set()
    assert DIALECTS[name] <= packages


@pytest.mark.parametrize("name", sorted(chainlit_sqla.__all__))
def test_a_public_name_is_importable_and_documented(name: str) -> None:
    value = getattr(chainlit_sqla, name)
    assert name in dir(chainlit_sqla)
    if name != "__version__":
        assert inspect.getdoc(value)
        assert (value.__module__ or "").startswith("chainlit_sqla.")


def test_all_exceptions_are_public() -> None:
    exceptions = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.ChainlitSqlaError)
    }
    assert exceptions <= set(chainlit_sqla.__all__)
    assert all(name in (errors.__doc__ or "") for name in exceptions)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Missing'"):
        chainlit_sqla.Missing  # noqa: B018


def test_the_version_is_that_of_the_distribution() -> None:
    assert chainlit_sqla.__version__ == version("chainlit-sqla")


def test_wrapped_methods_keep_their_signatures() -> None:
    parameters = inspect.signature(chainlit_sqla.SQLADataLayer.delete_element).parameters
    assert list(parameters) == ["self", "element_id", "thread_id"]
    parameters = inspect.signature(chainlit_sqla.SQLADataLayer).parameters
    assert list(parameters) == ["database", "storage", "settings"]
