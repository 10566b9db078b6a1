"""Numbers in documents that double precision would round keep all their digits."""

from __future__ import annotations

import pytest

from chainlit_sqla.transfer.records import Record
from tests.frozen.load import Shelf
from tests.importers.conftest import Targets, bring, url_of
from tests.importers.odd_values import EXPECTED, documents
from tests.importers.odd_values import write_numbers as write


@pytest.mark.parametrize(
    ("origin", "dialect"),
    [("postgres_v8", "sqlite"), ("sqlite_v8", "postgresql"), ("postgres_v8", "mariadb")],
)
async def test_an_import_and_another_one_after_it_keep_them(
    frozen: Shelf, targets: Targets, origin: str, dialect: str
) -> None:
    url = frozen.load(origin)
    write(url)
    between, target = await targets.make(dialect), await targets.make("postgresql")
    for source, to in ((url, between), (url_of(between), target)):
        result = await bring(source, source, to)
        assert result.comparison is not None
        assert result.comparison.equal
    assert await documents(url_of(target)) == [EXPECTED, EXPECTED]


async def test_a_database_that_rounds_them_is_not_told_to_differ(
    frozen: Shelf, targets: Targets
) -> None:
    url = frozen.load("sqlite_v8")
    write(url)
    result = await bring(url, url, await targets.make("mysql"))
    assert result.comparison is not None
    assert result.comparison.equal


def test_a_line_of_an_export_has_all_digits() -> None:
    line = (
        b'{"kind":"user","id":"1","identifier":"me","metadata":{"n":0.12345678901234567890},'
        b'"createdAt":"2026-01-01T00:00:00.000000Z"}'
    )
    assert b'{"n":0.12345678901234567890}' in Record.parse(line).line()
