"""`Adoption`: from the tables of Chainlit's SQLAlchemy layer to ours, in place.

Invariants:

- One transaction, under the lock of migrations: whatever happens, including the end of the
  process or of the server, either nothing was changed or everything was.
- Chainlit's tables are only renamed: they are the backup, with every row and column.
- Every row of Chainlit's tables is in ours or in the quarantine, which is checked by counting;
  what is read back of each thread is what was written, which is checked by digests.
"""

from __future__ import annotations

from sqlalchemy import Connection, inspect
from sqlalchemy.ext.asyncio import AsyncConnection

from ...database import migrator
from ...database.revision import REVISIONS, VERSION_TABLE, current_revision
from ...errors import AdoptionRefused, ConfigurationError, SchemaUnknown
from ...models import Base
from ..importing import Import, Result
from ..records import COLUMNS
from ..sources import ADOPTION, SqlAlchemyLayerSource
from .change import REPORT_DEFECT, InPlaceChange, TransactionDatabase
from .legacy_tables import BACKUP_NAMES, TABLE_NAMES, column_names, mismatches

_WITH_EXTRA = ("step", "element")
"""Kinds of records that keep unknown columns in ``extra``."""


class Adoption(InPlaceChange):
    """Takes over a database of Chainlit's SQLAlchemy layer.

    Example:
        >>> report = await Adoption(Database("sqlite:///chats.db")).run()
        >>> report.after["thread"]
        12
    """

    async def _check(self, connection: AsyncConnection) -> None:
        label = self._database.label
        columns = await self._sync(connection, column_names, TABLE_NAMES)
        revision = await current_revision(connection, self._schema)
        if revision is not None:
            if revision not in REVISIONS or "ordinal" not in columns.get("step", ()):
                raise SchemaUnknown(
                    f"{label} has the table {VERSION_TABLE} ({revision}), but its tables are not "
                    "those of chainlit-sqla; if they are Chainlit's, drop that table and run the "
                    "command again"
                )
            self._report.nothing_to_do = (
                f"{label} is already adopted: its tables are at revision {revision}"
            )
            return
        schema = " and the schema (--schema)" if self._database.dialect.has_schemas else ""
        if not columns:
            raise ConfigurationError(
                f"{label} has no tables of Chainlit's SQLAlchemy layer; check the URL{schema}"
            )
        await connection.run_sync(self._check_tables, columns)

    def _check_tables(self, connection: Connection, columns: dict[str, list[str]]) -> None:
        label, has_schemas = self._database.label, self._database.dialect.has_schemas
        inspector = inspect(connection)
        if reasons := mismatches(columns, inspector.get_view_names(schema=self._schema)):
            repair = (
                "name the schema of Chainlit's tables with --schema, or create the tables of "
                "chainlit-sqla in another one (CHAINLIT_SQLA_SCHEMA=chainlit, then chainlit-sqla "
                "upgrade)"
                if has_schemas
                else "name the file with Chainlit's tables, or create the tables of chainlit-sqla "
                "in another file (--url sqlite:///other.db, then chainlit-sqla upgrade)"
            )
            raise SchemaUnknown(
                f"The tables in {label} are not those of Chainlit's SQLAlchemy layer "
                f"({'; '.join(reasons)}); {repair}"
            )
        names = set(inspector.get_table_names(schema=self._schema))
        others = set(Base.metadata.tables) - set(TABLE_NAMES.values())
        if taken := sorted(names & {*BACKUP_NAMES.values(), *others}):
            raise SchemaUnknown(
                f"{label} already has the tables {', '.join(taken)}, whose names an adoption "
                "needs; rename or drop them, and run the command again"
            )

    async def _work(self, connection: AsyncConnection) -> None:
        await self._check(connection)
        if self._report.nothing_to_do:
            return
        columns = await self._sync(connection, column_names, TABLE_NAMES)
        names = {kind: TABLE_NAMES[kind] for kind in columns}
        await self._sync(connection, self._tables.lock, list(names.values()))
        self._report.before = await self._count(connection, names)
        self._report.grants = await self._sync(
            connection, self._tables.grants, list(names.values())
        )
        self._report.unknown_columns = [
            f"{TABLE_NAMES[kind]}.{name}"
            for kind, found in columns.items()
            for name in found
            if name not in COLUMNS[kind]
        ]
        await self._clear_dependents(connection, list(names.values()))
        for kind, name in names.items():
            await self._sync(connection, self._tables.rename, name, BACKUP_NAMES[kind])
        await migrator.migrate_inside(self._database, connection, "head")
        await self._check_result(connection, await self._import(connection, columns))
        tables, like = [*Base.metadata.tables, VERSION_TABLE], BACKUP_NAMES["step"]
        await self._sync(connection, self._tables.inherit_security, tables, like)

    async def _import(self, connection: AsyncConnection, columns: dict[str, list[str]]) -> Result:
        """Copy the renamed tables into ours, and compare."""
        source = SqlAlchemyLayerSource(
            connection,
            self._database.dialect,
            ADOPTION,
            ADOPTION,
            schema=self._schema,
            table_names=BACKUP_NAMES,
            # Without ``extra``, the values of unknown columns stay in the renamed tables.
            ignored_columns={
                kind: [] if kind in _WITH_EXTRA else [n for n in found if n not in COLUMNS[kind]]
                for kind, found in columns.items()
            },
        )
        await source.open()
        database = TransactionDatabase(self._database, connection)
        return await Import(source, database, watch=self._watch).run()

    async def _check_result(self, connection: AsyncConnection, result: Result) -> None:
        report, comparison = self._report, result.comparison
        report.quarantined, report.partly_quarantined = (
            result.quarantined,
            result.partly_quarantined,
        )
        report.after = await self._count(connection, TABLE_NAMES)
        lost = []
        for kind, name in TABLE_NAMES.items():
            quarantined = sum(n for (k, _), n in result.quarantined.items() if k == kind)
            if report.before[kind] != report.after[kind] + quarantined:
                lost.append(
                    f"of {report.before[kind]:,} rows of {name}, {report.after[kind]:,} were "
                    f"copied and {quarantined:,} quarantined"
                )
        if comparison is not None:
            report.threads = comparison.threads
            # A row that the database refused is missing, and was counted as quarantined.
            lost += [str(d) for d in comparison.differences if d.what == "different"]
        if lost:
            raise AdoptionRefused(f"No changes made: {'; '.join(lost)}. {REPORT_DEFECT}")


class BackupRemoval(InPlaceChange):
    """Drops Chainlit's tables after an adoption; `unadopt` creates empty ones from then on."""

    async def _check(self, connection: AsyncConnection) -> None:
        existing = await self._sync(connection, column_names, BACKUP_NAMES)
        if not existing:
            raise ConfigurationError(
                f"{self._database.label} has no tables of an adoption to drop "
                f"({', '.join(BACKUP_NAMES.values())})"
            )
        names = {kind: BACKUP_NAMES[kind] for kind in existing}
        self._report.before = await self._count(connection, names)

    async def _work(self, connection: AsyncConnection) -> None:
        await self._check(connection)
        names = [BACKUP_NAMES[kind] for kind in reversed(list(self._report.before))]
        await self._sync(connection, self._tables.lock, names)
        await self._clear_dependents(connection, names)
        for name in names:
            table = await self._sync(connection, self._tables.qualified, name)
            await connection.exec_driver_sql(f"DROP TABLE {table}")
