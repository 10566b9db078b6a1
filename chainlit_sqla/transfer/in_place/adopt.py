"""From the tables of Chainlit's SQLAlchemy layer to ours, in place.

Invariants:

- It is one transaction, under the lock of migrations: whatever happens, including the end of
  the process or of the server, either nothing was changed or everything was.
- Every row of a table of Chainlit's is afterwards in ours or in the quarantine, and nowhere
  twice: counted. What is read back of each thread is what was written: by digests.
- Chainlit's tables are dropped only after that.
- What depends on the tables is probed while the new ones are empty, so it is refused early.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from ..._internal.timestamps import now
from ...database import migrator as migrations
from ...database.revision import REVISIONS, VERSION_TABLE, current_revision
from ...errors import ConfigurationError, SchemaUnknown
from ...models import imports
from ..records import IN_THREADS
from . import carry
from .exchange import KINDS, OTHERS, Exchange
from .filling import Filling
from .kept import ORIGIN
from .making import Making, named, written
from .original import ASIDE, NAMES, Form, documented, found, strangers, unlike


class Adoption(Exchange):
    """Takes over a database of Chainlit's SQLAlchemy layer.

    Example:
        >>> report = await Adoption(Database("sqlite:///chats.db")).run()
        >>> report.kept["thread"]
        12
    """

    command = "adopt"

    async def _work(self, connection: AsyncConnection) -> None:
        if (forms := await self._look(connection)) is None:
            return
        schema, mover = self._database.schema, self._mover
        names = [NAMES[kind] for kind in forms]
        await self._sync(connection, lambda c: mover.lock(c, schema, names))
        # Until then, somebody might have altered them.
        if (forms := await self._look(connection)) is None:
            return
        dependents = await self._sync(connection, lambda c: mover.dependents(c, schema, names))
        await self._sync(connection, lambda c: mover.uncover(c, schema, names))
        making = await self._sync(connection, lambda c: Making(c, mover, schema, list(forms)))
        await self._sync(connection, lambda c: self._move_aside(c, forms))
        await migrations.upgrade_inside(self._database, connection)
        await self._sync(connection, lambda c: self._add_strangers(c, forms))
        failed = await self._probed(connection, dependents)
        await self._fill(connection, forms)
        self._watch("finishing", 0, None)
        others = [*OTHERS, VERSION_TABLE]
        await self._sync(
            connection,
            lambda c: mover.after_rows(c, schema, list(NAMES.values()), others, ASIDE["step"]),
        )
        await self._sync(connection, making.release)
        await self._exchange(connection, dependents)
        self._report.left += await self._sync(connection, lambda c: making.renew(c, anew=True))
        await self._sync(connection, lambda c: self._renew(c, dependents, failed))
        self._report.left += await self._sync(connection, lambda c: making.renew(c, anew=False))
        renewed = await self._sync(connection, lambda c: mover.dependents(c, schema, names))
        owed = making.owed(forms)
        self._report.left += [one for one in named(owed) if one not in self._report.left]
        more = {
            "changes": carry.changes(dependents, renewed),
            "owed": written(owed),
            "references": carry.references(failed),
        }
        await self._note(connection, forms, more)

    async def _look(self, connection: AsyncConnection) -> dict[str, Form] | None:
        """The forms of the tables to take over; None where they are ours already."""
        label, schema = self._database.label, self._database.schema
        revision = await current_revision(connection, schema)
        forms = await self._sync(connection, lambda c: found(c, self._mover, schema))
        if revision is not None:
            self._check_ours(revision, forms)
            self._report.nothing = f"{label} is adopted already: its tables are at {revision}"
            return None
        if not forms:
            raise ConfigurationError(
                f"{label} has no tables of Chainlit's SQLAlchemy layer; check {self._whereabouts}"
            )
        reasons = unlike(forms)
        reasons += await self._sync(connection, lambda c: self._unmovable(c))
        if reasons:
            repair = (
                "name the schema in which these are with --schema, or let ours live beside them "
                "in another one (CHAINLIT_SQLA_SCHEMA=chainlit, then chainlit-sqla upgrade)"
                if self._database.dialect.has_schemas
                else "name the file in which these are, or let ours live in another file "
                "(--url sqlite:///other.db, then chainlit-sqla upgrade)"
            )
            raise SchemaUnknown(
                f"The tables in {label} are not those of Chainlit's SQLAlchemy layer "
                f"({'; '.join(reasons)}); {repair}"
            )
        await self._sync(connection, self._refuse_strangers)
        return forms

    def _unmovable(self, connection: Connection) -> list[str]:
        schema = self._database.schema
        whys = {name: self._mover.unfit(connection, schema, name) for name in NAMES.values()}
        return [f"{name} cannot be moved: {why}" for name, why in whys.items() if why]

    def _check_ours(self, revision: str, forms: dict[str, Form]) -> None:
        steps = forms.get("step")
        if revision not in REVISIONS or steps is None or "ordinal" not in steps.names:
            raise SchemaUnknown(
                f"{self._database.label} has the table {VERSION_TABLE} ({revision}), but its "
                "tables are not ours; if they are Chainlit's, drop that table and run this again"
            )

    def _move_aside(self, connection: Connection, forms: dict[str, Form]) -> None:
        mover, schema = self._mover, self._database.schema
        for kind in KINDS:
            if kind in forms:
                held = forms[kind].constraints.values()
                self._report.left += [f"{NAMES[kind]}: {one}" for one in held]
                mover.rename(connection, schema, NAMES[kind], ASIDE[kind])
                mover.free_names(connection, schema, ASIDE[kind])
            else:
                empty = documented(uuids=mover.has_uuids)[kind]
                _make(connection, mover.qualified(connection, schema, ASIDE[kind]), empty)
        for kind in IN_THREADS:  # Threads are read a thousand at a time.
            if kind not in forms or "threadId" in forms[kind].names:
                _index(connection, mover.qualified(connection, schema, ASIDE[kind]), kind)

    def _add_strangers(self, connection: Connection, forms: dict[str, Form]) -> None:
        mover, schema = self._mover, self._database.schema
        quote = connection.dialect.identifier_preparer.quote
        for kind, columns in strangers(forms).items():
            table = mover.qualified(connection, schema, NAMES[kind])
            for one in columns:
                default = f" DEFAULT {one.default}" if one.default else ""
                connection.exec_driver_sql(
                    f"ALTER TABLE {table} ADD COLUMN {quote(one.name)} {one.type}{default}"
                )
                self._report.strangers.append((NAMES[kind], one.name, one.type))
        after = {kind: mover.columns(connection, schema, NAMES[kind]) for kind in forms}
        self._note_conversions({kind: form.columns for kind, form in forms.items()}, after)
        for form in forms.values():
            self._report.left += [name for name in form.indexes if not name.startswith("chainlit_")]

    async def _fill(self, connection: AsyncConnection, forms: dict[str, Form]) -> None:
        await Filling(self._job, connection, forms).run()

    async def _note(
        self, connection: AsyncConnection, forms: dict[str, Form], more: dict[str, Any]
    ) -> None:
        """Remember what the way back needs."""
        report = self._report
        details = {
            "forms": {kind: form.document() for kind, form in forms.items()},
            "rows": dict(report.rows),
            "dropped": [[name, list(sql)] for name, sql in report.dropped],
        } | more
        row = {"id": ORIGIN, "source": ORIGIN, "details": details}
        await connection.execute(insert(imports), row | {"startedAt": now(), "finishedAt": now()})

    async def _drop_old(self, connection: AsyncConnection) -> None:
        def drop(sync: Connection) -> None:
            for table in self._aside_tables(sync):
                sync.exec_driver_sql(f"DROP TABLE {table}")

        await self._sync(connection, drop)


def _make(connection: Connection, name: str, form: Form) -> None:
    """Make a table without keys."""
    quote = connection.dialect.identifier_preparer.quote
    columns = ", ".join(f"{quote(one.name)} {one.type}" for one in form.columns)
    connection.exec_driver_sql(f"CREATE TABLE {name} ({columns})")


def _index(connection: Connection, name: str, kind: str) -> None:
    """Let what lies in threads be found."""
    quote = connection.dialect.identifier_preparer.quote
    own = quote(f"{ASIDE[kind]}_thread")
    connection.exec_driver_sql(f'CREATE INDEX {own} ON {name} ("threadId")')
