"""`Unadoption`: from our tables back to those of Chainlit's SQLAlchemy layer, in place.

Invariants:

- One transaction, as the adoption is.
- A row that is the same in the backup and in our tables stays untouched, so unknown columns, the
  form of its values and rows in the quarantine are as they were. Changed rows are updated, new
  ones inserted, and those that were deleted since are deleted. What the database refused in the
  adoption was never in our tables, so it does not count as deleted.
- What was written is read back. A record that Chainlit's tables do not hold completely is
  written to a file of records, which ``chainlit-sqla import`` reads, and so is the quarantine.
- The keys and digests of 1,000 threads are held in memory, and the ids of all threads.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import ExitStack, aclosing
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Column, ColumnElement, MetaData, Table, bindparam, select

from ... import __version__
from ..._internal.aio import Watch, quiet
from ..._internal.retry import bisect
from ..._internal.timestamps import EPOCH, format_instant, now
from ...database import Database, migrator
from ...database.revision import HEAD, VERSION_TABLE, current_revision
from ...dialects import qualified
from ...errors import AdoptionRefused, SchemaOutdated, SchemaUnknown
from ...models import blob_deletions
from ...storage.local.folder import open_private
from ..record_file import End, Header
from ..records import COLUMNS, IN_THREADS, KEYS, TABLES, Record, sorted_by_kind
from ..sources import (
    ADOPTION,
    BATCH,
    QUARANTINED,
    Chunk,
    NativeSource,
    QuarantinedRow,
    SqlAlchemyLayerSource,
)
from .change import InPlaceChange, Report
from .legacy_tables import (
    BACKUP_NAMES,
    TABLE_NAMES,
    Columns,
    completing_statements,
    legacy_row,
    legacy_value,
)

Key = tuple[str, ...]
_Digests = dict[Key, int]
_Row = dict[str, Any]

_MATCHED: Mapping[str, tuple[str, ...]] = {**KEYS, "feedback": ("forId", "id")}
"""The columns that find a row of Chainlit's tables, where a step can have several feedbacks."""
_DERIVED: Mapping[str, Mapping[str, Any]] = {
    "thread": {"updatedAt": EPOCH},
    "step": {"ordinal": 0},
    "element": {"ordinal": 0, "createdAt": EPOCH},
    "feedback": {"createdAt": EPOCH},
}
"""Values that follow from others in Chainlit's tables, and are not compared."""
_KIND_OF_TABLE = {name: kind for kind, name in TABLE_NAMES.items()}


class Unadoption(InPlaceChange):
    """Gives a database back to Chainlit's SQLAlchemy layer.

    The file is created for what Chainlit's tables cannot hold, if there is any.
    """

    _file: IO[bytes] | None = None
    _open_files: ExitStack
    _ours: NativeSource
    _theirs: SqlAlchemyLayerSource
    _tables: Mapping[str, Table]
    """Chainlit's tables, by kind of record."""

    def __init__(
        self,
        database: Database,
        file: Path,
        *,
        drop_dependents: bool = False,
        watch: Watch = quiet,
    ) -> None:
        super().__init__(database, drop_dependents=drop_dependents, watch=watch)
        self._path = file
        self._lines = Counter[str]()
        self._done = 0
        self._refused: set[Key] = set()
        """What the database refused in the adoption."""

    async def run(self, *, dry_run: bool = False) -> Report:
        """Change the tables; the file is removed if that fails."""
        try:
            return await super().run(dry_run=dry_run)
        except BaseException:
            if self._report.file is not None and not self.committing:
                self._report.file.unlink(missing_ok=True)
            raise

    async def _work(self) -> None:
        await self._clear_dependents(list(TABLE_NAMES.values()))
        self._report.before = await self._count(TABLE_NAMES)
        columns = await self._complete_backup()
        with ExitStack() as self._open_files:
            await self._copy_all(columns)
            self._end_file()
        await migrator.migrate_inside(self._database, self._connection, "base")
        await self._drop(VERSION_TABLE)
        for kind, name in BACKUP_NAMES.items():
            await self._alter(name, f"RENAME TO {TABLE_NAMES[kind]}")
        self._report.after = await self._count(TABLE_NAMES)

    async def _check(self) -> None:
        label = self._database.label
        revision = await current_revision(self._connection, self._schema)
        if revision is None:
            if not await self._columns(TABLE_NAMES):
                raise SchemaUnknown(f"{label} has no tables of chainlit-sqla; {self._check_url}")
            self._report.nothing_to_do = (
                f"{label} has Chainlit's tables, not those of chainlit-sqla"
            )
        elif revision != HEAD:
            raise SchemaOutdated(
                f"{label} is at revision {revision}, and unadopt needs {HEAD}; "
                "run: chainlit-sqla upgrade"
            )
        elif queued := (await self._count({"blob": blob_deletions.name}))["blob"]:
            raise AdoptionRefused(
                f"No changes made: {queued:,} files of deleted attachments are still in the store, "
                f"and the table {blob_deletions.name} in {label}, which lists them for deletion, "
                "would be dropped. Start the application with that store, which deletes them, and "
                "run the command again; if the store no longer exists, delete the rows of the table"
            )

    def _begin_file(self) -> IO[bytes]:
        """Create the file, when it has a line to hold; a dry run writes none."""
        path, mode = (os.devnull, "wb") if self._report.dry_run else (self._path, "xb")
        try:
            file = open(path, mode, opener=open_private)  # noqa: SIM115 - closed by the stack
        except OSError as error:
            raise AdoptionRefused(
                f"No changes made: {path} cannot be created ({error.strerror}); name another file "
                "with --output"
            ) from error
        self._open_files.enter_context(file)
        if not self._report.dry_run:
            self._report.file = self._path
        filters = {"unadopt": "what Chainlit's tables cannot hold"}
        header = Header(__version__, str(format_instant(now())), self._database.label, filters)
        file.write(header.line() + b"\n")
        return file

    def _end_file(self) -> None:
        if self._file:
            self._file.write(End(self._lines).line() + b"\n")
            self._file.flush()
            if self._report.file:
                os.fsync(self._file.fileno())

    def _write_lines(self, kind: str, lines: Sequence[bytes], uncounted: int = 0) -> None:
        """Write lines of one kind; those that Chainlit's tables hold completely do not count."""
        if lines:
            self._file = self._file or self._begin_file()
            self._file.write(b"\n".join(lines) + b"\n")
            self._lines[kind] += len(lines)
        if counted := len(lines) - uncounted:
            self._report.in_file[kind] += counted

    async def _complete_backup(self) -> Columns:
        """Create what is missing in the backup, and give its columns.

        A database that was never adopted, or whose backup was dropped, gets all tables.
        """
        existing = await self._columns(BACKUP_NAMES)
        quoted = {kind: await self._sync(qualified, name) for kind, name in BACKUP_NAMES.items()}
        native = self._replacement.has_native_types
        for statement in completing_statements(existing, quoted, native=native):
            await self._connection.exec_driver_sql(statement)
        return await self._columns(BACKUP_NAMES)

    async def _copy_all(self, columns: Columns) -> None:
        """Bring our records into Chainlit's tables, and into the file what these cannot hold."""
        self._tables = {
            kind: Table(BACKUP_NAMES[kind], MetaData(), *(Column(n, t) for n, t in types.items()))
            for kind, types in columns.items()
        }
        self._theirs = await self._open_backup(columns)
        self._ours = NativeSource(self._connection, schema=self._schema, unknown_columns=True)
        async for chunk in self._ours.rest():
            self._refused.update(filter(None, map(_refused_key, chunk.quarantined)))
        deleted_users = await self._copy(None, await _digests(self._theirs.users()))
        ids = set(await self._connection.scalars(select(TABLES["thread"].c.id)))
        backup: _Digests = {}
        async with aclosing(self._theirs.threads()) as chunks:
            async for chunk in chunks:
                backup.update((_row_key(record), _digest(record)) for record in chunk.records)
                if chunk.threads is not None:
                    await self._delete(await self._copy(chunk.threads, backup))
                    ids.difference_update(chunk.threads)
                    backup = {}
        new = sorted(ids)
        for start in range(0, len(new), BATCH):
            await self._copy(new[start : start + BATCH], {})
        await self._delete(deleted_users)
        async for chunk in self._ours.rest():
            self._write_lines("tombstone", [record.line() for record in chunk.records])
            self._write_lines(QUARANTINED, [row.line() for row in chunk.quarantined])

    async def _copy(self, ids: Sequence[str] | None, backup: _Digests) -> list[Key]:
        """Bring some threads, or all users, into the backup, and check what it holds of them then.

        Of the digests of what the backup has, returns the keys of what was deleted since.
        """
        known = frozenset(backup)
        async for chunk in self._read_ours(ids):
            changed = [r for r in chunk.records if backup.pop(_row_key(r), None) != _digest(r)]
            for kind, records in sorted_by_kind(changed).items():
                await self._write(kind, [r for r in records if _row_key(r) not in known])
                await self._write(kind, [r for r in records if _row_key(r) in known], update=True)
            self._done += len(chunk.records)
            self._watch("Copying", self._done, self._report.before.total())
        self._report.threads += len(ids or ())
        await self._write_incomplete(ids)
        return [key for key in backup if key not in self._refused]

    async def _write_incomplete(self, ids: Sequence[str] | None) -> None:
        """Write to the file what Chainlit's tables do not hold completely."""
        id_type = self._tables["thread"].c["id"].type
        held = await _digests(
            self._theirs.users()
            if ids is None
            else self._theirs.threads(
                only=[id for id in ids if legacy_value("thread", "id", id, id_type)]
            )
        )
        incomplete: set[Key] = set()
        async for chunk in self._read_ours(ids):
            incomplete.update(r.key for r in chunk.records if held.get(_row_key(r)) != _digest(r))
        if not incomplete:
            return
        # An import needs the line of a thread, which names its owner, before those of its rows.
        lines = incomplete | {("thread", key[1]) for key in incomplete}
        async for chunk in self._read_ours(ids):
            for kind, records in sorted_by_kind(r for r in chunk.records if r.key in lines).items():
                uncounted = sum(record.key not in incomplete for record in records)
                self._write_lines(kind, [record.line() for record in records], uncounted)

    async def _read_ours(self, ids: Sequence[str] | None) -> AsyncGenerator[Chunk, None]:
        chunks = self._ours.users() if ids is None else self._ours.threads(only=ids)
        async with aclosing(chunks):
            async for chunk in chunks:
                yield chunk

    async def _write(self, kind: str, records: Sequence[Record], *, update: bool = False) -> None:
        """Insert or update rows; what the database refuses is noticed when it is read back."""
        table, matched = self._tables[kind], _MATCHED[kind]
        types = {column.name: column.type for column in table.columns}
        rows = [legacy_row(record, types) for record in records]
        rows = [row for row in rows if all(row.get(n, "") is not None for n in ("id", *matched))]
        statement: Any = table.insert()
        if update:
            statement = table.update().where(*_conditions(table, matched))
            rows = [{f"key_{n}" if n in matched else n: v for n, v in row.items()} for row in rows]
        elif "disableFeedback" in types:  # Required until October 2024.
            rows = [{**row, "disableFeedback": False} for row in rows]

        async def execute(portion: Sequence[_Row]) -> None:
            async with self._connection.begin_nested():
                await self._connection.execute(statement, list(portion))

        is_refusal = self._database.dialect.is_refusal
        await bisect(rows, execute, is_refusal, lambda _row, _error: None)

    async def _delete(self, keys: Collection[Key]) -> None:
        """Delete rows of Chainlit's tables, and of a deleted thread also what was quarantined."""
        threads = [{"threadId": key[1]} for key in keys if key[0] == "thread"]
        for kind in ("feedback", "element", "step", "thread", "user"):
            # The key of feedback ends with its id.
            names = (*KEYS[kind], "id")
            rows = [dict(zip(names, key[1:], strict=False)) for key in keys if key[0] == kind]
            await self._delete_rows(kind, _MATCHED[kind], rows)
            if kind in IN_THREADS and "threadId" in self._tables[kind].c:
                await self._delete_rows(kind, ("threadId",), threads)

    async def _delete_rows(
        self, kind: str, matched: Sequence[str], rows: Sequence[Mapping[str, str]]
    ) -> None:
        table = self._tables[kind]
        bound = [
            {f"key_{n}": legacy_value(kind, n, row[n], table.c[n].type) for n in matched}
            for row in rows
        ]
        if bound:
            statement = table.delete().where(*_conditions(table, matched))
            await self._connection.execute(statement, bound)


def _conditions(table: Table, names: Sequence[str]) -> list[ColumnElement[bool]]:
    return [table.c[name] == bindparam(f"key_{name}") for name in names]


def _refused_key(row: QuarantinedRow) -> Key | None:
    """The key of a record that the database refused in the adoption; None for other entries.

    Such an entry has the columns of our table; all others have those of Chainlit's.
    """
    kind = _KIND_OF_TABLE.get(row.table)
    if kind is None or row.entry is None or row.entry.source != ADOPTION:
        return None
    return _row_key(Record(kind, row.row)) if row.row.keys() >= COLUMNS[kind].keys() else None


async def _digests(chunks: AsyncGenerator[Chunk, None]) -> _Digests:
    digests: _Digests = {}
    async with aclosing(chunks) as opened:
        async for chunk in opened:
            digests |= {_row_key(record): _digest(record) for record in chunk.records}
    return digests


def _row_key(record: Record) -> Key:
    """The key of a record's row in Chainlit's tables, where a step can have several feedbacks."""
    return (*record.key, record.values["id"]) if record.kind == "feedback" else record.key


def _digest(record: Record) -> int:
    """The digest without the values that follow from others in Chainlit's tables."""
    derived = _DERIVED.get(record.kind, {})
    return replace(record, values={**record.values, **derived}).digest()
