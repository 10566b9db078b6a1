"""The tables of Chainlit's asyncpg layer, which Prisma makes (Chainlit/chainlit-datalayer).

What is particular: times are UTC without saying so; a step's ``createdAt`` as Chainlit sent
it is in ``startTime``, while the column ``createdAt`` is the time of the row's insertion; an
element's type is in its metadata; feedback does not say its thread. Threads that have a
``deletedAt`` are not shown by Chainlit, and stay behind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, select

from ..._internal.timestamps import format_instant
from ..records import EPOCH
from . import normalize as shape
from .lenient_values import Row
from .tables import PLACE, Items, TableSource, rating

_NO_DATE = {"createdAt": EPOCH}
_OF_ELEMENT = {"size", "language", "display", "type", "page"}


class PrismaSource(TableSource):
    """Reads a database of Chainlit's asyncpg layer; for the arguments see `TableSource`."""

    NAMES: Mapping[str, str] = {
        "user": "User",
        "thread": "Thread",
        "step": "Step",
        "element": "Element",
        "feedback": "Feedback",
    }
    NEEDED: Mapping[str, Set[str]] = {
        "user": {"id", "identifier"},
        "thread": {"id", "userId", "createdAt", "deletedAt"},
        "step": {"id", "threadId", "type", "createdAt", "startTime"},
        "element": {"id", "threadId", "stepId", "createdAt"},
        "feedback": {"id", "stepId", "createdAt"},
    }
    strangers: Mapping[str, Sequence[str]] = {
        "user": ("updatedAt",),
        "thread": ("updatedAt", "deletedAt"),
        "step": ("updatedAt", "startTime", "endTime"),
        "element": ("updatedAt", "stepId", "metadata"),
        "feedback": ("updatedAt", "stepId"),
    }

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._identifiers: dict[str, str] = {}
        self._last: dict[str, datetime] = {}

    async def count(self) -> Mapping[str, int]:
        """The rows of each table, without those of deleted threads."""
        counts = dict(await super().count())
        threads = self._tables["thread"]
        deleted = select(threads.c.id).where(threads.c.deletedAt.is_not(None))
        for kind in self._of_threads:
            place = threads.c.id if kind == "thread" else self._place(kind)
            query = select(func.count()).select_from(self._tables[kind])
            counts[kind] -= await self._connection.scalar(query.where(place.in_(deleted))) or 0
        return counts

    async def notes(self) -> Sequence[str]:
        """How many threads were deleted in the source."""
        threads = self._tables["thread"]
        query = select(func.count()).select_from(threads).where(threads.c.deletedAt.is_not(None))
        deleted = await self._connection.scalar(query)
        if not deleted:
            return ()
        return (f"Threads with a deletedAt, which Chainlit does not show, stay behind: {deleted}.",)

    def _ids(self) -> Select[Any]:
        return super()._ids().where(self._tables["thread"].c.deletedAt.is_(None))

    async def _prepare(self, ids: Sequence[Any]) -> None:
        """The owners and the last activity of the threads."""
        users, threads, steps = (self._tables[kind] for kind in ("user", "thread", "step"))
        self._identifiers, self._last = {}, {}
        owners = select(threads.c.userId).where(threads.c.id.in_(ids))
        query = select(users.c.id, users.c.identifier).where(users.c.id.in_(owners))
        async for row in self._rows(query, narrow=True):
            self._identifiers[row["id"]] = row["identifier"]
        of_batch = steps.c.threadId.in_(ids)
        activity = select(steps.c.threadId, steps.c.startTime, steps.c.type).where(of_batch)
        async for row in self._rows(activity, narrow=True):
            at, id = shape.instant(row["startTime"]), row["threadId"]
            if at is not None and "message" in row["type"]:
                self._last[id] = max(at, self._last.get(id, at))

    def _place(self, kind: str) -> Any:
        if kind == "step":
            return super()._place(kind)
        found = self._of_step(kind, "stepId")
        return found if kind == "feedback" else func.coalesce(super()._place(kind), found)

    def _order(self, kind: str) -> Sequence[Any]:
        """As Chainlit shows them; of several feedbacks the newest counts."""
        columns = self._tables[kind].c
        if kind == "step":
            return [columns.startTime, columns.createdAt, columns.id]
        made = columns.createdAt
        return [made.desc() if kind == "feedback" else made, columns.id]

    def _shape(self, kind: str, row: Row) -> Items:
        if kind == "user":
            return self._finish(kind, row, {}, _NO_DATE)
        if kind == "thread":
            made = shape.instant(row["createdAt"]) or EPOCH
            owner = self._identifiers.get(row["userId"] or "")
            moved = self._last.get(row["id"], made)
            named = {"updatedAt": moved, "userIdentifier": owner}
            return self._finish(kind, row, named, _NO_DATE)
        thread_id = row.pop(PLACE)
        if kind == "feedback":
            return self._feedback(row, thread_id)
        known = {"threadId": thread_id, "ordinal": self._next(kind, thread_id)}
        return self._step(row, known) if kind == "step" else self._element(row, known)

    def _step(self, row: Row, known: dict[str, Any]) -> Items:
        """By its time it is ordered; when the row was made is kept beside."""
        start, made = shape.instant(row["startTime"]), shape.instant(row["createdAt"])
        known |= {"createdAt": start, "start": start, "end": shape.instant(row["endTime"])}
        if made != start:
            known["extra"] = {"createdAt": format_instant(made)}
        return self._finish("step", row, known, _NO_DATE)

    def _element(self, row: Row, known: dict[str, Any]) -> Items:
        described = shape.document(row["metadata"])
        described = described if isinstance(described, dict) else {}
        raw = {name: described.get(name) for name in _OF_ELEMENT} | {
            name: value for name, value in row.items() if value is not None
        }
        raw |= {name: value for name, value in described.items() if name not in _OF_ELEMENT}
        known["forId"] = row["stepId"]
        return self._finish("element", raw, known, _NO_DATE)

    def _feedback(self, row: Row, thread_id: str) -> Items:
        known = {"threadId": thread_id, "forId": row["stepId"], "value": rating(row["value"])}
        self._newest(thread_id, row["stepId"])
        if row.get("name") == "user_feedback":
            del row["name"]  # All of them have this one.
        return self._finish("feedback", row, known, _NO_DATE)
