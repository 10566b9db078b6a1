"""`AsyncpgLayerSource`: the tables of Chainlit's asyncpg layer, created by Prisma.

See Chainlit/chainlit-datalayer. Timestamps are UTC without saying so. A step's ``startTime`` is
the ``createdAt`` that Chainlit sent, while its column ``createdAt`` is the time of the insertion.
An element's type is in its metadata; feedback does not name its thread. Threads with a
``deletedAt`` are not shown by Chainlit, and are not imported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

from sqlalchemy import Select, func, select

from ..._internal.timestamps import format_instant, parse_instant
from .normalize import document
from .sqlalchemy_layer import Converted, Row, SqlAlchemyLayerSource

_DROPPED = ("updatedAt", "deletedAt", "startTime", "endTime", "stepId")
"""Columns whose values other columns of ours hold, or none needs."""
_IN_METADATA = {"size", "language", "display", "type", "page"}
"""Columns of elements that the layer keeps in their metadata."""


class AsyncpgLayerSource(SqlAlchemyLayerSource):
    """Reads a database of Chainlit's asyncpg layer, whose rows become those of the other layer."""

    TABLE_NAMES: Mapping[str, str] = {
        kind: kind.capitalize() for kind in ("user", "thread", "step", "element", "feedback")
    }
    NEEDED: Mapping[str, Set[str]] = {
        "user": {"id", "identifier", "createdAt"},
        "thread": {"id", "userId", "createdAt", "deletedAt"},
        "step": {"id", "threadId", "type", "createdAt", "startTime", "endTime"},
        "element": {"id", "threadId", "stepId", "createdAt", "metadata"},
        "feedback": {"id", "stepId", "createdAt"},
    }
    STEP_TIME = "startTime"

    async def notes(self) -> Sequence[str]:
        """How many threads are deleted in the source."""
        query = select(func.count()).select_from(self._tables["thread"].clause)
        deleted_at = self._columns("thread").deletedAt
        deleted = await self._connection.scalar(query.where(deleted_at.is_not(None)))
        note = f"Threads with a deletedAt, which Chainlit hides, are not imported: {deleted}."
        return (note,) if deleted else ()

    def _thread_ids(self) -> Select[Any]:
        return super()._thread_ids().where(self._columns("thread").deletedAt.is_(None))

    def _thread_column(self, kind: str) -> Any:
        if kind in ("thread", "step"):
            return super()._thread_column(kind)
        of_step = self._thread_of_step(kind, "stepId")
        if kind == "feedback":
            return of_step
        return func.coalesce(super()._thread_column(kind), of_step)

    def _is_document(self, kind: str, name: str) -> bool:
        return super()._is_document(kind, name) or (kind, name) == ("element", "metadata")

    def _order(self, kind: str) -> Sequence[Any]:
        """As Chainlit shows them; of several feedbacks for a step the newest counts."""
        columns = self._columns(kind)
        if kind == "step":
            return [columns.startTime, columns.createdAt, columns.id]
        created = columns.createdAt
        return [created.desc() if kind == "feedback" else created, columns.id]

    def _convert(self, kind: str, row: Row) -> Converted:
        translated = {name: value for name, value in row.items() if name not in _DROPPED}
        if kind == "step":
            start, created = parse_instant(row["startTime"]), parse_instant(row["createdAt"])
            translated |= {"createdAt": start, "start": start, "end": parse_instant(row["endTime"])}
            if created != start:
                translated["extra"] = {"createdAt": format_instant(created)}
        elif kind == "element":
            metadata = document(translated.pop("metadata"))
            metadata = metadata if isinstance(metadata, dict) else {}
            of_row = {name: value for name, value in translated.items() if value is not None}
            others = {name: metadata[name] for name in metadata.keys() - _IN_METADATA}
            translated = {**metadata, **of_row, **others, "forId": row["stepId"]}
        elif kind == "feedback":
            translated["forId"] = row["stepId"]
            if row.get("name") == "user_feedback":
                del translated["name"]  # The layer gives every feedback this name.
        return super()._convert(kind, translated)
