"""Text in a SQLite file that is no UTF-8 is imported as far as it can be read."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from chainlit_sqla.models import quarantine, users
from tests.frozen.load import Shelf, execute
from tests.importers.conftest import Targets, bring
from tests.importers.odd_values import KEYS, LATIN


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql", "mariadb"])
async def test_rows_with_broken_text_come_along_and_their_bytes_are_kept(
    frozen: Shelf, targets: Targets, dialect: str
) -> None:
    url = frozen.load("sqlite_v8")
    execute(url, LATIN + KEYS)
    target = await targets.make(dialect)
    result = await bring("sqlite_v8", url, target)
    assert result.comparison is not None
    assert result.comparison.equal
    assert result.aside["thread", "its id is no UTF-8"] == 1
    assert result.aside["step", "its thread's id is no UTF-8"] == 1
    assert result.partly["step", "a text in it is no UTF-8"] == 1
    async with target.connect() as connection:
        assert r"J\xf6rg" in list(await connection.scalars(select(users.c.identifier)))
        rows = list(await connection.scalars(select(quarantine.c.row)))
    assert {"text_base64": "R3L832U="} in [row.get("output") for row in rows]
    assert {"text_base64": "/A=="} in [row.get("threadId") for row in rows]
