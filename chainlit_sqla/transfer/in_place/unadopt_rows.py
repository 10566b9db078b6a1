"""`CopyOut`: brings our records into Chainlit's tables, and the rest into a file."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Column, MetaData, Table, bindparam, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ..._internal.aio import Watch
from ..._internal.retry import bisect
from ..._internal.timestamps import format_instant, now
from ...database import Database
from ...dialects import ErrorKind
from ...errors import AdoptionRefused
from ..record_file import End, Header
from ..records import COLUMNS, EPOCH, IN_THREADS, TABLES, Record, sorted_by_kind
from ..sources import (
    ADOPTION,
    BATCH,
    QUARANTINED,
    Chunk,
    NativeSource,
    QuarantinedRow,
    SqlAlchemyLayerSource,
)
from .change import Report
from .legacy_tables import BACKUP_NAMES, TABLE_NAMES, legacy_value

Key = tuple[str, ...]

_KEYS = {
    "user": ("id",),
    "thread": ("id",),
    "step": ("id", "threadId"),
    "element": ("id", "threadId"),
    "feedback": ("id", "forId", "threadId"),
}
"""The columns that find a row of Chainlit's tables; feedback may have an empty threadId."""
_DERIVED: Mapping[str, Mapping[str, Any]] = {
    "thread": {"updatedAt": EPOCH},
    "step": {"ordinal": 0},
    "element": {"ordinal": 0, "createdAt": EPOCH},
    "feedback": {"createdAt": EPOCH},
}
"""Values that follow from others in Chainlit's tables, and are not compared."""
_KIND_OF_TABLE = {name: kind for kind, name in TABLE_NAMES.items()}


class CopyOut:
    """Brings the records of our tables into Chainlit's.

    Args:
        database: The database.
        connection: In the transaction.
        types: The columns of Chainlit's tables, by kind.
        report: Is completed.
        file: Takes what Chainlit's tables cannot hold.
        watch: Called with the progress.
    """

    def __init__(
        self,
        database: Database,
        connection: AsyncConnection,
        types: Mapping[str, Mapping[str, Any]],
        report: Report,
        file: RecordFile,
        watch: Watch,
    ) -> None:
        self._connection, self._dialect = connection, database.dialect
        self._report, self._file, self._watch = report, file, watch
        self._ours = NativeSource(connection, schema=database.schema, unknown_columns=True)
        self._theirs = SqlAlchemyLayerSource(
            connection,
            database.dialect,
            ADOPTION,
            ADOPTION,
            schema=database.schema,
            table_names=BACKUP_NAMES,
            ignored_columns={
                kind: [name for name in types[kind] if name not in COLUMNS[kind]]
                for kind in ("user", "thread", "feedback")
            },
        )
        self._tables = {
            kind: Table(
                BACKUP_NAMES[kind],
                MetaData(),
                *(Column(name, type_) for name, type_ in columns.items()),
            )
            for kind, columns in types.items()
        }
        self._done = 0
        self._refused: set[Key] = set()
        """The records that the adoption could not write: they were never in our tables."""

    async def run(self) -> None:
        """Copy everything."""
        await self._theirs.open()
        async for chunk in self._ours.rest():
            self._refused.update(filter(None, map(_refused_key, chunk.quarantined)))
        backup: dict[Key, int] = {}
        await self._digest(self._theirs.users(), backup)
        deleted_users = await self._write(self._ours.users(), backup)
        await self._compare()
        threads: set[str] = set()
        backup = {}
        async with aclosing(self._theirs.threads()) as chunks:
            async for chunk in chunks:
                _add_digests(chunk, backup)
                if chunk.threads is not None:
                    threads.update(chunk.threads)
                    await self._copy_threads(chunk.threads, backup)
                    backup = {}
        async for ids in self._new_threads(threads):
            await self._copy_threads(ids, {})
        await self._delete(deleted_users)
        async for chunk in self._ours.rest():
            self._file.write([record.line() for record in chunk.records], "tombstone")
            self._file.write([row.line() for row in chunk.quarantined], QUARANTINED)

    async def _new_threads(self, known: Collection[str]) -> AsyncGenerator[Sequence[str], None]:
        """The ids of threads that the backup does not have."""
        column, last = TABLES["thread"].c.id, ""
        while True:
            query = select(column).where(column > last).order_by(column).limit(BATCH)
            ids = (await self._connection.scalars(query)).all()
            if not ids:
                return
            last = ids[-1]
            if new := [id for id in ids if id not in known]:
                yield new

    async def _copy_threads(self, ids: Sequence[str], backup: dict[Key, int]) -> None:
        """Bring some threads into the backup, and check what it holds of them then."""
        await self._delete(await self._write(self._ours.threads(only=ids), backup))
        self._report.threads += len(ids)
        await self._compare(ids)

    async def _digest(self, chunks: AsyncGenerator[Chunk, None], digests: dict[Key, int]) -> None:
        async with aclosing(chunks) as opened:
            async for chunk in opened:
                _add_digests(chunk, digests)

    async def _write(
        self, chunks: AsyncGenerator[Chunk, None], backup: dict[Key, int]
    ) -> list[Key]:
        """Write what the backup does not have like that.

        Returns:
            The keys of what was deleted since the adoption.
        """
        known = set(backup)
        async with aclosing(chunks) as opened:
            async for chunk in opened:
                changed = [
                    record
                    for record in chunk.records
                    if backup.pop(_row_key(record), None) != _digest(record)
                ]
                for kind, records in sorted_by_kind(changed).items():
                    new = [record for record in records if _row_key(record) not in known]
                    old = [record for record in records if _row_key(record) in known]
                    await self._execute(self._insert_statement(kind), kind, new)
                    await self._execute(self._update_statement(kind), kind, old)
                self._done += len(chunk.records)
                self._watch("Copying", self._done, self._report.before.total())
        return [key for key in backup if key not in self._refused]

    async def _compare(self, ids: Sequence[str] | None = None) -> None:
        """Write to the file what Chainlit's tables do not hold completely.

        Args:
            ids: The threads to compare; None: the users.
        """

        def read(
            source: NativeSource | SqlAlchemyLayerSource, only: Sequence[str] | None
        ) -> AsyncGenerator[Chunk, None]:
            return source.users() if only is None else source.threads(only=only)

        held: dict[Key, int] = {}
        type_ = self._tables["thread"].c["id"].type
        fitting = ids and [id for id in ids if legacy_value("thread", "id", id, type_)]
        await self._digest(read(self._theirs, fitting), held)
        incomplete: set[Key] = set()
        async with aclosing(read(self._ours, ids)) as chunks:
            async for chunk in chunks:
                incomplete.update(
                    record.key
                    for record in chunk.records
                    if held.get(_row_key(record)) != _digest(record)
                )
        if not incomplete:
            return
        # An import needs the line of a thread, which names its owner, before those of its rows.
        thread_ids = {key[1] for key in incomplete}
        async with aclosing(read(self._ours, ids)) as chunks:
            async for chunk in chunks:
                for record in chunk.records:
                    if record.key in incomplete:
                        self._file.write([record.line()], record.kind)
                    elif record.kind == "thread" and record.values["id"] in thread_ids:
                        self._file.write([record.line()], record.kind, counted=False)

    def _insert_statement(self, kind: str) -> Any:
        return self._tables[kind].insert()

    def _update_statement(self, kind: str) -> Any:
        table = self._tables[kind]
        values = {
            name: bindparam(f"value_{name}", type_=table.c[name].type)
            for name in self._names(kind)
            if name not in _KEYS[kind]
        }
        return update(table).where(*self._conditions(kind)).values(values)

    def _conditions(self, kind: str) -> list[Any]:
        columns = self._tables[kind].c
        conditions = {
            name: columns[name] == bindparam(f"key_{name}", type_=columns[name].type)
            for name in _KEYS[kind]
            if name in columns
        }
        if kind == "feedback" and "threadId" in conditions:
            conditions["threadId"] |= columns["threadId"].is_(None)
        return [*conditions.values()]

    def _names(self, kind: str) -> list[str]:
        """The columns that both kinds of tables have."""
        return [name for name in self._tables[kind].c.keys() if name in COLUMNS[kind]]  # noqa: SIM118 - columns

    def _row(self, record: Record) -> dict[str, Any] | None:
        """The row of Chainlit's tables for a record; None: an id of it cannot be written."""
        kind, values, columns = record.kind, dict(record.values), self._tables[record.kind].c
        extra = values.get("extra")
        if kind == "element" and isinstance(extra, dict) and not values["url"]:
            values["url"] = extra.get("url")  # The link of a file that Chainlit's layer wrote.
        if kind in ("step", "element") and values["name"] is None:
            values["name"] = ""
        row = {
            name: legacy_value(kind, name, values[name], columns[name].type)
            for name in self._names(kind)
        }
        if "disableFeedback" in columns:  # Required until October 2024.
            row["disableFeedback"] = False
        identifying = {"id", *_KEYS[kind]}
        return row if all(row.get(n, "") is not None for n in identifying) else None

    async def _execute(self, statement: Any, kind: str, records: Sequence[Record]) -> None:
        """Insert or update rows; what the database refuses is found missing afterwards."""
        rows = [row for row in map(self._row, records) if row is not None]
        if statement.is_update:
            rows = [
                {
                    f"{'key' if n in _KEYS[kind] else 'value'}_{n}": v
                    for n, v in row.items()
                    if n in COLUMNS[kind]
                }
                for row in rows
            ]

        async def execute(portion: Sequence[dict[str, Any]]) -> None:
            async with self._connection.begin_nested():
                await self._connection.execute(statement, list(portion))

        await bisect(rows, execute, self._is_refusal, lambda _row, _error: None)

    def _is_refusal(self, error: Exception) -> bool:
        return isinstance(error, self._dialect.errors) and self._dialect.classify(error) in (
            ErrorKind.REJECTED,
            ErrorKind.REPEAT,
        )

    async def _delete(self, keys: Collection[Key]) -> None:
        """Delete rows of Chainlit's tables, and of a deleted thread also what was quarantined."""
        thread_ids = [key[1] for key in keys if key[0] == "thread"]
        for kind in reversed(IN_THREADS):
            column = self._tables[kind].c.get("threadId")
            if thread_ids and column is not None:
                statement = delete(self._tables[kind]).where(
                    column == bindparam("thread_id", type_=column.type)
                )
                rows = [
                    {"thread_id": legacy_value(kind, "threadId", id, column.type)}
                    for id in thread_ids
                ]
                await self._connection.execute(statement, rows)
        for kind in (*reversed(IN_THREADS), "thread", "user"):
            rows = []
            for key in keys:
                if key[0] != kind:
                    continue
                named = {"threadId": key[1], "forId": key[-2], "id": key[-1]}
                columns = self._tables[kind].c
                rows.append(
                    {
                        f"key_{name}": legacy_value(kind, name, named[name], columns[name].type)
                        for name in _KEYS[kind]
                        if name in columns
                    }
                )
            if rows:
                statement = delete(self._tables[kind]).where(*self._conditions(kind))
                await self._connection.execute(statement, rows)


class RecordFile:
    """A file of records that is created with the first line.

    Args:
        path: Where.
        label: The database, without a password.
        report: Gets the path and the counts.
    """

    def __init__(self, path: Path, label: str, report: Report) -> None:
        self._path, self._label, self._report = path, label, report
        self._file: IO[bytes] | None = None
        self._counts = Counter[str]()

    def __enter__(self) -> RecordFile:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._file is not None:
            self._file.write(End(self._counts).line() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def write(self, lines: Sequence[bytes], kind: str, *, counted: bool = True) -> None:
        """Append lines of one kind.

        Args:
            lines: Without their ends.
            kind: The kind of record.
            counted: Whether the report counts them as not held by Chainlit's tables.
        """
        if not lines:
            return
        if counted:
            self._report.in_file[kind] += len(lines)
        if self._report.dry_run:
            return
        if self._file is None:
            self._file = self._create()
        self._counts[kind] += len(lines)
        self._file.write(b"\n".join(lines) + b"\n")

    def _create(self) -> IO[bytes]:
        from ... import __version__

        def private(path: str, flags: int) -> int:
            return os.open(path, flags, 0o600)  # Conversations are private.

        try:
            file = open(self._path, "xb", opener=private)  # noqa: SIM115 - closed by __exit__
        except OSError as error:
            raise AdoptionRefused(
                f"No changes made: {self._path} cannot be created ({error.strerror}); name another "
                "file with --output"
            ) from error
        self._report.file = self._path
        filters = {"unadopt": "what Chainlit's tables cannot hold"}
        header = Header(__version__, str(format_instant(now())), self._label, filters)
        file.write(header.line() + b"\n")
        return file


def _refused_key(row: QuarantinedRow) -> Key | None:
    """The key of a record that the database refused in the adoption; None for other entries.

    Such an entry has the columns of our table; all others have those of Chainlit's.
    """
    kind = _KIND_OF_TABLE.get(row.table)
    if kind is None or row.entry is None or row.entry.source != ADOPTION:
        return None
    return _row_key(Record(kind, row.row)) if row.row.keys() >= COLUMNS[kind].keys() else None


def _row_key(record: Record) -> Key:
    """The key of a record's row in Chainlit's tables, where a step can have several feedbacks."""
    return (*record.key, record.values["id"]) if record.kind == "feedback" else record.key


def _add_digests(chunk: Chunk, digests: dict[Key, int]) -> None:
    digests.update((_row_key(record), _digest(record)) for record in chunk.records)


def _digest(record: Record) -> int:
    """The digest without the values that follow from others in Chainlit's tables."""
    derived = _DERIVED.get(record.kind, {})
    return replace(record, values={**record.values, **derived}).digest()
