"""`TableSource`: what reading the tables of Chainlit's two layers has in common.

Whatever columns a table has are read, of whatever types, in the order in which the rows were
written where nothing else orders them. No index is expected: what belongs to a batch of threads
is read with one query a table.
"""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence, Set
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import (
    JSON,
    ColumnElement,
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
from sqlalchemy.ext.asyncio import AsyncConnection

from ..._internal.json import UndecodableText
from ...dialects import Dialect, canonical_names, dialect_named
from ...errors import ImportSourceError, RejectedRow
from ..records import COLUMNS, IN_THREADS
from ..records import JSON as DOCUMENT
from .base import BATCH, Chunk, Items, chunked
from .bounded_fetch import fetch_portions
from .normalize import identifier, instant, normalize
from .quarantine import QuarantinedRow

THREAD_ID = "chainlit_sqla_thread_id"
"""The name under which the id of a row's thread is read."""
UNDECODABLE = "text in it is not valid UTF-8"
LENIENT_JSON = "its JSON has values that not every database can store"
NO_OBJECT = "its metadata is not a JSON object"
_KEY_COLUMNS = ("id", "threadId", "identifier")
"""Columns that identify rows and people: a replacement could be that of another one."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Table:
    """A table as it was found.

    Args:
        clause: For queries.
        types: The types of its columns by name.
        unique: Columns whose values are unique by themselves.
        key: The primary key of a table that does not keep the order of its rows, else empty.
    """

    clause: TableClause
    types: Mapping[str, Any]
    unique: Set[str]
    key: Sequence[str]


class TableSource(ABC):
    """Reads the tables of a layer.

    Args:
        connection: In a transaction that sees one state of the database.
        dialect: The dialect of the database.
        title: See `Source`.
        identity: See `Source`.
        schema: The schema of the tables; None: the connection's default one.
        table_names: The names of the tables by kind, where they are not `TABLE_NAMES`.
        ignored_columns: Columns by kind that are dropped; others that we do not have are kept.
    """

    TABLE_NAMES: Mapping[str, str]
    NEEDED: Mapping[str, Set[str]]
    """Columns by kind without which a table cannot be read."""
    IGNORED: Mapping[str, Collection[str]] = {}
    STEP_TIME = "createdAt"
    """The column with the time at which Chainlit created a step."""
    extra_notes: Sequence[str] = ()

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
        self._ignored = ignored_columns or self.IGNORED
        self._tables: dict[str, _Table] = {}
        # Of the threads of a batch:
        self._ordinals: dict[tuple[str, str], int] = {}
        self._rated: set[tuple[str, str]] = set()
        self._identifiers: dict[str, str] = {}
        self._first_step: dict[str, datetime] = {}
        self._last_message: dict[str, datetime] = {}

    async def open(self) -> None:
        """Inspect the tables; to be called first.

        Raises:
            ImportSourceError: A needed column is missing.
        """
        await self._dialect.read_undecodable_text(self._connection)
        for kind, name in self._names.items():
            inspected = await self._connection.run_sync(_inspect, name, self._schema, COLUMNS[kind])
            if inspected is None:
                continue  # An app without attachments may have no table for them.
            if missing := ", ".join(sorted(self.NEEDED[kind] - inspected.types.keys())):
                raise ImportSourceError(
                    f"{self.title}: the table {name} has no column {missing}, without which it "
                    "cannot be read; correct --from or --from-schema, or add it as Chainlit "
                    "documents it"
                )
            self._tables[kind] = inspected

    async def count(self) -> Mapping[str, int]:
        """The number of rows of each table."""
        counts = {}
        for kind, inspected in self._tables.items():
            query = select(func.count()).select_from(inspected.clause)
            counts[kind] = await self._connection.scalar(query) or 0
        return counts

    async def notes(self) -> Sequence[str]:
        """The notes of who opened the source."""
        return self.extra_notes

    def users(self) -> AsyncGenerator[Chunk, None]:
        """Read all users."""
        return chunked(self._converted("user", self._all("user")))

    async def threads(
        self, after: str | None = None, only: Collection[str] | None = None
    ) -> AsyncGenerator[Chunk, None]:
        """Read threads by id, and what belongs to them; after `users`.

        Args:
            after: The resume token of an earlier batch.
            only: The ids of the threads to read; None: all.
        """
        async for ids in self._batches(after, only):
            await self._begin_batch(ids)
            for kind in self._thread_kinds:
                async for chunk in chunked(self._converted(kind, self._of_batch(kind, ids))):
                    yield chunk
            texts = [identifier(id) or "" for id in ids]
            yield Chunk(threads=texts, resume_token=orjson.dumps(ids[-1], default=str).decode())

    async def rest(self) -> AsyncGenerator[Chunk, None]:
        """Read rows whose thread is missing."""
        for kind in self._thread_kinds:
            async for chunk in chunked(self._orphans(kind)):
                yield chunk

    @property
    def _thread_kinds(self) -> Sequence[str]:
        return [kind for kind in ("thread", *IN_THREADS) if kind in self._tables]

    async def _begin_batch(self, ids: Sequence[Any]) -> None:
        """Look up the owners of some threads, and when something was said in them."""
        self._ordinals, self._rated = {}, set()
        self._identifiers, self._first_step, self._last_message = {}, {}, {}
        users, threads, steps = (self._columns(kind) for kind in ("user", "thread", "step"))
        batch = threads.id.in_(ids)
        owns = users.id.in_(select(threads.userId).where(batch))
        if self._has_column("thread", "userIdentifier"):
            owns |= users.identifier.in_(select(threads.userIdentifier).where(batch))
        async for row in self._rows(select(users.id, users.identifier).where(owns)):
            if any(isinstance(value, UndecodableText) for value in row.values()):
                continue  # The user is quarantined.
            id, name = identifier(row["id"]), identifier(row["identifier"])
            if id is not None and name is not None:
                self._identifiers[id] = name
        time = steps[self.STEP_TIME].label("time")
        query = select(steps.threadId, steps.type, time).where(steps.threadId.in_(ids))
        async for row in self._rows(query):
            at, id = instant(row["time"]), identifier(row["threadId"])
            if at is None or id is None:
                continue
            self._first_step[id] = min(at, self._first_step.get(id, at))
            if "message" in str(row["type"]):
                self._last_message[id] = max(at, self._last_message.get(id, at))

    @abstractmethod
    def _convert(self, kind: str, row: Row) -> Items:
        """Make records of a row.

        Raises:
            ValueError: The row cannot be stored; says why.
        """

    @abstractmethod
    def _order(self, kind: str) -> Sequence[Any]:
        """What rows are ordered by."""

    def _thread_column(self, kind: str) -> Any:
        """The id of the thread that a row belongs to."""
        return self._columns(kind).threadId

    def _columns(self, kind: str) -> Any:
        return self._tables[kind].clause.c

    def _has_column(self, kind: str, name: str) -> bool:
        return name in self._tables[kind].types

    def _is_decoded(self, kind: str, name: str) -> bool:
        """Whether a driver would decode a column, and hide what only some readers accept."""
        types = self._tables[kind].types
        return isinstance(types[name], JSON) and COLUMNS[kind].get(name) == DOCUMENT

    def _all(self, kind: str) -> Select[Any]:
        """All rows in their order, with the id of their thread as `THREAD_ID`."""
        columns: list[ColumnElement[Any]] = [
            cast(column, Text).label(column.name) if self._is_decoded(kind, column.name) else column
            for column in self._tables[kind].clause.c
        ]
        query = select(*columns).order_by(*self._order(kind))
        if kind in IN_THREADS:
            query = query.add_columns(self._thread_column(kind).label(THREAD_ID))
        return query

    def _of_batch(self, kind: str, ids: Sequence[Any]) -> Select[Any]:
        is_thread = kind == "thread"
        thread_id = self._columns(kind).id if is_thread else self._thread_column(kind)
        return self._all(kind).where(thread_id.in_(ids))

    def _thread_of_step(self, kind: str, name: str) -> Any:
        """The thread of the step that a column names."""
        steps, own = self._tables["step"].clause, self._tables[kind].clause
        query = select(steps.c.threadId).where(steps.c.id == own.c[name]).limit(1)
        return query.correlate(own).scalar_subquery()

    async def _orphans(self, kind: str) -> AsyncGenerator[Items, None]:
        """Rows whose thread is missing, and threads without an id."""
        id = self._columns("thread").id
        if kind == "thread":
            query, reason = self._all(kind).where(id.is_(None)), "it has no id"
        else:
            owner = select(id).where(id == self._thread_column(kind)).exists()
            query, reason = self._all(kind).where(~owner), "its thread is missing"
        async for row in self._rows(query, self._tables[kind].clause):
            row.pop(THREAD_ID, None)
            yield (QuarantinedRow(kind, self.TABLE_NAMES[kind], reason, row),)

    async def _converted(self, kind: str, query: Select[Any]) -> AsyncGenerator[Items, None]:
        """What the rows of a query became."""
        table_name = self.TABLE_NAMES[kind]
        async for row in self._rows(query, self._tables[kind].clause):
            undecodable = [
                name for name, value in row.items() if isinstance(value, UndecodableText)
            ]
            raw = {name: value for name, value in row.items() if name != THREAD_ID}
            try:
                for name in _KEY_COLUMNS:
                    if name in undecodable:
                        raise ValueError(f"its {name} is not valid UTF-8")
                if "userIdentifier" in undecodable:
                    row = {**row, "userIdentifier": None}  # It could read as another person's.
                items = self._convert(kind, row)
            except (ValueError, RejectedRow) as error:
                items = (QuarantinedRow(kind, table_name, str(error), raw),)
            else:
                if undecodable:
                    reason = f"{UNDECODABLE}: {', '.join(sorted(undecodable))}"
                    items += (QuarantinedRow(kind, table_name, reason, raw, partial=True),)
            yield items

    def _normalized(
        self,
        kind: str,
        row: Row,
        overrides: Mapping[str, Any],
        fallbacks: Mapping[str, Any],
        lenient: Sequence[str] = (),
    ) -> Items:
        """Make a record of a row, and quarantine what the record cannot hold of it.

        Args:
            kind: The kind of the record.
            row: The row.
            overrides: See `normalize`.
            fallbacks: See `normalize`.
            lenient: Columns whose JSON could only be read in part, besides those of ours.
        """
        result = normalize(
            kind, row, overrides=overrides, fallbacks=fallbacks, ignored=self._ignored.get(kind, ())
        )
        reasons = []
        if result.unplaced:
            reasons.append(f"there is no column for {', '.join(sorted(result.unplaced))}")
        if names := sorted({*result.lenient, *lenient}):
            reasons.append(f"{LENIENT_JSON}: {', '.join(names)}")
        values = result.record.values
        if kind in ("user", "thread") and not isinstance(values["metadata"], dict):
            reasons.append(NO_OBJECT)
        name = self.TABLE_NAMES[kind]
        quarantined = [QuarantinedRow(kind, name, reason, row, partial=True) for reason in reasons]
        return (result.record, *quarantined)

    async def _rows(
        self, query: Select[Any], wide_of: TableClause | None = None
    ) -> AsyncGenerator[Row, None]:
        """Read rows as dicts.

        Args:
            query: What to read.
            wide_of: The table whose columns may be large; None: none is.
        """
        names = [str(column.key) for column in query.selected_columns]
        wide = () if wide_of is None else list(wide_of.c)
        async with aclosing(fetch_portions(self._connection, query, wide)) as portions:
            async for portion in portions:
                for values in portion:
                    yield dict(zip(names, values, strict=True))

    async def _batches(
        self, after: str | None, only: Collection[str] | None
    ) -> AsyncGenerator[Sequence[Any], None]:
        if only is not None:
            wanted = [self._native_id(id) for id in sorted(only)]
            for start in range(0, len(wanted), BATCH):
                yield wanted[start : start + BATCH]
            return
        id = self._columns("thread").id
        # In its type: for SQLite 5 is not '5'.
        last = None if after is None else self._native_id(orjson.loads(after))
        while True:
            query = self._thread_ids().limit(BATCH)
            if last is not None:
                query = query.where(id > last)
            ids: Sequence[Any] = (await self._connection.scalars(query)).all()
            for thread_id in ids:
                self._check_id(thread_id)
            if not ids:
                return
            yield ids
            last = ids[-1]

    def _thread_ids(self) -> Select[Any]:
        """The ids of the threads; without a primary key an id may be there twice."""
        id = self._columns("thread").id
        return select(id).where(id.is_not(None)).distinct().order_by(id)

    def _check_id(self, id: Any) -> None:
        """Refuse ids that no query finds again: SQLite stores any bytes in any column."""
        if isinstance(id, (UndecodableText, bytes)):
            shown = id.escaped if isinstance(id, UndecodableText) else id.hex()
            raise ImportSourceError(
                f"{self.title}: the id of a thread is not text ({shown}); give the thread another "
                f"id in {', '.join(self._names[kind] for kind in self._thread_kinds)}, then run "
                "the same command again"
            )

    def _native_id(self, id: Any) -> Any:
        return uuid.UUID(id) if isinstance(self._tables["thread"].types["id"], Uuid) else id

    def _next_ordinal(self, kind: str, thread_id: str) -> int:
        """The number of a row in its thread: below the ordinals of rows that are written later."""
        number = self._ordinals[kind, thread_id] = self._ordinals.get((kind, thread_id), 0) + 1
        return number

    def _accept_newest(self, thread_id: str, step_id: str) -> None:
        """Accept the first feedback that is read for a step.

        Raises:
            ValueError: A newer one was accepted.
        """
        if (thread_id, step_id) in self._rated:
            raise ValueError("there is newer feedback for the same step")
        self._rated.add((thread_id, step_id))


def _inspect(
    sync: Connection, name: str, schema: str | None, our_names: Collection[str]
) -> _Table | None:
    inspector = inspect(sync)
    spellings = canonical_names(sync, inspector.get_table_names(schema=schema), [name])
    name = next((real for real, spelling in spellings.items() if spelling == name), name)
    if not inspector.has_table(name, schema=schema):
        return None
    columns = inspector.get_columns(name, schema=schema)
    types = {reflected["name"]: reflected["type"] for reflected in columns}
    spelled = canonical_names(sync, types, our_names)
    key = inspector.get_pk_constraint(name, schema=schema)["constrained_columns"]
    keys: list[Any] = [key]
    constraints = inspector.get_unique_constraints(name, schema=schema)
    keys += [constraint["column_names"] for constraint in constraints]
    keys += [
        index["column_names"]
        for index in inspector.get_indexes(name, schema=schema)
        if index["unique"] and not index.get("dialect_options")
    ]
    keeps_order = dialect_named(sync.dialect.name).numbers_rows(sync, name)
    return _Table(
        table(name, *(column(spelled[real]) for real in types), schema=schema),
        {spelled[real]: type_ for real, type_ in types.items()},
        {spelled[names[0]] for names in keys if len(names) == 1 and names[0]},
        () if keeps_order else [spelled[real] for real in key],
    )
