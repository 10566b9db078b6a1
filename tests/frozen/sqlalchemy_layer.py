"""Writes the conversations through Chainlit's SQLAlchemy layer, and by SQL what it cannot write.

What lies in the wild was written by many releases, patched layers and scripts; so each
variant also gets rows that no release of today would write.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import quote

from chainlit.data.sql_alchemy import SQLAlchemyDataLayer
from chainlit.element import Audio, CustomElement, Element, Image, Pdf, Text, Video
from chainlit.types import Feedback
from chainlit.user import User

from tests.frozen import conversations as said
from tests.frozen.odd_rows import ODD_ROWS
from tests.frozen.variants import Variant
from tests.official.backends import FolderClient

Row = dict[str, Any]

KINDS: dict[str, type[Element]] = {
    "image": Image,
    "pdf": Pdf,
    "custom": CustomElement,
    "audio": Audio,
    "video": Video,
    "text": Text,
}
_ATTRIBUTES = {"threadId": "thread_id", "forId": "for_id", "autoPlay": "auto_play"} | {
    "playerConfig": "player_config",
    "type": "",
}


def element(values: Row) -> Element:
    """Chainlit's object for an element."""
    given = {_ATTRIBUTES.get(key, key): value for key, value in values.items()}
    given.pop("")
    return KINDS[values["type"]](**given)


class Bucket(FolderClient):
    """A store whose links end, so the links that the layer stores are of no use."""

    async def get_read_url(self, object_key: str) -> str:
        return f"https://bucket.example/{quote(object_key)}?X-Amz-Expires=3600&X-Amz-Signature=0"


class Strict(SQLAlchemyDataLayer):
    """The layer with a clock that stands, and with the errors that it only logs."""

    clock = ""

    async def get_current_timestamp(self) -> str:
        return self.clock

    async def execute_sql(self, query: str, parameters: dict[str, Any]) -> Any:
        result = await super().execute_sql(query, parameters)
        if result is None:
            raise RuntimeError(f"refused: {query} {sorted(parameters)}")
        return result


def open_layer(variant: Variant, url: str, folder: Path) -> Strict:
    """Open the layer on a database.

    Args:
        variant: The shape of the database.
        url: ``postgresql://…`` or ``sqlite:///…``.
        folder: For the attachments.
    """
    options: dict[str, Any] = {}
    if variant.schema:
        options["server_settings"] = {"search_path": variant.schema}
    driver = url.replace("sqlite://", "sqlite+aiosqlite://", 1)
    driver = driver.replace("postgresql://", "postgresql+asyncpg://", 1)
    return Strict(driver, connect_args=options, storage_provider=Bucket(folder))


class Writer:
    """Writes into one database.

    Args:
        variant: Its shape.
        layer: The layer that is open on it.
    """

    def __init__(self, variant: Variant, layer: Strict) -> None:
        self.variant = variant
        self.layer = layer

    async def write(self) -> None:
        """Write everything that the variant can hold."""
        if self.variant.bare:
            await self._make_unique()
        for user in said.USERS:
            self.layer.clock = user["createdAt"]
            with patch.object(uuid, "uuid4", return_value=uuid.UUID(user["id"])):
                await self.layer.create_user(User(user["identifier"], metadata=user["metadata"]))
        for thread in said.THREADS:
            await self._thread(thread)
        for values in said.ELEMENTS:
            await self._element(values)
        for values in said.FEEDBACKS:
            await self._feedback(values)
        if self.variant.bare:
            await self._make_plain()
        await self._rows_of_others()

    async def _thread(self, thread: Row) -> None:
        id = said.thread_id(thread["number"])
        self.layer.clock = said.thread_time(thread["number"])
        await self.layer.update_thread(
            id,
            name=thread["name"],
            user_id=said.USER_IDS[thread["user"]] if thread["user"] else None,
            metadata=thread["metadata"],
            tags=self._value("tags", thread["tags"]),
        )
        for values in said.STEPS:
            if values["threadId"] == id:
                known = self.variant.columns("steps")
                sent = {key: self._value(key, values[key]) for key in values if key in known}
                await self.layer.create_step(sent)  # type: ignore[arg-type]

    async def _element(self, values: Row) -> None:
        known = self.variant.columns("elements")
        sent = element(values)
        everything = sent.to_dict()
        kept = {key: self._value(key, value) for key, value in everything.items() if key in known}
        if "props" in kept:
            kept["props"] = everything["props"]  # The layer makes text of these alone.
        sent.to_dict = lambda: dict(kept)  # type: ignore[assignment,method-assign,typeddict-item]
        await self.layer.create_element(sent)

    async def _feedback(self, values: Row) -> None:
        values = dict(values)
        if "threadId" not in self.variant.columns("feedbacks"):
            values["threadId"] = None  # So it is left out.
        await self.layer.upsert_feedback(Feedback(**values))

    async def _rows_of_others(self) -> None:
        no_step = "" if self.variant.types["uuid"] == "TEXT" else None
        await self.insert("elements", {**said.TASK_LIST, "forId": no_step})
        await self.insert("elements", said.LINK)
        await self.insert("feedbacks", said.SECOND_FEEDBACK)
        for values in said.BARE_STEPS:
            await self.insert("steps", values)
        await self.layer.execute_sql(
            'UPDATE threads SET "createdAt" = NULL WHERE id = :id', {"id": said.thread_id(5)}
        )
        for id, metadata in ((said.thread_id(3), "null"), (said.thread_id(7), None)):
            await self.layer.execute_sql(
                "UPDATE threads SET metadata = :metadata WHERE id = :id",
                {"id": id, "metadata": metadata},
            )
        for statement in ODD_ROWS.get(self.variant.name, ()):
            await self.layer.execute_sql(statement.replace(":", "\\:"), {})

    async def insert(self, table: str, values: Mapping[str, Any]) -> None:
        """Insert a row by SQL, without the columns that the variant has not."""
        known = self.variant.columns(table)
        row = {key: self._value(key, value) for key, value in values.items() if key in known}
        names = ", ".join(f'"{key}"' for key in row)
        places = ", ".join(f":{key}" for key in row)
        await self.layer.execute_sql(f"INSERT INTO {table} ({names}) VALUES ({places})", row)

    def _value(self, column: str, value: Any) -> Any:
        """A value as the column takes it, which the layer does not see to everywhere."""
        if isinstance(value, list) and self.variant.has_texts():
            return value
        if isinstance(value, (list, dict)) and column != "generation":
            return value if column == "metadata" else json.dumps(value)
        return value

    async def _make_unique(self) -> None:
        """Make what the layer's upserts need; somebody dropped it later."""
        for table in ("users", "threads", "steps", "elements", "feedbacks"):
            await self.layer.execute_sql(f'CREATE UNIQUE INDEX tmp_{table} ON {table} ("id")', {})

    async def _make_plain(self) -> None:
        for table in ("users", "threads", "steps", "elements", "feedbacks"):
            await self.layer.execute_sql(f"DROP INDEX tmp_{table}", {})
