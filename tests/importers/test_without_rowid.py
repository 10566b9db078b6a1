"""Tables of SQLite made WITHOUT ROWID keep no order of writing; theirs are read all the same."""

from __future__ import annotations

from tests.frozen import original
from tests.frozen.catalog import CATALOG
from tests.frozen.comparable import differences
from tests.frozen.load import Shelf, execute
from tests.importers.conftest import Targets, bring, url_of

NAME = "sqlite_v8"


def without_rowid(frozen: Shelf) -> str:
    """The frozen database with such tables."""
    url = frozen.empty("sqlite")
    head, insert, rows = CATALOG[NAME].file.read_bytes().decode().partition("INSERT INTO")
    execute(url, head.replace("\n);", "\n) WITHOUT ROWID;") + insert + rows)
    return url


async def test_they_are_imported(frozen: Shelf, targets: Targets) -> None:
    url = without_rowid(frozen)
    expected = await original.read(frozen, NAME)
    target = await targets.make("postgresql")
    result = await bring(NAME, url, target)
    assert result.comparison is not None
    assert result.comparison.equal
    assert differences(expected, await original.read_ours(url_of(target))) == []
