"""The tables that Chainlit documents for its SQLAlchemy layer, in any of their variants.

What was seen in the wild: ids as UUID or text, instants and JSON as text, flags as ``'0'``,
columns missing and added, no foreign keys, no primary keys, feedback twice for one step or
without its thread. The users' and threads' ``createdAt`` are local time labelled as UTC;
nobody can tell by how much they are off, so they stay.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence, Set
from contextlib import aclosing
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from ...._internal.broken_text import BrokenText
from ...records import EPOCH, Record
from . import normalize as shape
from .base import Chunk, Misfit
from .lenient_values import Row
from .tables import PLACE, Items, TableSource, rating


class DocumentedSource(TableSource):
    """Reads a database made for Chainlit's SQLAlchemy layer.

    Args:
        strangers: Columns by kind that we do not have and that need no place; others go
            into ``extra`` where there is one, else aside.
        **options: Those of `TableSource`.
    """

    NAMES: Mapping[str, str] = {
        "user": "users",
        "thread": "threads",
        "step": "steps",
        "element": "elements",
        "feedback": "feedbacks",
    }
    NEEDED: Mapping[str, Set[str]] = {
        "user": {"id", "identifier"},
        "thread": {"id", "userId", "userIdentifier"},
        "step": {"id", "threadId", "type", "createdAt"},
        "element": {"id", "threadId"},
        "feedback": {"id", "forId"},
    }

    def __init__(
        self, *args: Any, strangers: Mapping[str, Collection[str]] | None = None, **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self.strangers = strangers or {}
        self._kept: dict[str, str] = {}
        """The ids of users by identifier, where these may be there twice."""
        self._same: dict[str, str] = {}
        """Users that are another one by their identifier."""
        self._identifiers: dict[str, str] = {}
        self._owners: dict[str, str] = {}
        self._first: dict[str, datetime] = {}
        self._last: dict[str, datetime] = {}
        self._made: dict[str, datetime] = {}
        self._seen: set[tuple[str, ...]] = set()

    async def notes(self) -> Sequence[str]:
        """What nobody can repair."""
        return (
            "Chainlit's SQLAlchemy layer wrote the createdAt of users and threads in local time "
            "labelled as UTC: they stay as they are.",
        )

    async def users(self) -> AsyncGenerator[Chunk, None]:
        """All users, each time from the beginning."""
        self._seen = set()
        async with aclosing(super().users()) as chunks:
            async for chunk in chunks:
                yield chunk

    async def _prepare(self, ids: Sequence[Any]) -> None:
        """The owners, the first and the last activity of the threads."""
        self._first, self._last, self._made = {}, {}, {}
        self._seen = set()
        await self._look_up_activity(ids)
        await self._look_up_owners(ids)

    async def _look_up_activity(self, ids: Sequence[Any]) -> None:
        steps = self._tables["step"]
        query = select(steps.c.threadId, steps.c.createdAt, steps.c.type)
        async for row in self._rows(query.where(steps.c.threadId.in_(ids)), narrow=True):
            at = shape.instant(row["createdAt"])
            id = shape.identifier(row["threadId"])
            if at is None or id is None:
                continue
            self._first[id] = min(at, self._first.get(id, at))
            if "message" in str(row["type"]):
                self._last[id] = max(at, self._last.get(id, at))

    async def _look_up_owners(self, ids: Sequence[Any]) -> None:
        users, threads = self._tables["user"], self._tables["thread"]
        of_batch = threads.c.id.in_(ids)
        owners = select(threads.c.userId).where(of_batch)
        named = select(threads.c.userIdentifier).where(of_batch)
        query = select(users.c.id, users.c.identifier)
        self._identifiers, self._owners = {}, {}
        async for row in self._rows(
            query.where(users.c.id.in_(owners) | users.c.identifier.in_(named)), narrow=True
        ):
            id, name = (
                shape.identifier(row["id"]),
                shape.identifier(self._people.readable("identifier", row["identifier"])),
            )
            if isinstance(row["id"], BrokenText):
                continue  # The user is put aside.
            if id is not None and name is not None:
                self._identifiers[id] = name
                self._owners[name] = self._same.get(id, id)

    def _place(self, kind: str) -> Any:
        """Before July 2024, feedback did not say its thread; and it may be empty since."""
        own = super()._place(kind) if self.PLACE in self._types[kind] else None
        if kind != "feedback":
            return own
        found = self._of_step(kind, "forId")
        return found if own is None else func.coalesce(own, found)

    def _order(self, kind: str) -> Sequence[Any]:
        """As they were written; of several feedbacks the newest counts."""
        if kind in self._keys:
            columns = self._tables[kind].c
            made = ["createdAt"] if "createdAt" in columns else []
            return [columns[name] for name in (*made, *self._keys[kind])]
        order = self._dialect.physical_order()
        return [order.desc() if kind == "feedback" else order]

    def _shape(self, kind: str, row: Row) -> Items:
        if kind == "user":
            return self._user(row)
        if kind == "thread":
            return self._thread(row)
        thread_id = shape.identifier(row.pop(PLACE))
        if thread_id is None:
            raise ValueError("its thread has no id")
        known: dict[str, Any] = {"threadId": thread_id}
        else_: dict[str, Any] = {"createdAt": self._made.get(thread_id, EPOCH)}
        if kind == "feedback":
            return self._feedback(row, known, else_)
        known |= {"id": _id(row, "id"), "ordinal": self._next(kind, thread_id)}
        self._once(kind, (thread_id, known["id"]))
        return self._finish(kind, row, known, else_)

    def _user(self, row: Row) -> Items:
        id, name = _id(row, "id"), _id(row, "identifier")
        if not {"id", "identifier"} <= self._unique["user"]:
            if self._kept.setdefault(name, id) != id:
                self._same[id] = self._kept[name]
                raise ValueError("another user has the same identifier")
            self._once("user", (id,))
        return self._finish("user", row, {"id": id, "identifier": name}, {"createdAt": EPOCH})

    def _thread(self, row: Row) -> Items:
        kind = "thread"
        id = _id(row, "id")
        self._once("thread", (id,))
        made = shape.instant(row.get("createdAt")) or self._first.get(id, EPOCH)
        self._made[id] = made
        owner, odd = self._owner(row)
        known = {
            "id": id,
            "createdAt": made,
            "updatedAt": self._last.get(id, made),
            "userId": owner,
        }
        items: list[Record | Misfit] = list(
            self._finish(
                "thread", row, known, {"userIdentifier": self._identifiers.get(owner or "")}
            )
        )
        if odd:
            items.append(Misfit(kind, self._names[kind], odd, row, kept=True))
        return tuple(items)

    def _owner(self, row: Row) -> tuple[str | None, str]:
        given = shape.identifier(row.get("userId"))
        name = shape.identifier(row.get("userIdentifier"))
        if given is None:
            return None, ""
        if given in self._identifiers:
            return self._same.get(given, given), ""
        by_name = self._owners.get(name or "")
        kept = "its identifier's user has it now" if by_name else "the thread has no owner now"
        return by_name, f"its user is not there; {kept}"

    def _feedback(self, row: Row, known: dict[str, Any], else_: Mapping[str, Any]) -> Items:
        known["value"] = rating(row.get("value"))
        known |= {"forId": _id(row, "forId"), "id": _id(row, "id")}
        self._newest(known["threadId"], known["forId"])
        return self._finish("feedback", row, known, else_)

    def _once(self, kind: str, key: tuple[str, ...]) -> None:
        if "id" in self._unique[kind]:
            return
        if (kind, *key) in self._seen:
            raise ValueError("its id is there twice")
        self._seen.add((kind, *key))


def _id(row: Row, name: str) -> str:
    found = shape.identifier(row.get(name))
    if found is None:
        raise ValueError(f"it has no {name}")
    return found
