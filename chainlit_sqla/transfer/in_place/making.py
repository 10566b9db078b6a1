"""Columns whose values the database makes: the same on the new tables, or on the way back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection

from ...dialects import Made, Mover
from ..records import COLUMNS
from .carry import attempt
from .original import NAMES, Form


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
        all_ = {kind: mover.made(connection, schema, NAMES[kind]) for kind in kinds}
        self._found: Mapping[str, Sequence[Made]] = {
            kind: [one for one in found if one.column not in COLUMNS[kind]]
            for kind, found in all_.items()
        }
        self._of_ours = [
            (kind, one)
            for kind, found in all_.items()
            for one in found
            if one.column in COLUMNS[kind]
        ]
        self._failed: list[tuple[str, Made]] = []

    def release(self, connection: Connection) -> None:
        """Take along what would go with the old tables."""
        kept = [one for found in self._found.values() for one in found]
        for one in (*kept, *(one for _, one in self._of_ours)):
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
        before = len(self._failed)
        for kind, found in self._found.items():
            for one in (one for one in found if one.anew is anew):
                if attempt(connection, one.create) is not None:
                    self._failed.append((kind, one))
        return named(self._failed[before:])

    def owed(self, forms: Mapping[str, Form]) -> list[tuple[str, Made]]:
        """What the new tables do not have: for the way back, after `renew`.

        Args:
            forms: The old tables, with the defaults that are kept by themselves.
        """
        kept = {
            (kind, one.name) for kind, form in forms.items() for one in form.columns if one.default
        }
        ours = [(kind, one) for kind, one in self._of_ours if (kind, one.column) not in kept]
        return [*ours, *self._failed]


def written(owed: Sequence[tuple[str, Made]]) -> list[Any]:
    """What `Making.owed` gave, as JSON."""
    return [[kind, asdict(one)] for kind, one in owed]


def read(written: Sequence[Any]) -> list[tuple[str, Made]]:
    """What `written` gave."""
    return [(kind, Made(**one)) for kind, one in written]


def make_again(
    connection: Connection, owed: Sequence[tuple[str, Made]], *, anew: bool
) -> list[tuple[str, Sequence[str]]]:
    """Make on Chainlit's tables what ours did not have.

    Args:
        connection: In the transaction.
        owed: What `read` gave.
        anew: As for `Making.renew`.

    Returns:
        What does not fit, with the statements that would make it.
    """
    failed = []
    for kind, one in owed:
        # A generated column would lose what was written into it as a plain one of ours.
        lost = one.anew and one.column in COLUMNS[kind]
        if one.anew is anew and (lost or attempt(connection, one.create) is not None):
            failed.append((_named(kind, one), one.create))
    return failed


def _named(kind: str, one: Made) -> str:
    return f"{one.kind} of {NAMES[kind]}.{one.column}"


def named(owed: Sequence[tuple[str, Made]]) -> list[str]:
    """For people."""
    return [_named(kind, one) for kind, one in owed]
