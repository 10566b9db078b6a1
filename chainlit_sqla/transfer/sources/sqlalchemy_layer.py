"""`SqlAlchemyLayerSource`: the tables of Chainlit's SQLAlchemy layer, in any of their variants.

Variants seen in the wild: ids as UUID or text, timestamps and JSON as text, flags as ``'0'``,
columns missing and added, no foreign keys, no primary keys, feedback twice for one step or
without its thread. The ``createdAt`` of users and threads is local time labelled as UTC; the
offset is unknown, so it stays.

Whatever columns a table has are read, of whatever types, in the order in which the rows were
written. No index is expected: what belongs to a batch of threads is read with one query a table.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence, Set
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Connection,
    Select,
    TableClause,
    Text,
    Uuid,
    cast,
    column,
    func,
    inspect,
    select,
    table,
)
from sqlalchemy import types as sql_types
from sqlalchemy.ext.asyncio import AsyncConnection

from ..._internal.json import UndecodableText
from ..._internal.timestamps import EPOCH, parse_instant
from ...database.revision import CHAINLIT_TABLES
from ...dialects import Dialect, dialect_named
from ...errors import ImportSourceError, RejectedRow
from ..records import COLUMNS, IN_THREADS, JSON, Record
from .base import Chunk, Items, check_columns, fetch_portions, thread_batches
from .normalize import feedback_value, identifier, is_lenient, normalize
from .quarantine import QuarantinedRow

_THREAD_ID = "chainlit_sqla_thread_id"
"""The name under which the id of a row's thread is read."""
_KEY_COLUMNS = ("id", "threadId", "identifier")
"""Columns that identify rows and people: a replacement could be that of another one."""

Row = dict[str, Any]
Converted = tuple[Record, list[str]]
"""A record, and why it does not hold all of its row."""


@dataclass(frozen=True, slots=True)
class _Table:
    """A table for queries, the types of its columns by name, and whether its ids are unique."""

    clause: TableClause
    types: Mapping[str, Any]
    has_key: bool


class SqlAlchemyLayerSource:
    """Reads the tables of Chainlit's SQLAlchemy layer.

    The connection is in a transaction that sees one state. `table_names` replaces `TABLE_NAMES`,
    and `ignored_columns` are dropped by kind; other columns that we do not have are kept.
    """

    TABLE_NAMES: Mapping[str, str] = {
        kind: f"{kind}s" for kind in ("user", "thread", "step", "element", "feedback")
    }
    NEEDED: Mapping[str, Set[str]] = {
        kind: CHAINLIT_TABLES[name] for kind, name in TABLE_NAMES.items()
    }
    """Columns by kind without which a table cannot be read."""
    STEP_TIME = "createdAt"
    """The column with the time at which Chainlit created a step."""

    def __init__(
        self,
        connection: AsyncConnection,
        dialect: Dialect,
        title: str,
        identity: str,
        *,
        schema: str | None = None,
        table_names: Mapping[str, str] | None = None,
        ignored_columns: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        self.title = title
        self.identity = identity
        self._connection = connection
        self._dialect = dialect
        self._schema = schema
        self._names = table_names or self.TABLE_NAMES
        self._ignored = ignored_columns or {}
        self._tables: dict[str, _Table] = {}
        self._shared_identifiers: set[str] = set()
        self._first_user: dict[str, str] = {}
        """The first user with each of the shared identifiers."""
        self._merged: dict[str, str] = {}
        """The ids of the other users with these, with the id of the first."""
        # Of the threads of a batch:
        self._seen: set[tuple[str, ...]] = set()
        self._ordinals: dict[tuple[str, str], int] = {}
        self._identifiers: dict[str, str] = {}
        self._created: dict[str, datetime] = {}
        self._first_step: dict[str, datetime] = {}
        self._last_message: dict[str, datetime] = {}

    async def open(self) -> None:
        """Inspect the tables, and refuse missing columns; to be called first."""
        await self._dialect.read_undecodable_text(self._connection)
        for kind, name in self._names.items():
            inspected = await self._connection.run_sync(_inspect, name, self._schema)
            if inspected is None:
                continue  # An app without attachments may have no table for them.
            columns = inspected.types.keys()
            check_columns(self.title, name, self.NEEDED[kind], columns, "Chainlit documents it")
            self._tables[kind] = inspected
        name = self._columns("user").identifier
        query = select(name).group_by(name).having(func.count() > 1)
        self._shared_identifiers.update(await self._connection.scalars(query))

    async def count(self) -> Mapping[str, int]:
        """The number of rows of each table."""
        counts = {}
        for kind, inspected in self._tables.items():
            query = select(func.count()).select_from(inspected.clause)
            counts[kind] = await self._connection.scalar(query) or 0
        return counts

    async def notes(self) -> Sequence[str]:
        """That some timestamps are in an unknown timezone."""
        return (
            "Chainlit's SQLAlchemy layer wrote the createdAt of users and threads in local time "
            "labelled as UTC: these values are not corrected.",
        )

    def users(self) -> AsyncGenerator[Chunk, None]:
        """Read all users."""
        self._seen = set()
        return self._chunks("user", self._all("user"))

    async def threads(
        self, after: str | None = None, only: Collection[str] | None = None
    ) -> AsyncGenerator[Chunk, None]:
        """Read threads by id after a resume token, or only some; to be called after `users`."""
        last = None if after is None else self._native_id(after)
        wanted = None if only is None else [self._native_id(id) for id in sorted(only)]
        batches = thread_batches(self._connection, self._thread_ids(), last, wanted)
        async with aclosing(batches):
            async for ids in batches:
                thread_ids = [self._checked_id(id) for id in ids]
                await self._begin_batch(ids)
                for kind in self._thread_kinds:
                    of_threads = self._all(kind).where(self._thread_column(kind).in_(ids))
                    async with aclosing(self._chunks(kind, of_threads)) as chunks:
                        async for chunk in chunks:
                            yield chunk
                yield Chunk(threads=thread_ids, resume_token=thread_ids[-1])

    async def rest(self) -> AsyncGenerator[Chunk, None]:
        """Read threads without an id, and rows whose thread is missing."""
        id = self._columns("thread").id
        for kind in self._thread_kinds:
            if kind == "thread":
                query, reason = self._all(kind).where(id.is_(None)), "it has no id"
            else:
                owner = select(id).where(id == self._thread_column(kind)).exists()
                query, reason = self._all(kind).where(~owner), "its thread is missing"
            async with aclosing(self._portions(query, self._columns(kind))) as portions:
                async for rows in portions:
                    yield Chunk.of(
                        (QuarantinedRow(kind, self.TABLE_NAMES[kind], reason, _raw(row)),)
                        for row in rows
                    )

    @property
    def _thread_kinds(self) -> Sequence[str]:
        return [kind for kind in ("thread", *IN_THREADS) if kind in self._tables]

    async def _begin_batch(self, ids: Sequence[Any]) -> None:
        """Look up the owners of some threads, and when something was said in them."""
        self._seen, self._ordinals, self._created = set(), {}, {}
        self._identifiers, self._first_step, self._last_message = {}, {}, {}
        users, threads, steps = (self._columns(kind) for kind in ("user", "thread", "step"))
        owns = users.id.in_(select(threads.userId).where(threads.id.in_(ids)))
        async for rows in self._portions(select(users.id, users.identifier).where(owns)):
            for row in rows:
                id, name = identifier(row["id"]), identifier(row["identifier"])
                if id and name and not any(isinstance(v, UndecodableText) for v in row.values()):
                    self._identifiers[id] = name
        time = steps[self.STEP_TIME].label("time")
        query = select(steps.threadId, steps.type, time).where(steps.threadId.in_(ids))
        async for rows in self._portions(query):
            for row in rows:
                at, id = parse_instant(row["time"]), identifier(row["threadId"])
                if at is None or id is None:
                    continue
                self._first_step[id] = min(at, self._first_step.get(id, at))
                if "message" in str(row["type"]):
                    self._last_message[id] = max(at, self._last_message.get(id, at))

    # What differs in the asyncpg layer

    def _thread_column(self, kind: str) -> Any:
        """Before July 2024 feedback did not name its thread, and it may be empty since."""
        columns = self._columns(kind)
        if kind != "feedback":
            return columns.id if kind == "thread" else columns.threadId
        of_step = self._thread_of_step(kind, "forId")
        return func.coalesce(columns.threadId, of_step) if "threadId" in columns else of_step

    def _order(self, kind: str) -> Sequence[Any]:
        """As they were written; of several feedbacks for a step the newest counts."""
        order = self._dialect.physical_order()
        assert order is not None  # Other databases are refused when the source is opened.
        return [order.desc() if kind == "feedback" else order]

    def _thread_ids(self) -> Select[Any]:
        """The ids of the threads; without a primary key an id may be there twice."""
        id = self._columns("thread").id
        return select(id).where(id.is_not(None)).distinct().order_by(id)

    def _is_document(self, kind: str, name: str) -> bool:
        return COLUMNS[kind].get(name) == JSON

    # Queries

    def _columns(self, kind: str) -> Any:
        return self._tables[kind].clause.c

    def _all(self, kind: str) -> Select[Any]:
        columns: list[Any] = []
        for own in self._columns(kind):
            is_json = isinstance(self._tables[kind].types[own.name], sql_types.JSON)
            if is_json and self._is_document(kind, own.name):
                # A driver that decodes JSON would hide what only some readers accept.
                columns.append(cast(own, Text).label(own.name))
            else:
                columns.append(own)
        if kind in IN_THREADS:
            columns.append(self._thread_column(kind).label(_THREAD_ID))
        return select(*columns).order_by(*self._order(kind))

    def _thread_of_step(self, kind: str, name: str) -> Any:
        steps, own = self._tables["step"].clause, self._tables[kind].clause
        query = select(steps.c.threadId).where(steps.c.id == own.c[name]).limit(1)
        return query.correlate(own).scalar_subquery()

    async def _portions(
        self, query: Select[Any], wide: Collection[Any] = ()
    ) -> AsyncGenerator[Sequence[Row], None]:
        names = [str(column.key) for column in query.selected_columns]
        portions = fetch_portions(self._connection, query, list(wide))
        async with aclosing(portions):
            async for portion in portions:
                yield [dict(zip(names, values, strict=True)) for values in portion]

    def _checked_id(self, id: Any) -> str:
        """The id of a thread, refused where it is another one as text."""
        if isinstance(id, uuid.UUID) or (type(id) is str and id in ("", identifier(id))):
            return str(id)
        raise ImportSourceError(
            f"{self.title}: the id of a thread is not text ({getattr(id, 'escaped', repr(id))}); "
            "give the thread another id in "
            f"{', '.join(self._names[kind] for kind in self._thread_kinds)}, then run the same "
            "command again"
        )

    def _native_id(self, id: str) -> Any:
        return uuid.UUID(id) if isinstance(self._tables["thread"].types["id"], Uuid) else id

    # Rows

    async def _chunks(self, kind: str, query: Select[Any]) -> AsyncGenerator[Chunk, None]:
        async with aclosing(self._portions(query, self._columns(kind))) as portions:
            async for rows in portions:
                yield Chunk.of(self._items(kind, row) for row in rows)

    def _items(self, kind: str, row: Row) -> Items:
        """What a row becomes; what the record does not hold of it is also quarantined."""
        raw, table_name = _raw(row), self.TABLE_NAMES[kind]
        undecodable = [name for name, value in raw.items() if isinstance(value, UndecodableText)]
        lenient = [
            name
            for name, value in raw.items()
            if self._is_document(kind, name) and is_lenient(value)
        ]
        try:
            for name in _KEY_COLUMNS:
                if name in undecodable:
                    raise ValueError(f"its {name} is not valid UTF-8")
            if "userIdentifier" in undecodable:
                row["userIdentifier"] = None  # It could read as another person's.
            record, reasons = self._convert(kind, row)
        except (ValueError, RejectedRow) as error:
            return (QuarantinedRow(kind, table_name, str(error), raw),)
        if undecodable:
            reasons.append(f"text in it is not valid UTF-8: {', '.join(sorted(undecodable))}")
        if lenient:
            reason = "its JSON has values that not every database can store"
            reasons.append(f"{reason}: {', '.join(sorted(lenient))}")
        rows = (QuarantinedRow(kind, table_name, reason, raw, partial=True) for reason in reasons)
        return (record, *rows)

    def _convert(self, kind: str, row: Row) -> Converted:
        """Make a record of a row; a `ValueError` says why it cannot be stored."""
        if kind == "user":
            return self._user(row)
        if kind == "thread":
            return self._thread(row)
        thread_id = identifier(row.pop(_THREAD_ID))
        if thread_id is None:
            raise ValueError("its thread has no id")
        overrides: dict[str, Any] = {"threadId": thread_id, "id": _required(row, "id")}
        if kind == "feedback":
            overrides |= {
                "value": feedback_value(row.get("value")),
                "forId": _required(row, "forId"),
            }
            self._refuse_second(
                (kind, thread_id, overrides["forId"]), "there is newer feedback for the same step"
            )
        else:
            # Below the ordinals of rows that are written later.
            number = self._ordinals.get((kind, thread_id), 0) + 1
            overrides["ordinal"] = self._ordinals[kind, thread_id] = number
            self._refuse_duplicate(kind, thread_id, overrides["id"])
        fallbacks = {"createdAt": self._created.get(thread_id, EPOCH)}
        return self._normalized(kind, row, overrides, fallbacks)

    def _user(self, row: Row) -> Converted:
        id, name = _required(row, "id"), _required(row, "identifier")
        if name in self._shared_identifiers and self._first_user.setdefault(name, id) != id:
            self._merged[id] = self._first_user[name]
            raise ValueError("another user has the same identifier")
        self._refuse_duplicate("user", id)
        return self._normalized("user", row, {"id": id, "identifier": name}, {"createdAt": EPOCH})

    def _thread(self, row: Row) -> Converted:
        id, user_id = _required(row, "id"), identifier(row.get("userId"))
        self._refuse_duplicate("thread", id)
        created = parse_instant(row.get("createdAt")) or self._first_step.get(id, EPOCH)
        self._created[id] = created
        name = self._identifiers.get(user_id or "")
        overrides = {
            "id": id,
            "createdAt": created,
            "updatedAt": self._last_message.get(id, created),
            "userId": self._merged.get(user_id or "", user_id) if name else None,
        }
        record, reasons = self._normalized("thread", row, overrides, {"userIdentifier": name})
        if user_id is not None and name is None:
            reasons.append("its user is missing; it now belongs to nobody")
        return record, reasons

    def _normalized(
        self, kind: str, row: Row, overrides: Mapping[str, Any], fallbacks: Mapping[str, Any]
    ) -> Converted:
        ignored, reasons = self._ignored.get(kind, ()), []
        record, unplaced = normalize(
            kind, row, overrides=overrides, fallbacks=fallbacks, ignored=ignored
        )
        if unplaced:
            reasons.append(f"there is no column for {', '.join(sorted(unplaced))}")
        if kind in ("user", "thread") and not isinstance(record.values["metadata"], dict):
            reasons.append("its metadata is not a JSON object")
        return record, reasons

    def _refuse_duplicate(self, kind: str, *key: str) -> None:
        if not self._tables[kind].has_key:
            self._refuse_second((kind, *key), "its id is not unique")

    def _refuse_second(self, key: tuple[str, ...], reason: str) -> None:
        if key in self._seen:
            raise ValueError(reason)
        self._seen.add(key)


def _raw(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != _THREAD_ID}


def _required(row: Mapping[str, Any], name: str) -> str:
    value = identifier(row.get(name))
    if value is None:
        raise ValueError(f"it has no {name}")
    return value


def _inspect(sync: Connection, name: str, schema: str | None) -> _Table | None:
    inspector = inspect(sync)
    if name not in inspector.get_table_names(schema=schema):
        if inspector.has_table(name, schema=schema):  # Names on SQLite ignore letter case.
            raise ImportSourceError(
                f"{name} is a view, or its letter case differs; make it a table named {name}"
            )
        return None
    if not dialect_named(sync.dialect.name).numbers_rows(sync, name):
        raise ImportSourceError(
            f"The table {name} was created WITHOUT ROWID, so the order in which its rows were "
            "written is unknown; copy the rows in their order into a table with a rowid, and "
            "rename that"
        )
    columns = inspector.get_columns(name, schema=schema)
    types = {reflected["name"]: reflected["type"] for reflected in columns}
    key = inspector.get_pk_constraint(name, schema=schema)["constrained_columns"]
    return _Table(table(name, *map(column, types), schema=schema), types, has_key=key == ["id"])
