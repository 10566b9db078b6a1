"""The rows of the way back: ours into Chainlit's tables, and beside them what these cannot hold."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Column, MetaData, Table, func, or_, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import NullType

from ..._internal.broken_text import BrokenText
from ...dialects import Declared
from ...models import blob_deletions, imports, quarantine
from ..records import IN_THREADS, KEYS, TABLES, Record
from . import exact, older
from .exchange import KINDS, Job, say_differ
from .given import Given, Key
from .kept import ORIGIN, AsideSource
from .old_sources.bounded_fetch import pages
from .old_sources.lenient_values import exact as exactly
from .old_sources.native import OurSource
from .original import ASIDE, NAMES, Form
from .side import ORDINALS, Side, differing, restored

_THREADS, _STEPS = 100, 2_000
"""What is written and read back together: threads, and about how many steps."""
_ROWS = 500
_of_adoption = quarantine.c.source == ORIGIN


class Emptying:
    """Writes our rows into Chainlit's tables, and beside them what these cannot hold.

    Args:
        job: What it is a part of.
        connection: In the transaction.
        plan: Chainlit's tables.
        unknown: Columns by kind that we do not know.
    """

    def __init__(
        self,
        job: Job,
        connection: AsyncConnection,
        plan: Mapping[str, Form],
        unknown: Mapping[str, Sequence[Declared]],
    ) -> None:
        self._job, self._connection, self._plan = job, connection, plan
        self._report, database = job.report, job.database
        self._unknown = {kind: [one.name for one in unknown[kind]] for kind in unknown}
        self._ours = OurSource(connection, "", "", database.schema)
        self._theirs = AsideSource(database, connection, unknown)
        self._side = Side(database, connection)
        mover = job.mover
        strange = {
            kind: {one.name: mover.stranger(one.type) for one in columns}
            for kind, columns in unknown.items()
        }
        self._tables = {
            kind: Table(
                ASIDE[kind],
                MetaData(),
                *(Column(n, strange.get(kind, {}).get(n, NullType())) for n in form.names),
            )
            for kind, form in plan.items()
        }
        self._full = {
            kind: Table(
                table.name,
                MetaData(),
                *(Column(column.name, column.type) for column in table.columns),
                *(Column(name, type_) for name, type_ in strange.get(kind, {}).items()),
            )
            for kind, table in TABLES.items()
        }
        self._given = Given(connection, database.dialect, self._ours, self._full)
        self._twice: dict[str, set[str]] = {}
        self._done = 0

    async def run(self) -> None:
        """Fill the tables."""
        await self._side.make()
        await self._theirs.open()
        for kind in KINDS:
            self._report.rows[kind] = await self._job.count(self._connection, NAMES[kind])
        for kind in IN_THREADS:
            self._twice[kind] = await self._doubles(kind)
        await self._users()
        async for ids in self._batches():
            await self._given.look(["thread"], ids)
            await self._write_given("thread")
        await self._put_back()
        async for ids in self._batches():
            await self._batch(ids)
        async for row in exact.give_back(self._connection, self._tables, self._report.exact):
            await self._side.keep([_side_row("quarantine", row.id, row._asdict())])
            self._report.beside["quarantine"] += 1
        await self._others()

    async def _users(self) -> None:
        await self._given.look(["user"])
        await self._write_given("user")
        await self._compare(None)

    async def _batches(self) -> AsyncIterator[list[str]]:
        """Threads by id, few enough for their keys to be held."""
        threads, steps = TABLES["thread"], TABLES["step"]
        count = select(func.count()).where(steps.c.threadId == threads.c.id).scalar_subquery()
        last = ""
        while True:
            query = select(threads.c.id, count).order_by(threads.c.id).limit(_THREADS)
            if last:
                query = query.where(threads.c.id > last)
            rows = (await self._connection.execute(query)).all()
            if not rows:
                return
            ids: list[str] = []
            total = 0
            for id, number in rows:
                if ids and total + number > _STEPS:
                    break
                ids.append(id)
                total += number
            yield ids
            last = ids[-1]

    async def _batch(self, ids: Sequence[str]) -> None:
        """What lies in some threads: write it, read it back, and keep what is lost."""
        await self._given.look(["thread", *IN_THREADS], ids)
        await self._write_given(*IN_THREADS)
        await self._compare(ids)
        await self._connection.run_sync(self._job.mover.close_cursors)
        self._report.threads += len(ids)
        self._done += len(self._given.widths)
        total = self._report.rows.total() - self._report.rows["user"]
        self._job.watch("given back", self._done, total)

    async def _write_given(self, *kinds: str) -> None:
        async for records in self._given.read([k for k in self._given.widths if k[0] in kinds]):
            await self._write(records)

    async def _compare(self, ids: Sequence[str] | None) -> None:
        """Read back what was written, and keep what was not read."""
        late = await self._compared(ids)
        self._given.numbered |= late
        if late:  # What was compared before one order differed is to keep its own as well.
            await self._compared(sorted(late))
        told: dict[str, Any] = {"kind": ORDINALS, "was": None, "now": {}}
        await self._side.keep([told | {"key": one, "thread": one} for one in self._given.numbered])

    async def _compared(self, ids: Sequence[str] | None) -> set[str]:
        """Compare a few at a time; the threads of which the orders turn out to differ."""
        late: set[str] = set()
        seen: set[Key] = set()
        counts: dict[str | None, Counter[str]] = defaultdict(Counter)
        threads = self._theirs.users() if ids is None else self._theirs.threads(only=ids)
        async for chunk in threads:
            theirs = {one.key: one for one in chunk.records}
            seen |= theirs.keys()
            async for records in self._given.read(theirs):
                await self._keep(records, theirs, late, counts)
            self._theirs.beside.clear()
        of = None if ids is None else set(ids)
        left = [k for k in self._given.widths if k not in seen and (of is None or k[1] in of)]
        async for records in self._given.read(left):
            await self._keep(records, {}, late, counts)
        for place, found in counts.items():
            if place not in late:
                self._report.beside += found
        return late

    async def _write(self, records: Sequence[Record]) -> None:
        by_kind: dict[str, list[Record]] = {}
        for record in records:
            if self._is_first(record):
                by_kind.setdefault(record.kind, []).append(record)
        for kind, found_ in by_kind.items():
            for start in range(0, len(found_), _ROWS):
                await self._insert(kind, found_[start : start + _ROWS])

    async def _insert(self, kind: str, records: Sequence[Record]) -> None:
        beside = await self._strange(kind, records)
        form, mover = self._plan[kind], self._job.mover
        rows = [older.row(one, form, mover) | beside.get(one.key, {}) for one in records]
        insert = self._tables[kind].insert()
        await self._job.database.dialect.execute_many(self._connection, insert, rows)
        self._report.kept[kind] += len(rows)

    def _is_first(self, record: Record) -> bool:
        """Of rows with one id in several threads, Chainlit's tables hold one."""
        if record.kind not in self._twice or record.values["id"] not in self._twice[record.kind]:
            return True
        key = f"{record.kind} {record.values['id']}"
        seen = self._twice.setdefault("", set())
        if key in seen:
            return False
        seen.add(key)
        return True

    async def _doubles(self, kind: str) -> set[str]:
        id = TABLES[kind].c.id
        query = select(id).group_by(id).having(func.count() > 1)
        return set(await self._connection.scalars(query))

    async def _strange(
        self, kind: str, records: Sequence[Record]
    ) -> dict[tuple[str, ...], dict[str, Any]]:
        """The values of columns that we do not know, as the driver gives them."""
        if not (names := self._unknown.get(kind)):
            return {}
        table, keys = self._full[kind], KEYS[kind]
        query = select(*(table.c[name] for name in (*keys, *names))).where(
            table.c.id.in_([one.values["id"] for one in records]),
            or_(*(table.c[name].is_not(None) for name in names)),
        )
        rows = await self._connection.execute(query)
        return {
            (kind, *row[: len(keys)]): dict(zip(names, row[len(keys) :], strict=True))
            for row in rows
        }

    async def _keep(
        self,
        records: Sequence[Record],
        theirs: Mapping[Key, Record],
        late: set[str],
        counts: Mapping[str | None, Counter[str]],
    ) -> None:
        """Keep what was not read back, but of threads whose orders turn out to differ."""
        numbered = self._given.numbered
        late |= {
            str(one.thread_id)
            for one in records
            if "ordinal" in one.values
            and one.thread_id not in numbered
            and (
                one.key not in theirs or theirs[one.key].values["ordinal"] != one.values["ordinal"]
            )
        }
        rows: list[dict[str, Any]] = []
        for record in records:
            if record.thread_id in late:
                continue
            read = theirs.get(record.key)
            row = differing(record, read, ordinal=record.thread_id in numbered)
            if row is not None:
                rows.append(row)
                counts[record.thread_id][record.kind] += 1
            if restored(record, read, row).digest() != record.digest():
                raise say_differ([record.thread_id])
        await self._side.keep(rows)

    async def _put_back(self) -> None:
        """Rows of the quarantine, into the tables from which they came."""
        kinds = {name: kind for kind, name in NAMES.items()}
        columns = quarantine.c
        query = select(quarantine).where(~(exact.of_values & _of_adoption))
        async for rows in pages(self._connection, query, [columns.id], [columns.row]):
            kept = []
            for row in rows:
                kind = kinds.get(row.origin) if row.source == ORIGIN else None
                if kind is not None and await self._fits(kind, row.row):
                    self._report.put_back[kind] += 1
                else:
                    kept.append(_side_row("quarantine", row.id, row._asdict()))
            self._report.beside["quarantine"] += len(kept)
            await self._side.keep(kept)

    async def _fits(self, kind: str, row: Mapping[str, Any]) -> bool:
        """Put a row back, unless one of ours has its id or the table refuses it."""
        id = row.get("id")
        table, form, mover = self._tables[kind], self._plan[kind], self._job.mover
        if id is None or set(row) - set(form.names):
            return False
        ours = TABLES[kind].c.id
        if BrokenText.parse(id) is None and await self._connection.scalar(
            select(func.count()).where(ours == str(id))
        ):
            return False
        types = {one.name: one.type for one in form.columns}
        try:
            async with self._connection.begin_nested():
                values = {name: _raw(types[name], value, mover) for name, value in row.items()}
                await self._connection.execute(table.insert().values(values))
        except (DBAPIError, ValueError, TypeError):
            return False
        return True

    async def _others(self) -> None:
        """Rows of ours that Chainlit has no tables for."""
        async for chunk in self._ours.rest():
            await self._side.keep([r for one in chunk.records if (r := differing(one, None))])
            self._report.beside["tombstone"] += len(chunk.records)
        for table, kind, key, wide in (
            (blob_deletions, "blob_deletion", "objectKey", "objectKey"),
            (imports, "import", "id", "details"),
        ):
            query, column = select(table), table.c[key]
            async for rows in pages(
                self._connection, query.where(column != ORIGIN), [column], [table.c[wide]]
            ):
                values = [row._asdict() for row in rows]
                await self._side.keep([_side_row(kind, one[key], one) for one in values])
        self._report.beside = +self._report.beside


def _side_row(kind: str, key: str, values: Mapping[str, Any]) -> dict[str, Any]:
    shown = {
        name: value if not isinstance(value, datetime) else value.isoformat()
        for name, value in values.items()
    }
    return {"kind": kind, "key": key, "thread": None, "was": {}, "now": shown}


def _raw(type_: str, value: Any, mover: Any) -> Any:
    """A value of a row that was put aside, as its column takes it."""
    if (broken := BrokenText.parse(value)) is not None:
        return exactly(broken)
    if isinstance(value, str) and type_.lower().startswith("timestamp"):
        value = datetime.fromisoformat(value)
    if isinstance(value, str) and type_.lower().startswith("json"):
        return value  # It was read as text.
    return None if value is None else mover.bind(type_, "", value)
