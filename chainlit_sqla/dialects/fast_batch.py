"""A burst: what most batches are, in a form that a database can take in one go.

A turn of a chat touches one thread and some steps. Nothing was deleted, the thread is
there or is new, and nobody reaches for somebody else's. A dialect may write such a burst in
one statement, which looks itself whether that is all; if it is not, nothing is written, and
the batch takes the long way of `chainlit_sqla.writes.execute_saves`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Table

Defaults = tuple[tuple[str, str | bool], ...]


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables that a burst reads and writes."""

    users: Table
    threads: Table
    steps: Table
    tombstones: Table
    signatures: Table


@dataclass(frozen=True, slots=True)
class BurstThread:
    """One thread of a burst.

    Args:
        id: The thread.
        begun: When it begins, should it be new.
        activity: The instant of its newest message in the burst.
        actor: The identifier of the user whose client chose it; it must not be another's.
        values: ``name``, ``userId`` and ``tags``, as far as they change; never None.
        metadata: Members to set; those that are None are removed.
    """

    id: str
    begun: datetime
    activity: datetime | None
    actor: str | None
    values: Mapping[str, Any]
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BurstSteps:
    """Steps that give the same columns.

    Args:
        given: Columns that change where the step is there. Of ``extra`` only the members
            given change.
        rows: Values of the key, ``createdAt``, ``ordinal`` and the columns given.
    """

    given: tuple[str, ...]
    rows: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Burst:
    """Saves that can be written together.

    Args:
        tables: Where.
        threads: By id.
        steps: By their columns.
        graves: Ids of tombstones that, below one of the threads, forbid the burst.
        defaults: Columns of new steps with their values where they are not given.
    """

    tables: Tables
    threads: Sequence[BurstThread]
    steps: Sequence[BurstSteps]
    graves: Sequence[str]
    defaults: Defaults

    @property
    def thread_ids(self) -> list[str]:
        """The ids of the threads."""
        return [thread.id for thread in self.threads]

    @property
    def changes_threads(self) -> bool:
        """Whether more than the last activity of a thread changes."""
        return any(thread.values or thread.metadata for thread in self.threads)

    def part(self, ids: Collection[str]) -> Burst:
        """What of it lies in some threads.

        Args:
            ids: The threads.
        """
        threads = [thread for thread in self.threads if thread.id in ids]
        groups = (
            BurstSteps(group.given, [row for row in group.rows if row["threadId"] in ids])
            for group in self.steps
        )
        return replace(self, threads=threads, steps=[group for group in groups if group.rows])


@dataclass(frozen=True, slots=True)
class StepsUpsert:
    """The parts of an upsert of `BurstSteps` that are the same on all databases.

    Args:
        columns: What the rows give, in order.
        targets: The columns in SQL: those, and then the ones with defaults.
        defaults: The values in SQL of the latter.
        action: What follows ``ON CONFLICT ("threadId", id)``.
    """

    columns: tuple[str, ...]
    targets: str
    defaults: tuple[str, ...]
    action: str

    @classmethod
    def of(
        cls,
        given: tuple[str, ...],
        defaults: Defaults,
        quote: Callable[[str], str],
        new: Callable[[str], str] = "excluded.{}".format,
    ) -> StepsUpsert:
        """Make the parts.

        Args:
            given: See `BurstSteps`.
            defaults: See `Burst`.
            quote: Puts a name into SQL.
            new: The value in SQL of a column that changes, by its quoted name.
        """
        columns = tuple(dict.fromkeys(("threadId", "id", "createdAt", "ordinal", *given)))
        fixed = {name: _literal(value) for name, value in defaults if name not in columns}
        changes = ", ".join(f"{name} = {new(name)}" for name in map(quote, given))
        return cls(
            columns,
            ", ".join(map(quote, (*columns, *fixed))),
            tuple(fixed.values()),
            f"DO UPDATE SET {changes}" if changes else "DO NOTHING",
        )


def _literal(value: str | bool) -> str:
    if isinstance(value, bool):
        return str(value).lower()  # SQLite knows them since 3.23.
    return "'" + value.replace("'", "''") + "'"
