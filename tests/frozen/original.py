"""What Chainlit's own layers read from a frozen database, as plain data to compare with.

The layers read less than is stored: what their queries leave out is added here from the
rows (`_LEFT_OUT`), so that the comparison is with all that there is.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from chainlit.data.chainlit_data_layer import ChainlitDataLayer
from chainlit.data.sql_alchemy import SQLAlchemyDataLayer
from sqlalchemy import select

from chainlit_sqla import SQLADataLayer
from chainlit_sqla.database import Database
from chainlit_sqla.models import threads, users
from chainlit_sqla.settings import Settings
from tests.frozen import comparable
from tests.frozen.catalog import CATALOG
from tests.frozen.comparable import Conversations, Row
from tests.frozen.load import Shelf, execute, with_driver
from tests.official.backends import FolderClient

_LEFT_OUT = {
    # Not selected, but "input": that is blanked where showInput is "false" or nothing.
    "steps": ("input", "command", "modes", "defaultOpen", "autoCollapse"),
    "elements": ("autoPlay", "playerConfig"),
}
_READ: dict[str, Conversations] = {}
"""What was read from frozen databases, which never change."""


class Strict(SQLAlchemyDataLayer):
    """Chainlit's layer with a clock that stands, and with the errors that it only logs."""

    async def get_current_timestamp(self) -> str:
        return "2026-02-01T00:00:00.000000Z"

    async def execute_sql(self, query: str, parameters: dict[str, Any]) -> Any:
        result = await super().execute_sql(query, parameters)
        if result is None:
            raise RuntimeError(f"refused: {query} {sorted(parameters)}")
        return result


def open_layer(name: str, url: str, folder: Path) -> Strict:
    """Open Chainlit's SQLAlchemy layer on what was loaded from a frozen database."""
    schema = CATALOG[name].schema
    options = {"server_settings": {"search_path": schema}} if schema else {}
    storage = FolderClient(folder)
    return Strict(with_driver(url), connect_args=options, storage_provider=storage)


async def read(shelf: Shelf, name: str) -> Conversations:
    """Read a frozen database of Chainlit's through the layer that it was made for."""
    if name not in _READ:
        url = shelf.load(name)
        if CATALOG[name].kind == "prisma":
            _READ[name] = await _read_asyncpg(shelf, url)
        else:
            _READ[name] = await read_at(shelf, name, url)
    return copy.deepcopy(_READ[name])


async def read_ours(url: str, **settings: Any) -> Conversations:
    """Read all conversations through our layer, from a database at the newest revision."""
    database = Database(url, settings=Settings.load(**settings))
    layer = SQLADataLayer(database, settings=database.settings)
    try:
        async with database.connect() as connection:
            known = {
                row.id: row.identifier
                for row in await connection.execute(select(users.c.id, users.c.identifier))
            }
            ids = list(await connection.scalars(select(threads.c.id)))
        found = [await layer.get_thread(id) for id in ids]
        return {
            "users": {one: [await _user(layer, one)] for one in known.values()},
            "threads": {one["id"]: comparable.thread(one, known) for one in found if one},
        }
    finally:
        await layer.close()
        await database.close()


async def _user(layer: Any, identifier: str) -> Row:
    user = await layer.get_user(identifier)
    return comparable.user(user.to_dict())


async def read_at(shelf: Shelf, name: str, url: str) -> Conversations:
    """Read what was loaded from a frozen database through Chainlit's SQLAlchemy layer."""
    layer = open_layer(name, url, shelf.folder / "no-blobs")
    try:
        rows = {table: await _rows(layer, table) for table in ("users", "steps", "elements")}
        if "props" not in rows["elements"][0]:  # Older variants; Chainlit 2.12 selects it.
            execute(url, 'ALTER TABLE elements ADD COLUMN "props" TEXT')
        identifiers = {row["id"]: row["identifier"] for row in rows["users"]}
        found = {}
        for row in await _rows(layer, "threads"):
            thread = await layer.get_thread(row["id"])
            assert thread is not None, f"{name}: Chainlit's layer cannot read {row['id']}"
            for table, columns in _LEFT_OUT.items():
                for part in thread[table]:  # type: ignore[literal-required]
                    _complete(part, rows[table], columns)
            found[row["id"]] = comparable.thread(thread, identifiers)
        return {"users": await _users(layer, rows["users"]), "threads": found}
    finally:
        await layer.close()


async def _read_asyncpg(shelf: Shelf, url: str) -> Conversations:
    layer = ChainlitDataLayer(url, storage_client=FolderClient(shelf.folder / "no-blobs"))
    try:
        users = await layer.execute_query('SELECT * FROM "User"')
        steps = await layer.execute_query('SELECT * FROM "Step"')
        names = {row["id"]: row["name"] for row in steps}
        found = {}
        identifiers = {one["id"]: one["identifier"] for one in users}
        # A deleted thread is there, but not to be read.
        for row in await layer.execute_query('SELECT * FROM "Thread" WHERE "deletedAt" IS NULL'):
            thread = await layer.get_thread(row["id"])
            assert thread is not None
            # It gives no tags, and the text "None" for a name that is not there.
            thread["tags"] = row.get("tags")
            for step in thread["steps"]:
                step["name"] = names[step["id"]]
                # It stores the createdAt that it is given there, and shows the insertion's.
                step["createdAt"] = step["start"]
            found[row["id"]] = comparable.thread(thread, identifiers)
        known = identifiers.values()
        return {"users": {one: [await _user(layer, one)] for one in known}, "threads": found}
    finally:
        await layer.close()


async def _rows(layer: SQLAlchemyDataLayer, table: str) -> list[Row]:
    found = await layer.execute_sql(f"SELECT * FROM {table}", {})
    assert isinstance(found, list)
    return found


async def _users(layer: SQLAlchemyDataLayer, rows: list[Row]) -> dict[str, list[Row]]:
    """What get_user gives, and further accounts with the same identifier."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        known = found.setdefault(row["identifier"], [])
        for one in (await _user(layer, row["identifier"]), comparable.user(row)):
            if one not in known:
                known.append(one)
    return found


def _complete(part: Any, rows: list[Row], columns: Iterable[str]) -> None:
    """Add what the layer leaves out; of two rows with one id, from the right one."""
    keys = ("id", "threadId", "name", "output")
    row = next(row for row in rows if all(row.get(key) == part.get(key) for key in keys))
    part.update({column: row[column] for column in columns if column in row})
