"""Every frozen database arrives whole on every database of ours."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.frozen import original
from tests.frozen.catalog import CATALOG, names
from tests.frozen.comparable import differences
from tests.frozen.load import Shelf
from tests.importers.conftest import Targets, bring, url_of
from tests.importers.corrections import corrected

TARGETS = ("sqlite", "postgresql")
ORIGINS = names("chainlit", "wild", "prisma")


@pytest.mark.parametrize("dialect", TARGETS)
@pytest.mark.parametrize("name", ORIGINS)
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


@pytest.mark.parametrize("name", ORIGINS)
async def test_every_row_is_there_or_was_put_aside(
    frozen: Shelf, targets: Targets, name: str
) -> None:
    target = await targets.make("sqlite")
    result = await bring(name, frozen.load(name), target)
    assert result.comparison is not None
    aside: Counter[str] = Counter()
    for (kind, _), count in result.aside.items():
        aside[kind] += count
    assert result.comparison.same + aside == result.read


def test_each_origin_is_known() -> None:
    assert {CATALOG[name].kind for name in ORIGINS} >= {"chainlit", "wild"}
