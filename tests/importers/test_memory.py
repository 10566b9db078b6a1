"""However long messages are, an import holds a few of them: the system tells a process's peak."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.frozen.load import Shelf, execute
from tests.importers.bulk import Run, fill, fill_database, run
from tests.importers.conftest import DIALECTS

STEPS = 125
LENGTH = 1_000_000
"""Characters of each message: 125 MB in one batch of threads."""
BOUND = 180
"""Megabytes, of which a process has about 80 before it reads anything; 200 are promised."""


def lengthen(url: str) -> None:
    """Make each message long, by the database itself."""
    long = f"repeat('x', {LENGTH})"
    if url.startswith("sqlite"):
        long = f"replace(hex(zeroblob({LENGTH // 2})), '0', 'x')"
    execute(url, f"UPDATE steps SET output = {long}")


def moved(source: str, url: str) -> Run:
    """Import, compare, and look that all of it is there."""
    run("upgrade", "--url", url)
    done = run("import", "--from", source, "--url", url)
    assert "no difference" in done.output
    counted = ["steps", str(STEPS), str(STEPS)]
    assert any(line.split()[:3] == counted for line in done.output.splitlines())
    return done


@pytest.mark.full
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_of_chainlits_layer(frozen: Shelf, tmp_path: Path, dialect: str) -> None:
    source = frozen.empty(dialect)
    await fill_database(source, STEPS)
    await asyncio.to_thread(lengthen, source)
    done = await asyncio.to_thread(moved, source, f"sqlite:///{tmp_path}/target.db")
    assert done.peak < BOUND, done


@pytest.mark.parametrize(
    "dialect", ["sqlite", pytest.param("postgresql", marks=pytest.mark.full), "mariadb"]
)
async def test_of_ours(frozen: Shelf, tmp_path: Path, dialect: str) -> None:
    fill(tmp_path / "old.db", STEPS)
    source, back = frozen.empty(dialect), frozen.empty(dialect)
    await asyncio.to_thread(moved, f"{tmp_path}/old.db", source)
    await asyncio.to_thread(lengthen, source)
    done = await asyncio.to_thread(moved, source, back)
    assert done.peak < BOUND, done


def test_of_a_file(tmp_path: Path) -> None:
    with (tmp_path / "long.jsonl").open("w") as file:
        for number in range(STEPS):
            lines = [{"kind": "thread", "id": f"t{number}"}]
            lines += [{"kind": "step", "threadId": f"t{number}", "id": "s", "output": "x" * LENGTH}]
            file.writelines(json.dumps(line) + "\n" for line in lines)
    done = moved(f"{tmp_path}/long.jsonl", f"sqlite:///{tmp_path}/target.db")
    assert done.peak < BOUND, done
