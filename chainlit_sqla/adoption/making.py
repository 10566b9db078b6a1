"""Columns that we do not know whose values the database makes: the same on the new tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from ..dialects import Made, Mover
from ..records import COLUMNS
from .original import NAMES


class Making:
    """What of a database's tables makes values.

    Args:
        connection: In the transaction, before the tables are exchanged.
        mover: The database's.
        schema: The schema of the tables.
        kinds: Those that are there.
    """

    def __init__(
        self, connection: Connection, mover: Mover, schema: str | None, kinds: Sequence[str]
    ) -> None:
        self._found: Mapping[str, Sequence[Made]] = {
            kind: [
                one
                for one in mover.made(connection, schema, NAMES[kind])
                if one.column not in COLUMNS[kind]
            ]
            for kind in kinds
        }

    def release(self, connection: Connection) -> None:
        """Take along what would go with the old tables."""
        for one in (one for found in self._found.values() for one in found):
            for sql in one.before:
                connection.exec_driver_sql(sql)

    def renew(self, connection: Connection, *, anew: bool) -> list[str]:
        """Make them on the new tables, which have their rows.

        Args:
            connection: In the transaction.
            anew: Columns that are made anew, before what uses them; else the others, after
                the tables have their owners, who own their sequences.

        Returns:
            Those that do not fit the new tables, for people: they are plain columns now.
        """
        left = []
        for kind, found in self._found.items():
            for one in (one for one in found if one.anew is anew):
                try:
                    with connection.begin_nested():
                        for sql in one.create:
                            connection.exec_driver_sql(sql)
                except DBAPIError:
                    left.append(f"{one.kind} of {NAMES[kind]}.{one.column}")
        return left
