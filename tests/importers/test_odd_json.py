"""JSON that only some readers take is imported as far as it can be read."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from chainlit_sqla.models import quarantine, users
from tests.frozen.load import Shelf, execute
from tests.importers.conftest import Targets, bring, url_of
from tests.importers.odd_values import CASES, NO_OBJECT, REASON, shown, typed
from tests.importers.odd_values import write_json as write


@pytest.mark.parametrize(
    ("case", "dialect"), [(0, "postgresql"), (1, "mariadb"), (5, "mariadb"), (6, "sqlite")]
)
async def test_people_log_in_and_the_exact_text_is_kept(
    frozen: Shelf, targets: Targets, case: int, dialect: str
) -> None:
    name, type_, text, expected = CASES[case]
    url = frozen.load(name)
    if type_:
        typed(url, type_)
    write(url, text)
    target = await targets.make(dialect)
    result = await bring(name, url, target)
    assert result.comparison is not None
    assert result.comparison.equal
    assert {kind for kind, reason in result.partly if reason == REASON} == {
        "user",
        "thread",
        "step",
    }
    assert await shown(url_of(target)) == [expected] * 5
    async with target.connect() as connection:
        rows = list(await connection.scalars(select(quarantine.c.row)))
    kept = {row["generation"] for row in rows if row.get("generation")}
    assert any("1e400" in one or "NaN" in one or "ud83d" in one or "000" in one for one in kept)


async def test_metadata_that_are_no_object_are_kept(frozen: Shelf, targets: Targets) -> None:
    url = frozen.load("sqlite_v8")
    execute(url, "UPDATE users SET metadata = '\"just\"'; UPDATE threads SET metadata = '[1]'")
    target = await targets.make("mariadb")
    result = await bring("sqlite_v8", url, target)
    assert result.comparison is not None
    assert result.comparison.equal
    assert {kind for kind, reason in result.partly if reason == NO_OBJECT} == {"user", "thread"}
    assert (await shown(url_of(target)))[:3] == [{}, {}, {}]
    async with target.connect() as connection:
        assert set(await connection.scalars(select(users.c.metadata))) == {"just"}
