"""Every frozen database arrives whole on every database of ours."""

from __future__ import annotations

import pytest

from chainlit_sqla.errors import ImportSourceError
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


async def test_tables_of_both_layers_are_imported_one_after_the_other(
    frozen: Shelf, targets: Targets
) -> None:
    url, target = frozen.load("postgres_prisma"), await targets.make("sqlite")
    execute(url, CATALOG["postgres_v8"].file.read_bytes().decode())
    with pytest.raises(ImportSourceError, match="--layer sqlalchemy, then --layer asyncpg"):
        await run_import(url, target)
    for layer in ("sqlalchemy", "asyncpg"):
        result = await run_import(url, await targets.make("sqlite"), layer=layer)
        assert result.rows
        assert_equal(result)
