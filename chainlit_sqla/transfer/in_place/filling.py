"""The rows of the adoption: Chainlit's tables into ours, and compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Table, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..._internal.timestamps import parse_instant
from ...dialects.column_types import UtcDateTime
from ...errors import AdoptionRefused
from ...models import blob_deletions, imports, quarantine
from ..importing import alive
from ..records import IN_THREADS, TABLES
from .exchange import KINDS, Job, say_differ
from .kept import AsideSource, Rows
from .old_sources.base import Chunk
from .old_sources.digests import Sums
from .old_sources.native import OurSource
from .original import NAMES, Form, strangers
from .side import ORDINALS, Side


class Filling:
    """Reads the old tables and writes the new ones, and compares.

    Args:
        job: What it is a part of.
        connection: In the transaction.
        forms: The old tables.
    """

    def __init__(self, job: Job, connection: AsyncConnection, forms: Mapping[str, Form]) -> None:
        self._job, self._connection = job, connection
        self._report, database = job.report, job.database
        unknown = strangers(forms)
        unknown |= {kind: [] for kind in KINDS if kind not in forms}
        self._source = AsideSource(database, connection, unknown)
        self._ours = OurSource(connection, "", "", database.schema)
        self._rows = Rows(database, connection, unknown)
        self._side = Side(database, connection)
        self._written, self._sums = Counter[str](), Sums()
        self._done = self._total = 0

    async def run(self) -> None:
        """Fill the tables."""
        await self._source.open()
        await self._side.look()
        self._report.rows.update(await self._source.count())
        self._total = self._report.rows.total()
        async for chunk in self._source.users():
            await self._take(chunk)
        await self._compare(None)
        async for chunk in self._source.threads():
            await self._take(chunk)
            if chunk.threads is not None:
                await self._restore(chunk.threads)
                await self._compare(chunk.threads)
        async for chunk in self._source.rest():
            await self._take(chunk)
        await self._connection.run_sync(self._job.mover.close_cursors)
        await self._restore_others()
        await self._check_counts()

    async def _take(self, chunk: Chunk) -> None:
        records = await self._side.taken_back(chunk.records)
        await self._rows.write(records, self._source.beside)
        await self._rows.put_aside(chunk.misfits)
        self._sums.add(records)
        self._written.update(record.kind for record in records)
        for misfit in chunk.misfits:
            counts = self._report.partly if misfit.kept else self._report.aside
            counts[misfit.kind, misfit.general] += 1
        self._done += chunk.read
        self._job.watch("adopted", self._done, self._total)

    async def _restore(self, threads: Sequence[str]) -> None:
        """Bring back what an earlier way back could not place."""
        async for records in self._side.missing(IN_THREADS, threads):
            for record in records:
                table = TABLES[record.kind]
                own = [column == record.values[column.name] for column in table.primary_key]
                query = select(func.count()).select_from(table).where(*own)
                if await self._connection.scalar(query):
                    continue
                await self._rows.write([record])
                await self._side.forget([record])
                self._sums.add([record])
                self._report.restored[record.kind] += 1

    async def _restore_others(self) -> None:
        if not self._side.there:
            return
        async for portion in self._side.missing(["tombstone"]):
            keys = {(one.values["threadId"], one.values["id"]) for one in portion}
            # What Chainlit's layer wrote anew would take no further writes.
            back = await alive(self._connection, keys)
            await self._rows.write([one for one in portion if one.key[1:] not in back])
            await self._side.forget(portion)
        dialect = self._job.database.dialect
        for table, kind, key in (
            (quarantine, "quarantine", "id"),
            (blob_deletions, "blob_deletion", "objectKey"),
            (imports, "import", "id"),
        ):
            upsert = dialect.upsert(table, [key], [])
            async for raw in self._side.raw(kind):
                rows = [_parsed(table, row) for row in raw]
                await dialect.execute_many(self._connection, upsert, rows)
        await self._side.forget_kinds("quarantine", "blob_deletion", "import", ORDINALS)
        if left := await self._side.close():
            self._report.notes.append(
                f"{left:,} rows of an earlier way back belong to nothing that is there now; they "
                "stay in the table chainlit_sqla_unadopted."
            )

    async def _compare(self, threads: Sequence[str] | None) -> None:
        """What is read back is what was written."""
        there = Sums()
        chunks = self._ours.users() if threads is None else self._ours.threads(only=threads)
        async for chunk in chunks:
            there.add(chunk.records)
        if places := self._sums.unlike(there):
            raise say_differ(places)
        await self._connection.run_sync(self._job.mover.close_cursors)
        self._sums.clear()
        self._report.threads += len(threads or ())

    async def _check_counts(self) -> None:
        report = self._report
        for kind in KINDS:
            report.kept[kind] = await self._job.count(self._connection, NAMES[kind])
            placed = self._written[kind] + report.set_aside(kind)
            written = self._written[kind] + report.restored[kind]
            if placed != report.rows[kind] or written != report.kept[kind]:
                raise AdoptionRefused(
                    f"Nothing was changed: of {report.rows[kind]:,} rows of {NAMES[kind]}, "
                    f"{placed:,} were read and {report.kept[kind]:,} written. This is a defect of "
                    "chainlit-sqla; please report it"
                )


def _parsed(table: Table, row: dict[str, Any]) -> dict[str, Any]:
    """A row of a table of ours that was kept as JSON."""
    return {
        column.name: parse_instant(row.get(column.name))
        if isinstance(column.type, UtcDateTime)
        else row.get(column.name)
        for column in table.columns
    }
