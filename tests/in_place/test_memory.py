"""However long messages are, an adoption and its way back hold a few of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.frozen.load import Shelf, execute
from tests.importers.bulk import fill_database, run
from tests.importers.test_memory import BOUND, STEPS, lengthen


@pytest.mark.full
@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
async def test_of_one_thread_with_long_messages(
    frozen: Shelf, tmp_path: Path, dialect: str
) -> None:
    url = frozen.empty(dialect)
    await fill_database(url, STEPS)
    lengthen(url)
    execute(url, 'UPDATE steps SET "threadId" = (SELECT id FROM threads ORDER BY id LIMIT 1)')
    assert run("adopt", "--yes", "--url", url).peak < BOUND
    execute(url, "UPDATE steps SET extra = '{\"mood\": \"good\"}', output = output || 'x'")
    file = str(tmp_path / "rest.jsonl")
    done = run("unadopt", "--yes", "--url", url, "--output", file)
    assert f"step: {STEPS}" in done.output
    assert done.peak < BOUND
