"""`Adoption`: from the tables of Chainlit's SQLAlchemy layer to ours, in place.

Invariants:

- One transaction, under the lock of migrations: whatever happens, including the end of the
  process or of the server, either nothing was changed or everything was.
- Chainlit's tables are only renamed: they are the backup, with every row and column.
- Every row of Chainlit's tables is in ours or in the quarantine, which is checked by counting;
  what is read back of each thread is what was written, which is checked by digests.
"""

from __future__ import annotations

from sqlalchemy import Connection, PrimaryKeyConstraint, UniqueConstraint, inspect

from ...database import migrator
from ...database.revision import (
    CHAINLIT_TABLES,
    REQUIRED_TABLES,
    REVISIONS,
    VERSION_TABLE,
    current_revision,
)
from ...errors import AdoptionRefused, ConfigurationError, SchemaUnknown
from ...models import Base
from ..importing import Import, Result
from ..records import COLUMNS, count_by_kind
from .change import InPlaceChange, TransactionDatabase
from .legacy_tables import BACKUP_NAMES, TABLE_NAMES, Columns


class Adoption(InPlaceChange):
    """Takes over a database of Chainlit's SQLAlchemy layer."""

    async def _check(self) -> None:
        label, columns = self._database.label, await self._columns(TABLE_NAMES)
        revision = await current_revision(self._connection, self._schema)
        if revision in REVISIONS and "ordinal" in columns.get("step", ()):
            self._report.nothing_to_do = (
                f"{label} is already adopted: its tables are at revision {revision}"
            )
            return
        if revision is not None:
            raise SchemaUnknown(
                f"{label} has the table {VERSION_TABLE} ({revision}), but its tables are not "
                "those of chainlit-sqla; if they are Chainlit's, drop that table and run the "
                "command again"
            )
        if not columns:
            raise ConfigurationError(
                f"{label} has no tables of Chainlit's SQLAlchemy layer; {self._check_url}"
            )
        await self._connection.run_sync(self._check_tables, columns)

    async def _work(self) -> None:
        columns = await self._columns(TABLE_NAMES)
        self._report.unknown_columns = [
            f"{TABLE_NAMES[kind]}.{name}"
            for kind, names in columns.items()
            for name in names
            if name not in COLUMNS[kind]
        ]
        names = {kind: TABLE_NAMES[kind] for kind in columns}
        await self._clear_dependents(list(names.values()))
        self._report.before = await self._count(names)
        for kind, name in names.items():
            await self._alter(name, f"RENAME TO {BACKUP_NAMES[kind]}")
        self._report.revoked = await migrator.migrate_inside(
            self._database, self._connection, "head"
        )
        source = await self._open_backup(columns)
        database = TransactionDatabase(self._database, self._connection)
        await self._check_result(await Import(source, database, watch=self._watch).run())
        tables, like = [*Base.metadata.tables, VERSION_TABLE], BACKUP_NAMES["step"]
        await self._sync(self._replacement.inherit_security, tables, like)

    def _check_tables(self, connection: Connection, columns: Columns) -> None:
        """Refuse other tables than Chainlit's, and names that an adoption needs."""
        label, inspector = self._database.label, inspect(connection)
        present = {TABLE_NAMES[kind]: types for kind, types in columns.items()}
        views = inspector.get_view_names(schema=self._schema)
        reasons = [
            f"{name} is a view" if name in views else f"there is no table {name}"
            for name in REQUIRED_TABLES
            if name not in present
        ]
        for name, types in present.items():
            if missing := CHAINLIT_TABLES[name].difference(types):
                reasons.append(f"{name} has no column {', '.join(sorted(missing))}")
        if reasons:
            raise SchemaUnknown(
                f"The tables in {label} are not those of Chainlit's SQLAlchemy layer "
                f"({'; '.join(reasons)}); {self._check_url}, or run chainlit-sqla upgrade to "
                "create the tables of chainlit-sqla in another database or schema"
            )
        ours = Base.metadata.tables
        needed = {*BACKUP_NAMES.values(), *(ours.keys() - present.keys())}
        for table in ours.values():
            with_index = (PrimaryKeyConstraint, UniqueConstraint)  # With the name of the key.
            keys = (key for key in table.constraints if isinstance(key, with_index))
            needed.update(str(key.name) for key in (*table.indexes, *keys))
        existing = {*inspector.get_table_names(schema=self._schema), *views}
        for indexes in inspector.get_multi_indexes(schema=self._schema).values():
            existing.update(str(index["name"]) for index in indexes)
        for key in inspector.get_multi_pk_constraint(schema=self._schema).values():
            existing.add(str(key["name"]))
        if taken := ", ".join(sorted(existing & needed)):
            raise SchemaUnknown(
                f"{label} already has tables, views or indexes named {taken}, and an adoption "
                "needs these names; rename or drop them, and run the command again"
            )

    async def _check_result(self, result: Result) -> None:
        report, comparison = self._report, result.comparison
        report.quarantined = result.quarantined
        report.partly_quarantined = result.partly_quarantined
        report.after = await self._count(TABLE_NAMES)
        lost = []
        quarantined = count_by_kind(result.quarantined)
        for kind, name in TABLE_NAMES.items():
            if report.before[kind] != report.after[kind] + quarantined[kind]:
                lost.append(
                    f"of {report.before[kind]:,} rows of {name}, {report.after[kind]:,} were "
                    f"copied and {quarantined[kind]:,} quarantined"
                )
        report.threads = comparison.threads
        # A row that the database refused is missing, and was counted as quarantined.
        if comparison.different:
            names = [str(d) for d in comparison.differences if d.what == "different"]
            lost.append(f"{comparison.different.total():,} rows differ ({'; '.join(names)})")
        if lost:
            raise AdoptionRefused(
                f"No changes made: {'; '.join(lost)}. This is a defect of chainlit-sqla; please "
                "report it"
            )


class BackupRemoval(InPlaceChange):
    """Drops Chainlit's tables after an adoption; `unadopt` creates empty ones from then on."""

    async def _check(self) -> None:
        if not await self._columns(BACKUP_NAMES):
            raise ConfigurationError(
                f"{self._database.label} has no tables of an adoption to drop "
                f"({', '.join(BACKUP_NAMES.values())})"
            )

    async def _work(self) -> None:
        names = {kind: BACKUP_NAMES[kind] for kind in await self._columns(BACKUP_NAMES)}
        await self._clear_dependents(list(names.values()))
        counts = await self._count(names)
        self._report.dropped = {name: counts[kind] for kind, name in names.items()}
        for name in reversed(names.values()):
            await self._drop(name)
