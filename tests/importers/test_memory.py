"""However long messages are, an import holds a few of them: the system tells a process's peak."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from chainlit_sqla.database import Database
from tests.frozen.load import Shelf
from tests.importers.bulk import Run, fill_postgres, fill_prisma, fill_sqlite, run
from tests.servers.mysql import Kind, MySQLServer

STEPS = 125
LENGTH = 1_000_000
"""Characters of each message: 125 MB in one batch of threads."""
BOUND = 180
"""Megabytes, of which a process has about 80 before it reads anything; 200 are promised."""

Servers = Callable[[Kind], MySQLServer]


async def lengthen(url: str, table: str) -> None:
    """Make each message long, by the database itself."""
    database = Database(url)
    quote = database.engine.dialect.identifier_preparer.quote
    long = "repeat('x', :n)"
    if url.startswith("sqlite"):
        long = "replace(hex(zeroblob(:n / 2)), '0', 'x')"
    async with database.write() as connection:
        await connection.execute(text(f"UPDATE {quote(table)} SET output = {long}"), {"n": LENGTH})
    await database.close()


def moved(source: str, url: str) -> Run:
    """Import, compare, and look that all of it is there."""
    run("upgrade", "--url", url)
    done = run("import", "--from", source, "--url", url)
    assert "no difference" in done.output
    counted = ["steps", str(STEPS), str(STEPS)]
    assert any(line.split()[:3] == counted for line in done.output.splitlines())
    return done


@pytest.mark.full
@pytest.mark.parametrize("origin", ["sqlite", "postgresql", "asyncpg"])
async def test_of_chainlits_layers(frozen: Shelf, tmp_path: Path, origin: str) -> None:
    source = frozen.empty("sqlite" if origin == "sqlite" else "postgresql")
    if origin == "sqlite":
        fill_sqlite(source, STEPS)
    else:
        await (fill_prisma if origin == "asyncpg" else fill_postgres)(source, STEPS)
    await lengthen(source, "Step" if origin == "asyncpg" else "steps")
    done = await asyncio.to_thread(moved, source, f"sqlite:///{tmp_path}/target.db")
    assert done.peak < BOUND, done


@pytest.mark.parametrize(
    "dialect", ["sqlite", pytest.param("postgresql", marks=pytest.mark.full), "mariadb"]
)
async def test_of_ours(frozen: Shelf, mysql_servers: Servers, tmp_path: Path, dialect: str) -> None:
    fill_sqlite(f"sqlite:///{tmp_path}/old.db", STEPS)
    server = mysql_servers(dialect) if dialect in ("mariadb", "mysql") else None  # type: ignore[arg-type]
    source = server.create_database() if server else frozen.empty(dialect)
    back = server.create_database() if server else frozen.empty(dialect)
    await asyncio.to_thread(moved, f"{tmp_path}/old.db", source)
    await lengthen(source, "steps")
    done = await asyncio.to_thread(moved, source, back)
    assert done.peak < BOUND, done
    if server:
        server.drop_database(source)
        server.drop_database(back)


def test_of_a_file(tmp_path: Path) -> None:
    with (tmp_path / "long.jsonl").open("w") as file:
        for number in range(STEPS):
            lines = [{"kind": "thread", "id": f"t{number}"}]
            lines += [{"kind": "step", "threadId": f"t{number}", "id": "s", "output": "x" * LENGTH}]
            file.writelines(json.dumps(line) + "\n" for line in lines)
    done = moved(f"{tmp_path}/long.jsonl", f"sqlite:///{tmp_path}/target.db")
    assert done.peak < BOUND, done
