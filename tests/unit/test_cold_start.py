"""What an application must not wait for when it starts: packages that are used later, or never."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from chainlit_sqla import Database, Settings
from chainlit_sqla.database import migrator as migrations
from chainlit_sqla.dialects import dialect_named
from tests.until import PATIENCE

FIRST_QUERY = """
import asyncio, gc, json, sys
import chainlit, chainlit.data

theirs = set(sys.modules)
from chainlit_sqla import SQLADataLayer

async def main():
    layer = SQLADataLayer(sys.argv[1])
    assert await layer.get_user("nobody") is None
    found = sorted(set(sys.modules) - theirs)
    await layer.close()
    return found

found = asyncio.run(main())
assert gc.isenabled()
print(json.dumps(found))
"""

LATER = {
    "alembic",
    "mako",
    "aiobotocore",
    "botocore",
    "boto3",
    "google",
    "azure",
    "typer",
    "rich",
    "asyncpg",
    "chainlit_sqla.cli",
    "chainlit_sqla.storage.s3.client",
    "chainlit_sqla.dialects.postgresql.dialect",
    "sqlalchemy.dialects.postgresql",
}


@pytest.fixture
async def ready(tmp_path: Path) -> str:
    """A SQLite file whose schema is up to date."""
    url = f"sqlite:///{tmp_path / 'chats.db'}"
    database = Database(url, settings=Settings.load(database_url=url))
    await migrations.upgrade(database)
    await database.close()
    return url


async def test_the_first_query_imports_nothing_that_is_used_later(
    ready: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FIRST_QUERY, ready],
        env={**os.environ, "CHAINLIT_APP_ROOT": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert "chainlit_sqla.data_layer" in found
    imported = {
        name for name in LATER for one in found if one == name or one.startswith(f"{name}.")
    }
    assert imported == set()


def test_both_names_of_a_database_are_one_dialect() -> None:
    assert dialect_named("postgres") is dialect_named("postgresql")
