"""`AsyncpgLayerSource`: the tables of Chainlit's asyncpg layer, created by Prisma.

See Chainlit/chainlit-datalayer. Timestamps are UTC without saying so. A step's ``startTime`` is
the ``createdAt`` that Chainlit sent, while its column ``createdAt`` is the time of the insertion.
An element's type is in its metadata; feedback does not name its thread. Threads with a
``deletedAt`` are not shown by Chainlit, and are not imported.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence, Set
from typing import Any

from sqlalchemy import Select, func, select

from ..._internal.timestamps import format_instant
from ..records import EPOCH
from .base import Items
from .normalize import document, feedback_value, instant, is_lenient
from .tables import THREAD_ID, Row, TableSource

_NO_DATE = {"createdAt": EPOCH}
_IN_METADATA = {"size", "language", "display", "type", "page"}
"""Columns of elements that the layer keeps in their metadata."""


class AsyncpgLayerSource(TableSource):
    """Reads a database of Chainlit's asyncpg layer; for the arguments see `TableSource`.

    Example:
        >>> source = AsyncpgLayerSource(connection, database.dialect, "chats", "")
        >>> await source.open()
        >>> async for chunk in source.users(): ...
    """

    TABLE_NAMES: Mapping[str, str] = {
        kind: kind.capitalize() for kind in ("user", "thread", "step", "element")
    } | {"feedback": "Feedback"}
    NEEDED: Mapping[str, Set[str]] = {
        "user": {"id", "identifier"},
        "thread": {"id", "userId", "createdAt", "deletedAt"},
        "step": {"id", "threadId", "type", "createdAt", "startTime"},
        "element": {"id", "threadId", "stepId", "createdAt"},
        "feedback": {"id", "stepId", "createdAt"},
    }
    IGNORED: Mapping[str, Collection[str]] = {
        "user": ("updatedAt",),
        "thread": ("updatedAt", "deletedAt"),
        "step": ("updatedAt", "startTime", "endTime"),
        "element": ("updatedAt", "stepId", "metadata"),
        "feedback": ("updatedAt", "stepId"),
    }

    STEP_TIME = "startTime"

    async def notes(self) -> Sequence[str]:
        """How many threads are deleted in the source."""
        query = select(func.count()).select_from(self._tables["thread"].clause)
        deleted_at = self._columns("thread").deletedAt
        deleted = await self._connection.scalar(query.where(deleted_at.is_not(None)))
        if not deleted:
            return self.extra_notes
        note = f"Threads with a deletedAt, which Chainlit hides, are not imported: {deleted}."
        return (*self.extra_notes, note)

    def _thread_ids(self) -> Select[Any]:
        return super()._thread_ids().where(self._columns("thread").deletedAt.is_(None))

    def _thread_column(self, kind: str) -> Any:
        if kind == "step":
            return super()._thread_column(kind)
        of_step = self._thread_of_step(kind, "stepId")
        if kind == "feedback":
            return of_step
        return func.coalesce(super()._thread_column(kind), of_step)

    def _is_decoded(self, kind: str, name: str) -> bool:
        return super()._is_decoded(kind, name) or (kind, name) == ("element", "metadata")

    def _order(self, kind: str) -> Sequence[Any]:
        """As Chainlit shows them; of several feedbacks for a step the newest counts."""
        columns = self._columns(kind)
        if kind == "step":
            return [columns.startTime, columns.createdAt, columns.id]
        created = columns.createdAt
        return [created.desc() if kind == "feedback" else created, columns.id]

    def _convert(self, kind: str, row: Row) -> Items:
        if kind == "user":
            return self._normalized(kind, row, {}, _NO_DATE)
        if kind == "thread":
            created = instant(row["createdAt"]) or EPOCH
            activity = {"updatedAt": self._last_message.get(row["id"], created)}
            owner = {"userIdentifier": self._identifiers.get(row["userId"] or "")}
            return self._normalized(kind, row, {**activity, **owner}, _NO_DATE)
        thread_id = row.pop(THREAD_ID)
        if kind == "feedback":
            return self._feedback(row, thread_id)
        overrides = {"threadId": thread_id, "ordinal": self._next_ordinal(kind, thread_id)}
        return self._step(row, overrides) if kind == "step" else self._element(row, overrides)

    def _step(self, row: Row, overrides: dict[str, Any]) -> Items:
        start, created = instant(row["startTime"]), instant(row["createdAt"])
        overrides |= {"createdAt": start, "start": start, "end": instant(row["endTime"])}
        if created != start:
            overrides["extra"] = {"createdAt": format_instant(created)}
        return self._normalized("step", row, overrides, _NO_DATE)

    def _element(self, row: Row, overrides: dict[str, Any]) -> Items:
        metadata = document(row["metadata"])
        metadata = metadata if isinstance(metadata, dict) else {}
        merged = {name: metadata.get(name) for name in _IN_METADATA}
        merged |= {name: value for name, value in row.items() if value is not None}
        merged |= {name: value for name, value in metadata.items() if name not in _IN_METADATA}
        overrides["forId"] = row["stepId"]
        lenient = ("metadata",) if is_lenient(row["metadata"]) else ()
        return self._normalized("element", merged, overrides, _NO_DATE, lenient)

    def _feedback(self, row: Row, thread_id: str) -> Items:
        value = feedback_value(row["value"])
        self._accept_newest(thread_id, row["stepId"])
        if row.get("name") == "user_feedback":
            del row["name"]  # The layer gives every feedback this name.
        overrides = {"threadId": thread_id, "forId": row["stepId"]}
        return self._normalized("feedback", row, {**overrides, "value": value}, _NO_DATE)
