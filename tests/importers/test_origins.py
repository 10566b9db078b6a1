"""Every frozen database arrives whole on every database of ours."""

from __future__ import annotations

import pytest

from tests.frozen import original
from tests.frozen.catalog import CATALOG, names
from tests.frozen.comparable import differences
from tests.frozen.load import Shelf
from tests.importers.conftest import Targets, bring, url_of
from tests.importers.corrections import corrected

ORIGINS = names("chainlit", "wild", "prisma")
SOME = (
    "sqlite_v8",
    "postgres_v1",
    "postgres_v8",
    "sqlite_text",
    "sqlite_duplicates",
    "sqlite_no_foreign_keys",
    "postgres_text_ids",
    "postgres_prisma",
)
"""What an origin becomes is the same everywhere; how it is written is not."""
PAIRS = [(name, "sqlite") for name in ORIGINS] + [
    (name, dialect) for dialect in ("postgresql", "mariadb", "mysql") for name in SOME
]


@pytest.mark.parametrize(("name", "dialect"), PAIRS)
async def test_what_chainlits_layer_read_is_read_from_ours(
    frozen: Shelf, targets: Targets, name: str, dialect: str
) -> None:
    expected = await original.read(frozen, name)
    target = await targets.make(dialect)
    result = await bring(name, frozen.load(name), target)
    assert result.comparison is not None
    assert result.comparison.equal, [str(one) for one in result.comparison.differences]
    expected = corrected(name, expected)
    assert (
        differences(
            expected,
            await original.read_ours(url_of(target)),
        )
        == []
    )


def test_each_origin_is_known() -> None:
    assert {CATALOG[name].kind for name in ORIGINS} >= {"chainlit", "wild"}
