"""Errors while a source is read: what is missing is named, and nothing is left open."""

from __future__ import annotations

import asyncio
import gc
import sys
import warnings
from contextlib import aclosing
from typing import Any

import pytest

from chainlit_sqla.database.revision import CHAINLIT_TABLES
from chainlit_sqla.errors import ImportSourceError
from chainlit_sqla.settings import Settings
from chainlit_sqla.transfer.records import COLUMNS, TABLES
from chainlit_sqla.transfer.sources import open_source
from chainlit_sqla.transfer.sources.asyncpg_layer import AsyncpgLayerSource
from tests.frozen.load import Shelf, execute
from tests.importers.conftest import WITH_MARIADB, Targets, run_import, url_of
from tests.importers.test_import import used

OURS = {TABLES[kind].name: names for kind, names in COLUMNS.items()}
ASYNCPG = {kind.capitalize(): names for kind, names in AsyncpgLayerSource.NEEDED.items()}


@pytest.mark.parametrize(
    ("name", "needed", "repair"),
    [
        ("sqlite_v8", CHAINLIT_TABLES, "or add it as Chainlit documents it$"),
        ("postgres_prisma", ASYNCPG, "or add it as Chainlit documents it$"),
        ("sqlite", OURS, "or add it as in a new database$"),
        ("postgresql", OURS, "or add it as in a new database$"),
    ],
)
async def test_a_missing_column_is_named_whichever_it_is(
    frozen: Shelf, targets: Targets, name: str, needed: Any, repair: str
) -> None:
    url = url_of(await targets.make(name)) if needed is OURS else frozen.load(name)
    target = await targets.make("sqlite")
    for table, columns in needed.items():
        for column in columns:
            rename = f'ALTER TABLE "{table}" RENAME COLUMN "{{}}" TO "{{}}"'
            execute(url, rename.format(column, "gone"))
            match = f"the table {table} has no column {column}, .*{repair}"
            with pytest.raises(ImportSourceError, match=match):
                await run_import(url, target)
            execute(url, rename.format("gone", column))
    assert (await run_import(url, target)).read["thread"] >= 0


async def fail_while_reading(url: str, read: str) -> None:
    async with open_source(url, Settings.load()) as source:
        async with aclosing(getattr(source, read)()) as chunks:
            async for _ in chunks:
                raise ZeroDivisionError
        raise ZeroDivisionError


@pytest.mark.parametrize("origin", [*WITH_MARIADB, "sqlite_v8", "postgres_prisma"])
async def test_an_error_leaves_no_cursor_to_the_garbage_collector(
    frozen: Shelf, targets: Targets, monkeypatch: pytest.MonkeyPatch, origin: str
) -> None:
    if origin in WITH_MARIADB:
        url = url_of(await targets.make(origin))
        await (await used(url)).close()
    else:
        url = frozen.load(origin)
    noise: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", noise.append)
    asyncio.get_running_loop().set_exception_handler(lambda _, context: noise.append(context))
    generators: list[Any] = []
    hooks = sys.get_asyncgen_hooks()

    def finalize(generator: Any) -> None:
        generators.append(generator)  # It was neither read to its end nor closed.
        hooks.finalizer(generator)

    sys.set_asyncgen_hooks(finalizer=finalize)
    with warnings.catch_warnings(record=True, action="always") as warned:
        for read in ("users", "threads", "rest"):
            with pytest.raises(ZeroDivisionError):
                await fail_while_reading(url, read)
        for _ in range(3):
            gc.collect()
            await asyncio.sleep(0)
    sys.set_asyncgen_hooks(*hooks)
    assert (noise, generators, [str(each.message) for each in warned]) == ([], [], [])
