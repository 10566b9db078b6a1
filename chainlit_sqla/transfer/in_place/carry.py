"""What depends on tables that are exchanged: probed on empty tables, then made anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from ...dialects import Dependent, driver_error, one_line
from ...errors import AdoptionRefused


@dataclass(frozen=True, slots=True)
class Failed:
    """A dependent that cannot be made on the new tables.

    Args:
        dependent: It.
        reason: The database's.
        works: What can be made instead of it; empty: not known.
    """

    dependent: Dependent
    reason: str
    works: Sequence[str] = ()

    @property
    def repair(self) -> Sequence[str]:
        """What makes it by hand."""
        return self.works or self.dependent.create

    def __str__(self) -> str:
        lines = [f"  {self.dependent}: {self.reason}", *_shown(self.dependent.drop)]
        if self.works:
            return "\n".join([*lines, "  and after it, in this form:", *_shown(self.works)])
        kind = "after it, with the ids as text:" if self.dependent.create else ""
        return "\n".join([*lines, f"  and {kind}", *_shown(self.dependent.create)])


def _shown(statements: Sequence[str]) -> list[str]:
    return [f"    {sql};" for sql in statements]


def probe(connection: Connection, dependents: Sequence[Dependent]) -> list[Failed]:
    """Try what can be made anew on tables in their new form; the caller undoes it.

    Args:
        connection: In a savepoint, with the new tables in their place and the old ones gone.
        dependents: What was found before.
    """
    failed = []
    for one in dependents:
        reason = attempt(connection, one.create if one.probe is None else one.probe)
        if reason is not None:
            works = one.suggested
            if works and attempt(connection, works) is not None:
                works = ()
            failed.append(Failed(one, reason, works))
    return failed


_STILL_USED = "2BP01"
"""PostgreSQL's ``dependent_objects_still_exist``; SQLite drops a table all the same."""
_LOOSE = {"view", "materialized view", "foreign key", "trigger", "policy of others"}
"""Kinds that hold the tables, or their own names; others go with them."""


def refuse(failed: Sequence[Failed], command: str) -> AdoptionRefused:
    """The error that tells what is in the way.

    Args:
        failed: What cannot be made anew.
        command: The command that is refused.
    """
    listed = "\n".join(map(str, failed))
    words = "" if any(one.dependent.stays for one in failed) else ", or add --drop-dependents"
    return AdoptionRefused(
        f"Nothing was changed: these depend on the tables and do not fit their new form:\n{listed}"
        f"\nDrop them{words}, run chainlit-sqla {command} again, then make them anew"
    )


def references(failed: Sequence[Failed]) -> list[Any]:
    """The foreign keys among what cannot be made anew, as JSON: name and statements.

    They refuse nothing that they did not refuse before, so the way back makes them again.
    """
    kinds = ("foreign key", "foreign key to others")
    return [
        [str(one.dependent), list(one.dependent.create)]
        for one in failed
        if one.dependent.kind in kinds
    ]


def release(connection: Connection, dependents: Sequence[Dependent]) -> None:
    """Drop what keeps the tables from being dropped."""
    for one in reversed(dependents):
        if one.kind in _LOOSE:
            for sql in one.drop:
                connection.exec_driver_sql(sql)


def renew(connection: Connection, dependents: Sequence[Dependent]) -> None:
    """Make them on the new tables, which have their rows.

    Raises:
        AdoptionRefused: One cannot be made; the rows are in the way.
    """
    for one in dependents:
        for sql in one.create:
            if (reason := attempt(connection, [sql])) is not None:
                raise AdoptionRefused(
                    f"Nothing was changed: the {one} cannot be made on the new tables ({reason}); "
                    "drop it, run the same again, then make it anew"
                )


def fire(connection: Connection, table: str, statements: Sequence[str]) -> None:
    """Let the triggers of a table run once, and undo it: a type that fits no longer shows then.

    Args:
        connection: In the transaction.
        table: Its name.
        statements: They write a row that is there, and one like it.

    Raises:
        AdoptionRefused: A trigger refuses what the app will write.
    """
    savepoint = connection.begin_nested()
    try:
        for sql in statements:
            connection.exec_driver_sql(sql)
    except DBAPIError as error:
        raise AdoptionRefused(
            f"Nothing was changed: a trigger on {table} fails on the new table "
            f"({one_line(error)}), where ids are text or UUID otherwise than before; drop it, "
            "run the same again, then make it anew so that it fits"
        ) from error
    finally:
        savepoint.rollback()


def changes(before: Sequence[Dependent], after: Sequence[Dependent]) -> list[Any]:
    """What the database writes otherwise now: a cast to a type that a column has is gone.

    Args:
        before: What was found on the old tables.
        after: The same on the new ones.

    Returns:
        Of each its name, and the statements of then and of now, as JSON.
    """
    found = {str(one): one for one in after}
    return [
        [str(one), list(one.create), list(found[str(one)].create)]
        for one in before
        if str(one) in found and list(one.create) != list(found[str(one)].create)
    ]


def undone(dependents: Sequence[Dependent], made: Sequence[Any]) -> list[Dependent]:
    """The dependents as they were before an adoption, where nobody changed them since.

    Args:
        dependents: What was found.
        made: What `changes` gave.
    """
    then = {name: (was, now) for name, was, now in made}
    found = []
    for one in dependents:
        was, now = then.get(str(one), (None, None))
        if was is not None and list(one.create) == now:
            probe = one.probe
            if probe is not None:
                ending = probe[0].removeprefix(one.create[0])
                probe = [was[0] + ending if ending != probe[0] else was[0], *probe[1:]]
            one = replace(one, create=was, probe=probe)
        found.append(one)
    return found


@contextmanager
def dropping() -> Iterator[None]:
    """Say what keeps a table from being dropped.

    Raises:
        AdoptionRefused: Something does.
    """
    try:
        yield
    except DBAPIError as error:
        cause = driver_error(error)
        if getattr(cause, "sqlstate", None) != _STILL_USED:
            raise  # A full disk, or a permission: dropping something would not help.
        detail = getattr(cause.__cause__ or cause, "detail", None) or "the database says no more"
        raise AdoptionRefused(
            f"Nothing was changed: {one_line(error)} ({detail}); "
            "drop what depends on it, run the same again, then make it anew"
        ) from error


def attempt(connection: Connection, statements: Sequence[str]) -> str | None:
    """Run statements, all or none of them.

    Args:
        connection: In a transaction.
        statements: What to run.

    Returns:
        Why they could not be run; None: they were.
    """
    try:
        with connection.begin_nested():
            for sql in statements:
                connection.exec_driver_sql(sql)
    except DBAPIError as error:
        return one_line(error)
    return None
