"""`Unadoption`: from our tables back to those of Chainlit's SQLAlchemy layer, in place.

Invariants:

- One transaction, as the adoption is.
- A row that is the same in the backup and in our tables stays untouched, so unknown columns, the
  form of its values and rows in the quarantine are as they were. Changed rows are updated, new
  ones inserted, and those that were deleted since are deleted. What the database refused in the
  adoption was never in our tables, so it does not count as deleted.
- What was written is read back. A record that Chainlit's tables do not hold completely is
  written to a file of records, which ``chainlit-sqla import`` reads, and so is the quarantine.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

from ..._internal.aio import Watch, quiet
from ...database import Database, migrator
from ...database.revision import HEAD, VERSION_TABLE, current_revision
from ...dialects import canonical_names
from ...errors import AdoptionRefused, SchemaOutdated, SchemaUnknown
from ...models import blob_deletions
from ..records import COLUMNS
from .change import InPlaceChange, Report
from .legacy_tables import BACKUP_NAMES, TABLE_NAMES, column_names, completing_statements
from .unadopt_rows import CopyOut, RecordFile


class Unadoption(InPlaceChange):
    """Gives a database back to Chainlit's SQLAlchemy layer.

    Args:
        database: The database; no application may use it.
        file: Where records go that Chainlit's tables cannot hold; created if there are any.
        drop_dependents: Whether what depends on our tables is dropped.
        watch: Called with the progress.

    Example:
        >>> report = await Unadoption(Database("sqlite:///chats.db"), Path("rest.jsonl")).run()
        >>> report.in_file["step"]
        0
    """

    def __init__(
        self,
        database: Database,
        file: Path,
        *,
        drop_dependents: bool = False,
        watch: Watch = quiet,
    ) -> None:
        super().__init__(database, drop_dependents=drop_dependents, watch=watch)
        self._file = file

    async def run(self, *, dry_run: bool = False) -> Report:
        """Change the tables; a file that was begun is removed if that fails."""
        try:
            return await super().run(dry_run=dry_run)
        except BaseException:
            if self._report.file is not None and not self.committing:
                self._report.file.unlink(missing_ok=True)
            raise

    async def _check(self, connection: AsyncConnection) -> None:
        label = self._database.label
        revision = await current_revision(connection, self._schema)
        if revision is None:
            if not await self._sync(connection, column_names, TABLE_NAMES):
                schema = " and the schema (--schema)" if self._database.dialect.has_schemas else ""
                raise SchemaUnknown(
                    f"{label} has no tables of chainlit-sqla; check the URL{schema}"
                )
            self._report.nothing_to_do = (
                f"{label} has Chainlit's tables, not those of chainlit-sqla"
            )
        elif revision != HEAD:
            raise SchemaOutdated(
                f"{label} is at revision {revision}, and unadopt needs {HEAD}; "
                "run: chainlit-sqla upgrade"
            )
        elif queued := (await self._count(connection, {"blob": blob_deletions.name}))["blob"]:
            raise AdoptionRefused(
                f"No changes made: {queued:,} files of deleted attachments are still in the store, "
                f"and the table {blob_deletions.name} in {label}, which lists them for deletion, "
                "would be dropped. Start the application with that store, which deletes them, and "
                "run the command again; if the store no longer exists, delete the rows of the table"
            )

    async def _work(self, connection: AsyncConnection) -> None:
        await self._check(connection)
        if self._report.nothing_to_do:
            return
        names = list(TABLE_NAMES.values())
        await self._sync(connection, self._tables.lock, names)
        self._report.before = await self._count(connection, TABLE_NAMES)
        await self._clear_dependents(connection, names)
        types = await self._complete_backup(connection)
        with RecordFile(self._file, self._database.label, self._report) as file:
            await CopyOut(self._database, connection, types, self._report, file, self._watch).run()
        await migrator.migrate_inside(self._database, connection, "base")
        version_table = await self._sync(connection, self._tables.qualified, VERSION_TABLE)
        await connection.exec_driver_sql(f"DROP TABLE {version_table}")
        for kind, name in BACKUP_NAMES.items():
            await self._sync(connection, self._tables.rename, name, TABLE_NAMES[kind])
        self._report.after = await self._count(connection, TABLE_NAMES)

    async def _complete_backup(self, connection: AsyncConnection) -> dict[str, Mapping[str, Any]]:
        """Create what is missing in the backup, and give the types of its columns.

        A database that was never adopted, or whose backup was dropped, gets all tables.
        """
        existing = await self._sync(connection, column_names, BACKUP_NAMES)
        types = {kind: await self._types(connection, kind) for kind in existing}
        quoted = {
            kind: await self._sync(connection, self._tables.qualified, name)
            for kind, name in BACKUP_NAMES.items()
        }
        native = self._tables.has_native_types
        for statement in completing_statements(types, quoted, native=native):
            await connection.exec_driver_sql(statement)
        return {kind: await self._types(connection, kind) for kind in BACKUP_NAMES}

    async def _types(self, connection: AsyncConnection, kind: str) -> dict[str, TypeEngine[Any]]:
        """The types of Chainlit's columns, by their names as Chainlit writes them."""
        types = await self._sync(connection, self._tables.column_types, BACKUP_NAMES[kind])
        names = await connection.run_sync(canonical_names, types, COLUMNS[kind])
        return {names[name]: type_ for name, type_ in types.items()}
