"""Every frozen database arrives whole on every database of ours."""

from __future__ import annotations

import pytest

from tests.frozen import conversations as sample
from tests.frozen import original
from tests.frozen.catalog import CATALOG, names
from tests.frozen.comparable import Conversations, differences
from tests.frozen.load import Shelf, execute
from tests.importers.conftest import Targets, assert_equal, run_import, url_of

ORIGINS = names("chainlit", "wild", "prisma")
PAIRS = [
    *((name, "sqlite") for name in ORIGINS),
    *(
        (name, "postgresql")
        for name in ("sqlite_text", "sqlite_duplicates", "postgres_v8", "postgres_prisma")
    ),
    *((name, "mariadb") for name in ("sqlite_no_foreign_keys", "postgres_text_ids")),
    ("sqlite_v8", "mysql"),
]
"""What an origin becomes is the same everywhere; how it is written is not."""


def _expected(name: str, conversations: Conversations) -> Conversations:
    if CATALOG[name].kind == "prisma":
        # An element without a thread belongs to that of its step; Chainlit does not show it.
        elements = conversations["threads"][sample.thread_id(1)]["elements"]
        shape = dict.fromkeys(next(iter(elements.values()))[0])
        elements[sample.element_id(10)] = [
            shape
            | {
                "id": sample.element_id(10),
                "type": "image",
                "name": "in no thread",
                "mime": "image/png",
                "url": "https://pictures.example/c.png",
                "forId": sample.step_id(1, 1),
            }
        ]
    return conversations


@pytest.mark.parametrize(("name", "dialect"), PAIRS)
async def test_what_chainlits_layer_reads_is_read_from_ours(
    frozen: Shelf, targets: Targets, name: str, dialect: str
) -> None:
    expected = _expected(name, await original.read(frozen, name))
    target = await targets.make(dialect)
    assert_equal(await run_import(frozen.load(name), target, name=name))
    assert differences(expected, await original.read_ours(url_of(target))) == []


async def test_tables_without_rowid_are_read_in_the_order_of_their_createdat(
    frozen: Shelf, targets: Targets
) -> None:
    url, target = frozen.empty("sqlite"), await targets.make("sqlite")
    head, insert, rows = CATALOG["sqlite_v8"].file.read_bytes().decode().partition("INSERT INTO")
    execute(url, head.replace("\n);", "\n) WITHOUT ROWID;") + insert + rows)
    assert_equal(await run_import(url, target))
    expected = await original.read(frozen, "sqlite_v8")
    assert differences(expected, await original.read_ours(url_of(target))) == []


async def test_tables_of_a_second_layer_are_reported(frozen: Shelf, targets: Targets) -> None:
    url, target = frozen.load("postgres_prisma"), await targets.make("sqlite")
    execute(url, CATALOG["postgres_v8"].file.read_bytes().decode())
    first = await run_import(url, target)
    assert [note for note in first.notes if "--layer asyncpg" in note]
    second = await run_import(url, await targets.make("sqlite"), layer="asyncpg")
    assert not [note for note in second.notes if "--layer" in note]
    assert first.rows > 0 < second.rows
    assert_equal(second)
