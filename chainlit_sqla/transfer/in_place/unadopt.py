"""From our tables to those of Chainlit's SQLAlchemy layer, in place.

Invariants:

- It is one transaction, as the adoption is.
- What is read of the new tables, as an adoption reads it, is compared with our records. What
  differs is kept in ``chainlit_sqla_unadopted``, and it is checked that both together are the
  record again. So an adoption that follows loses nothing.
- Rows of the quarantine go back into the tables from which they came, where they fit; before
  other rows of their kind, for of two feedbacks the later one counts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from ...database import migrator as migrations
from ...database.revision import HEAD, VERSION_TABLE, current_revision
from ...dialects import Dependent, Made
from ...errors import SchemaOutdated, SchemaUnknown
from ...models import imports
from . import carry
from .emptying import Emptying
from .exchange import KINDS, Exchange
from .kept import ORIGIN
from .making import Making, make_again, read
from .original import ASIDE, NAMES, Form, found, strangers
from .plan import LOOKED_UP, later, planned, statement
from .side import NAME


class Return(Exchange):
    """Gives a database back to Chainlit's SQLAlchemy layer.

    Example:
        >>> report = await Return(Database("sqlite:///chats.db")).run()
        >>> report.beside["step"]
        0
    """

    command = "unadopt"
    _changes: Sequence[Any] = ()
    _owed: Sequence[tuple[str, Made]] = ()
    _references: Sequence[tuple[str, Sequence[str]]] = ()

    async def _work(self, connection: AsyncConnection) -> None:
        self._report.back = True
        schema, mover = self._database.schema, self._mover
        if (forms := await self._look(connection)) is None:
            return
        names = list(NAMES.values())
        await self._sync(connection, lambda c: mover.lock(c, schema, names))
        there = await self._sync(connection, lambda c: mover.dependents(c, schema, names))
        await self._sync(connection, lambda c: mover.uncover(c, schema, names))
        making = await self._sync(connection, lambda c: Making(c, mover, schema, KINDS))
        dependents = carry.undone(there, self._changes)
        now = await self._sync(connection, lambda c: found(c, mover, schema))
        unknown = strangers(now)
        plan = await self._sync(connection, lambda c: planned(c, forms, unknown, mover))
        plan = {
            kind: replace(form, indexes={**_since(now[kind]), **form.indexes})
            for kind, form in plan.items()
        }
        before = {kind: form.columns for kind, form in now.items()}
        self._note_conversions(before, {kind: form.columns for kind, form in plan.items()})
        self._report.strangers = [
            (NAMES[kind], one.name, one.type) for kind in unknown for one in unknown[kind]
        ]
        await self._sync(connection, lambda c: self._make(c, plan))
        failed = await self._probed(connection, dependents)
        await Emptying(self._job, connection, plan, unknown).run()
        self._watch("finishing", 0, None)
        await self._sync(
            connection,
            lambda c: mover.after_rows(c, schema, list(ASIDE.values()), [NAME], NAMES["step"]),
        )
        await self._sync(connection, making.release)
        await self._exchange(connection, dependents)
        await self._sync(connection, lambda c: self._complete(c, making, plan, dependents, failed))

    def _complete(
        self,
        connection: Connection,
        making: Making,
        plan: Mapping[str, Form],
        dependents: Sequence[Dependent],
        failed: Sequence[carry.Failed],
    ) -> None:
        """Make what the tables are to have besides rows, once they have their names."""
        self._report.left += making.renew(connection, anew=True)
        self._make_again(connection, anew=True)
        # The trial of triggers copies a row, which UNIQUE would refuse.
        self._renew(connection, dependents, failed)
        self._index(connection, plan)
        self._constrain(connection, plan)
        self._report.left += making.renew(connection, anew=False)
        self._make_again(connection, anew=False)
        self._refer(connection, {str(one) for one in dependents})

    async def _look(self, connection: AsyncConnection) -> dict[str, Form] | None:
        """The forms that the tables had; None where they are Chainlit's already."""
        label, schema = self._database.label, self._database.schema
        revision = await current_revision(connection, schema)
        if revision is None:
            there = await self._sync(connection, lambda c: found(c, self._mover, schema))
            if not there:
                raise SchemaUnknown(f"{label} has no tables of ours; check {self._whereabouts}")
            self._report.nothing = f"{label} has no tables of ours, but Chainlit's"
            return None
        if revision != HEAD:
            raise SchemaOutdated(
                f"{label} is at revision {revision}, and this works from {HEAD}; "
                "run: chainlit-sqla upgrade"
            )
        await self._sync(connection, self._refuse_strangers)
        query = select(imports.c.details).where(imports.c.id == ORIGIN)
        details = await connection.scalar(query) or {}
        self._owed = read(details.get("owed", ()))  # Earlier adoptions did not keep them.
        self._references = details.get("references", ())
        kept = {name for name, _ in self._references}
        for name, statements in details.get("dropped", ()):
            if name in kept:
                continue
            self._report.notes.append(
                f"The adoption dropped the {name}, which is not made again: {'; '.join(statements)}"
            )
        self._changes = details.get("changes", [])
        return {kind: Form.parse(one) for kind, one in details.get("forms", {}).items()}

    def _make_again(self, connection: Connection, *, anew: bool) -> None:
        """Make what our tables did not have, or tell how."""
        self._report.dropped += make_again(connection, self._owed, anew=anew)

    def _refer(self, connection: Connection, there: Collection[str]) -> None:
        """Make the foreign keys that the adoption dropped, or tell how."""
        for name, statements in self._references:
            if name in there:
                continue
            if carry.attempt(connection, statements) is not None:
                self._report.dropped.append((name, statements))
            else:
                self._report.carried.append(name)

    def _make(self, connection: Connection, plan: Mapping[str, Form]) -> None:
        mover, schema = self._mover, self._database.schema
        for kind in KINDS:
            connection.exec_driver_sql(statement(connection, kind, plan[kind], mover, schema))
        quote = connection.dialect.identifier_preparer.quote
        for kind, column in LOOKED_UP:
            name = mover.qualified(connection, schema, ASIDE[kind])
            index = quote(_index_name(kind, column))
            connection.exec_driver_sql(f"CREATE INDEX {index} ON {name} ({quote(column)})")

    def _put_in_place(self, connection: Connection) -> None:
        mover, schema = self._mover, self._database.schema
        for kind in KINDS:
            mover.rename(connection, schema, NAMES[kind], f"chainlit_sqla_away_{NAMES[kind]}")
            mover.rename(connection, schema, ASIDE[kind], NAMES[kind])

    async def _drop_old(self, connection: AsyncConnection) -> None:
        mover, schema = self._mover, self._database.schema
        await migrations.downgrade_inside(self._database, connection)

        def rename(sync: Connection) -> None:
            sync.exec_driver_sql(f"DROP TABLE {mover.qualified(sync, schema, VERSION_TABLE)}")
            for kind in KINDS:
                mover.rename(sync, schema, ASIDE[kind], NAMES[kind])

        await self._sync(connection, rename)

    def _index(self, connection: Connection, plan: Mapping[str, Form]) -> None:
        """Make the indexes that were there, and leave out ours where they serve the same."""
        mover, schema = self._mover, self._database.schema
        for kind, form in plan.items():
            for column in (column for of, column in LOOKED_UP if of == kind):
                if any(f'("{column}"' in sql for sql in form.indexes.values()):
                    name = mover.qualified(connection, schema, _index_name(kind, column))
                    connection.exec_driver_sql(f"DROP INDEX {name}")
            for name, sql in form.indexes.items():
                if carry.attempt(connection, [sql]) is not None:
                    self._report.left.append(name)

    def _constrain(self, connection: Connection, plan: Mapping[str, Form]) -> None:
        """Make the constraints that were there, where all rows of now keep them."""
        for kind, form in plan.items():
            table = self._mover.qualified(connection, self._database.schema, NAMES[kind])
            references = later(connection, kind, form, self._mover, self._database.schema)
            for name, constraint in {**form.constraints, **references}.items():
                try:
                    with connection.begin_nested():
                        self._mover.constrain(connection, table, name, constraint)
                except (DBAPIError, NotImplementedError):
                    self._report.left.append(f"{NAMES[kind]}: {constraint}")


def _since(form: Form) -> dict[str, str]:
    """Indexes that somebody made on our tables."""
    ours = ("ix_", "uq_", "pk_", "chainlit_")
    return {name: sql for name, sql in form.indexes.items() if not name.startswith(ours)}


def _index_name(kind: str, column: str) -> str:
    return f"chainlit_{NAMES[kind]}_{column}"
