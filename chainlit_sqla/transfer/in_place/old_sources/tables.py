"""`TableSource`: what reading another layer's tables has in common.

Tables are read as they are: whatever columns there are, of whatever types, in the order in
which the rows were written where nothing else orders them. No index is expected: what lies
in a batch of threads is read in one go.
"""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence, Set
from contextlib import aclosing
from typing import Any

from sqlalchemy import (
    ColumnClause,
    Connection,
    Select,
    TableClause,
    Uuid,
    column,
    func,
    inspect,
    select,
    table,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from ...._internal.broken_text import BrokenText
from ....dialects import Dialect, dialect_named
from ....dialects.letter_case import canonical
from ....errors import ImportSourceError, RejectedRow
from ...records import COLUMNS, IN_THREADS, Record
from . import normalize as shape
from .base import BATCH, Chunk, Misfit, rechunked
from .bounded_fetch import portions
from .lenient_values import Names, Row, exact, reasons
from .resume_token import id_at, position_of

PLACE = "chainlit_sqla_place"
"""The name under which a row's thread is read, where a row does not say it by itself."""


Items = tuple[Record | Misfit, ...]


class TableSource(ABC):
    """Another layer's tables.

    Args:
        connection: In a transaction that sees one state of the database.
        dialect: The database's dialect.
        title: What it is, for people.
        identity: See `Source`.
        schema: The schema of the tables; None: the connection's default one.
        names: The names of the tables by kind, where they are not `NAMES`.
    """

    part = ""
    NAMES: Mapping[str, str]
    """The table of each kind."""
    NEEDED: Mapping[str, Set[str]]
    """Columns by kind without which a table cannot be read."""
    PLACE = "threadId"
    """The column that names the thread."""
    strangers: Mapping[str, Collection[str]]
    """Columns by kind that we do not have and that need no place."""

    def __init__(
        self,
        connection: AsyncConnection,
        dialect: Dialect,
        title: str,
        identity: str,
        *,
        schema: str | None = None,
        names: Mapping[str, str] | None = None,
    ) -> None:
        self.title = title
        self.identity = identity
        self._connection = connection
        self._dialect = dialect
        self._schema = schema
        self._names = names or self.NAMES
        self._tables: dict[str, TableClause] = {}
        self._types: dict[str, dict[str, Any]] = {}
        self._unique: dict[str, set[str]] = {}
        self._keys: dict[str, Sequence[str]] = {}
        """The primary keys of tables that keep no other order."""
        self._numbers: dict[tuple[str, str], int] = {}
        self._rated: set[tuple[str, str]] = set()
        self._odd: dict[str, list[Any]] = {}
        """Ids of the batch that was read last, by their text, which does not find them."""
        self._may_break = False
        self._people = Names()

    async def open(self) -> None:
        """Look which columns there are; before anything else.

        Raises:
            ImportSourceError: One is missing that is needed.
        """
        self._may_break = await self._dialect.keep_broken_text(self._connection)
        for kind, name in self._names.items():
            found = await self._connection.run_sync(_inspected, name, self._schema, COLUMNS[kind])
            if found is None:
                continue  # No table, no rows.
            columns, unique, key = found
            if missing := ", ".join(sorted(self.NEEDED[kind] - columns.keys())):
                raise ImportSourceError(
                    f"{self.title}: the table {name} has no column {missing}, without which it "
                    "cannot be read; correct --from or --from-schema, or add it as Chainlit "
                    "documents it"
                )
            if key:
                self._keys[kind] = key
            self._types[kind] = columns
            self._unique[kind] = unique
            self._tables[kind] = table(name, *(column(one) for one in columns), schema=self._schema)
        if self._may_break:
            named = select(self._tables["user"].c.identifier)
            await self._people.look(lambda: self._rows(named, narrow=True))

    async def count(self) -> Mapping[str, int]:
        """The rows of each table."""
        counts = {}
        for kind, one in self._tables.items():
            query = select(func.count()).select_from(one)
            counts[kind] = await self._connection.scalar(query) or 0
        return counts

    async def notes(self) -> Sequence[str]:
        """Nothing, unless a layer has something."""
        return ()

    async def users(self) -> AsyncGenerator[Chunk, None]:
        """All users."""
        rows = self._rows(self._all("user"))
        async for chunk in rechunked(self._shaped("user", rows)):
            yield chunk

    async def threads(
        self, after: str | None = None, only: Collection[str] | None = None
    ) -> AsyncGenerator[Chunk, None]:
        """Threads by id, and what lies in them; after `users`.

        Args:
            after: The id of the last thread of an earlier batch.
            only: Just these threads; those whose id is no text, or is shown otherwise, only
                while their batch was the last that was read.
        """
        async for ids in self._batches(after, only):
            texts = [shape.identifier(id) or "" for id in ids]
            if only is None:
                self._remember_odd(texts, ids)
            self._numbers, self._rated = {}, set()
            await self._prepare(ids)
            for kind in self._of_threads:
                rows = self._rows(self._of_batch(kind, ids))
                async for chunk in rechunked(self._shaped(kind, rows)):
                    yield chunk
            yield Chunk(threads=texts, position=position_of(ids[-1]))

    async def rest(self) -> AsyncGenerator[Chunk, None]:
        """Rows without a thread."""
        broken = [id async for id in self._broken_ids()]
        for kind in self._of_threads:
            name = self._names[kind]
            async for chunk in rechunked(self._stray(kind, name)):
                yield chunk
            for start in range(0, len(broken), BATCH):
                rows = self._rows(self._of_batch(kind, broken[start : start + BATCH]))
                async for chunk in rechunked(self._unnamed(kind, name, rows)):
                    yield chunk

    @property
    def _of_threads(self) -> Sequence[str]:
        """Kinds that have a table, but for users; an app without files may have none for these."""
        return [kind for kind in ("thread", *IN_THREADS) if kind in self._tables]

    @abstractmethod
    async def _prepare(self, ids: Sequence[Any]) -> None:
        """Look up what the rows of a batch of threads need."""

    @abstractmethod
    def _shape(self, kind: str, row: Row) -> Items:
        """Make records of a row.

        Raises:
            ValueError: It cannot be one; says why.
        """

    def _all(self, kind: str) -> Select[Any]:
        """All rows in their order, and under `PLACE` the thread of what lies in one."""
        query = select(*self._tables[kind].c).order_by(*self._order(kind))
        return query.add_columns(self._place(kind).label(PLACE)) if kind in IN_THREADS else query

    @abstractmethod
    def _order(self, kind: str) -> Sequence[Any]:
        """What rows are ordered by."""

    def _of_batch(self, kind: str, ids: Sequence[Any]) -> Select[Any]:
        place = self._tables["thread"].c.id if kind == "thread" else self._place(kind)
        return self._all(kind).where(place.in_(ids))

    def _place(self, kind: str) -> Any:
        return self._tables[kind].c[self.PLACE]

    def _of_step(self, kind: str, name: str) -> Any:
        """The thread of the step that a column names."""
        steps, own = self._tables["step"], self._tables[kind]
        found = select(steps.c.threadId).where(steps.c.id == own.c[name]).limit(1)
        return found.correlate(own).scalar_subquery()

    def _strays(self, kind: str) -> Select[Any]:
        """Rows whose thread is not there, or that have no id where they are threads."""
        id = self._tables["thread"].c.id
        if kind == "thread":
            return self._all(kind).where(id.is_(None))
        there = select(id).where(id == self._place(kind)).exists()
        return self._all(kind).where(~there)

    async def _stray(self, kind: str, name: str) -> AsyncGenerator[Items, None]:
        async for row in self._rows(self._strays(kind)):
            row.pop(PLACE, None)
            reason = "it has no id" if kind == "thread" else "its thread is not there"
            yield (Misfit(kind, name, reason, row),)

    async def _broken_ids(self) -> AsyncGenerator[Any, None]:
        """The ids of threads that are no UTF-8: these cannot be asked for by their text."""
        if not self._may_break:
            return
        query = select(self._tables["thread"].c.id).distinct()
        async for row in self._rows(query, narrow=True):
            if isinstance(row["id"], BrokenText):
                yield exact(row["id"])

    async def _unnamed(
        self, kind: str, name: str, rows: AsyncGenerator[Row, None]
    ) -> AsyncGenerator[Items, None]:
        whose = "id" if kind == "thread" else "thread's id"
        async for row in rows:
            row.pop(PLACE, None)
            yield (Misfit(kind, name, f"its {whose} is no UTF-8", row),)

    async def _shaped(
        self, kind: str, rows: AsyncGenerator[Row, None]
    ) -> AsyncGenerator[Items, None]:
        async for row in rows:
            broken = sorted(name for name, one in row.items() if isinstance(one, BrokenText))
            try:
                items = self._shape(kind, self._people.row(row, broken) if broken else row)
            except (ValueError, RejectedRow) as error:
                row.pop(PLACE, None)
                items = (Misfit(kind, self._names[kind], str(error), row),)
            else:
                row.pop(PLACE, None)
                table, why = self._names[kind], reasons(kind, row, broken, items)
                items += tuple(Misfit(kind, table, one, row, kept=True) for one in why)
            yield items

    async def _rows(self, query: Select[Any], *, narrow: bool = False) -> AsyncGenerator[Row, None]:
        columns = list(query.selected_columns)
        names = [str(one.key) for one in columns]
        wide = [one for one in columns if isinstance(one, ColumnClause) and not narrow]
        async with aclosing(portions(self._connection, query, wide)) as found:
            async for portion in found:
                for row in portion:
                    yield dict(zip(names, row, strict=True))

    async def _batches(
        self, after: str | None, only: Collection[str] | None
    ) -> AsyncGenerator[Sequence[Any], None]:
        id = self._tables["thread"].c.id
        last = None if after is None else id_at(after)
        wanted = None if only is None else [raw for id in sorted(only) for raw in self._raw(id)]
        start = 0
        while True:
            query = self._ids().limit(BATCH)
            if wanted is not None:
                portion = wanted[start : start + BATCH]
                start += BATCH
                ids: Sequence[Any] = portion
            else:
                if last is not None:
                    query = query.where(id > last)
                ids = (await self._connection.scalars(query)).all()
            if not ids:
                return
            last = exact(ids[-1])
            if readable := [id for id in ids if not isinstance(id, BrokenText)]:
                yield readable

    def _ids(self) -> Select[Any]:
        """The ids of the threads; without a primary key one may be there twice."""
        id = self._tables["thread"].c.id
        return select(id).where(id.is_not(None)).distinct().order_by(id)

    def _next(self, kind: str, thread_id: str) -> int:
        """The place among its like: what is written from now on comes after it."""
        number = self._numbers[kind, thread_id] = self._numbers.get((kind, thread_id), 0) + 1
        return number

    def _newest(self, thread_id: str, for_id: str) -> None:
        """Take the first feedback that is read for a step.

        Raises:
            ValueError: There was one.
        """
        if (thread_id, for_id) in self._rated:
            raise ValueError("a newer feedback is there for the same step")
        self._rated.add((thread_id, for_id))

    def _finish(
        self, kind: str, row: Row, known: Mapping[str, Any], else_: Mapping[str, Any]
    ) -> Items:
        """A record of a row, and what found no place in it: see `shape.record`."""
        record, rest = shape.record(
            kind, row, known=known, else_=else_, aside=self.strangers.get(kind, ())
        )
        return (shape.without_link(record), *self._aside(kind, row, rest))

    def _aside(self, kind: str, row: Row, rest: Collection[str]) -> Sequence[Misfit]:
        """What of a row found no place."""
        if not rest:
            return []
        names = ", ".join(sorted(rest))
        reason = f"there is no place for {names}"
        return [Misfit(kind, self._names[kind], reason, row, kept=True)]

    def _remember_odd(self, texts: Sequence[str], ids: Sequence[Any]) -> None:
        """SQLite has ids that are numbers, or have a NUL: their text finds no row."""
        self._odd = {}
        for text, id in zip(texts, ids, strict=True):
            if id != self._native(text):
                self._odd.setdefault(text, []).append(id)

    def _raw(self, id: str) -> Sequence[Any]:
        """The ids of the database that a text stands for."""
        return [self._native(id), *self._odd.get(id, ())]

    def _native(self, id: str) -> Any:
        """An id as the database has it."""
        return uuid.UUID(id) if isinstance(self._types["thread"]["id"], Uuid) else id


def rating(value: Any) -> int:
    """The value of a feedback.

    Raises:
        ValueError: It is none.
    """
    found = shape.feedback_value(value)
    if found is None:
        raise ValueError("its value is neither 0 nor 1")
    return found


def _inspected(
    sync: Connection, name: str, schema: str | None, known: Collection[str]
) -> tuple[dict[str, Any], set[str], Sequence[str]] | None:
    """The columns by name with their types, those of which a value is there once, and the key.

    The key only where it is all the order there is: SQLite's tables WITHOUT ROWID. None where
    there is no such table.
    """
    inspector = inspect(sync)
    there = canonical(sync, inspector.get_table_names(schema=schema), [name])
    name = next((real for real, ours in there.items() if ours == name), name)
    if not inspector.has_table(name, schema=schema):
        return None
    types = {one["name"]: one["type"] for one in inspector.get_columns(name, schema=schema)}
    ours = canonical(sync, types, known)
    columns = {ours[one]: type_ for one, type_ in types.items()}
    key = inspector.get_pk_constraint(name, schema=schema)["constrained_columns"]
    keys: list[Any] = [key]
    keys += [one["column_names"] for one in inspector.get_unique_constraints(name, schema=schema)]
    keys += [
        one["column_names"]
        for one in inspector.get_indexes(name, schema=schema)
        if one["unique"] and not one.get("dialect_options")
    ]
    unique = {ours[one[0]] for one in keys if len(one) == 1 and one[0]}
    numbered = dialect_named(sync.dialect.name).numbers_rows(sync, name)
    return columns, unique, () if numbered else [ours[one] for one in key]
