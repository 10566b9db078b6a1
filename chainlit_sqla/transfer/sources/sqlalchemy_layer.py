"""`SqlAlchemyLayerSource`: the tables of Chainlit's SQLAlchemy layer, in any of their variants.

Variants seen in the wild: ids as UUID or text, timestamps and JSON as text, flags as ``'0'``,
columns missing and added, no foreign keys, no primary keys, feedback twice for one step or
without its thread. The ``createdAt`` of users and threads is local time labelled as UTC; the
offset is unknown, so it stays.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence, Set
from datetime import datetime
from typing import Any

from sqlalchemy import func

from ..records import EPOCH
from .base import Chunk, Items
from .normalize import feedback_value, identifier, instant
from .quarantine import QuarantinedRow
from .tables import THREAD_ID, Row, TableSource


class SqlAlchemyLayerSource(TableSource):
    """Reads a database of Chainlit's SQLAlchemy layer; for the arguments see `TableSource`.

    Example:
        >>> source = SqlAlchemyLayerSource(connection, database.dialect, "old.db", "")
        >>> await source.open()
        >>> async for chunk in source.users(): ...
    """

    TABLE_NAMES: Mapping[str, str] = {
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

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._id_of_identifier: dict[str, str] = {}
        """The user of each identifier, where the table does not make it unique."""
        self._merged: dict[str, str] = {}
        """The ids of users whose identifier another user has, with the id of that user."""
        self._owner_ids: dict[str, str] = {}
        """The ids of the users of the batch by identifier."""
        self._created: dict[str, datetime] = {}
        self._seen: set[tuple[str, ...]] = set()

    async def notes(self) -> Sequence[str]:
        """That some timestamps are in an unknown timezone."""
        return (
            *self.extra_notes,
            "Chainlit's SQLAlchemy layer wrote the createdAt of users and threads in local time "
            "labelled as UTC: these values are not corrected.",
        )

    def users(self) -> AsyncGenerator[Chunk, None]:
        """Read all users."""
        self._seen = set()
        return super().users()

    async def _begin_batch(self, ids: Sequence[Any]) -> None:
        await super()._begin_batch(ids)
        self._created, self._seen = {}, set()
        self._owner_ids = {name: self._merged.get(id, id) for id, name in self._identifiers.items()}

    def _thread_column(self, kind: str) -> Any:
        """Before July 2024 feedback did not name its thread, and it may be empty since."""
        own = super()._thread_column(kind) if self._has_column(kind, "threadId") else None
        if kind != "feedback":
            return own
        of_step = self._thread_of_step(kind, "forId")
        return of_step if own is None else func.coalesce(own, of_step)

    def _order(self, kind: str) -> Sequence[Any]:
        """As they were written; of several feedbacks for a step the newest counts."""
        key = self._tables[kind].key
        if key:
            columns = self._columns(kind)
            created = ["createdAt"] if self._has_column(kind, "createdAt") else []
            return [columns[name] for name in (*created, *key)]
        order = self._dialect.physical_order()
        assert order is not None  # Other databases are refused when the source is opened.
        return [order.desc() if kind == "feedback" else order]

    def _convert(self, kind: str, row: Row) -> Items:
        if kind == "user":
            return self._user(row)
        if kind == "thread":
            return self._thread(row)
        thread_id = identifier(row.pop(THREAD_ID))
        if thread_id is None:
            raise ValueError("its thread has no id")
        overrides: dict[str, Any] = {"threadId": thread_id, "id": _required(row, "id")}
        fallbacks = {"createdAt": self._created.get(thread_id, EPOCH)}
        if kind == "feedback":
            overrides |= {
                "value": feedback_value(row.get("value")),
                "forId": _required(row, "forId"),
            }
            self._accept_newest(thread_id, overrides["forId"])
        else:
            overrides["ordinal"] = self._next_ordinal(kind, thread_id)
            self._refuse_duplicate(kind, (thread_id, overrides["id"]))
        return self._normalized(kind, row, overrides, fallbacks)

    def _user(self, row: Row) -> Items:
        id, name = _required(row, "id"), _required(row, "identifier")
        if not {"id", "identifier"} <= self._tables["user"].unique:
            if self._id_of_identifier.setdefault(name, id) != id:
                self._merged[id] = self._id_of_identifier[name]
                raise ValueError("another user has the same identifier")
            self._refuse_duplicate("user", (id,))
        return self._normalized("user", row, {"id": id, "identifier": name}, {"createdAt": EPOCH})

    def _thread(self, row: Row) -> Items:
        id = _required(row, "id")
        self._refuse_duplicate("thread", (id,))
        created = instant(row.get("createdAt")) or self._first_step.get(id, EPOCH)
        self._created[id] = created
        owner_id, problem = self._owner(row)
        overrides = {
            "id": id,
            "createdAt": created,
            "updatedAt": self._last_message.get(id, created),
            "userId": owner_id,
        }
        fallbacks = {"userIdentifier": self._identifiers.get(owner_id or "")}
        items = self._normalized("thread", row, overrides, fallbacks)
        if problem:
            name = self.TABLE_NAMES["thread"]
            items += (QuarantinedRow("thread", name, problem, row, partial=True),)
        return items

    def _owner(self, row: Row) -> tuple[str | None, str]:
        """The owner of a thread, and what is wrong with the owner that the row names."""
        user_id = identifier(row.get("userId"))
        if user_id is None:
            return None, ""
        if user_id in self._identifiers:
            return self._merged.get(user_id, user_id), ""
        by_name = self._owner_ids.get(identifier(row.get("userIdentifier")) or "")
        owner = "the user with its userIdentifier" if by_name else "nobody"
        return by_name, f"its user is missing; it now belongs to {owner}"

    def _refuse_duplicate(self, kind: str, key: tuple[str, ...]) -> None:
        if "id" in self._tables[kind].unique:
            return
        if (kind, *key) in self._seen:
            raise ValueError("its id is not unique")
        self._seen.add((kind, *key))


def _required(row: Mapping[str, Any], name: str) -> str:
    value = identifier(row.get(name))
    if value is None:
        raise ValueError(f"it has no {name}")
    return value
