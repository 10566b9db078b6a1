"""What of a row cannot be stored as it is, and what stands for it; the quarantine has the rest."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

from sqlalchemy import LargeBinary, Text, cast, literal

from ...._internal.broken_text import BrokenText
from ...._internal.odd_json import Odd, odd
from ...records import COLUMNS, JSON, Record
from .base import Misfit

BROKEN = "a text in it is no UTF-8"
"""Why a row is also in the quarantine, with the bytes."""
ODD = "its JSON has what not every database stores"
"""The same, with the exact text of the JSON."""
NO_OBJECT = "its metadata are no JSON object"
"""Chainlit takes no others, and the next change replaces them."""
_TELLING = {"id", "threadId"}
"""By these, rows are found: a replacement could be that of another one."""
NAMING = {"identifier", "userIdentifier"}
"""These name people, of whom two must not become one."""

Row = dict[str, Any]


def exact(value: Any) -> Any:
    """A value as a condition finds it: a text that is no UTF-8 by its bytes."""
    return cast(literal(value.raw, LargeBinary), Text) if isinstance(value, BrokenText) else value


def readable(name: str, value: Any) -> Any:
    """A value whose text all databases can store.

    Args:
        name: The name of its column.
        value: Any value.
    """
    if not isinstance(value, BrokenText):
        return value
    return value.told_apart if name in NAMING else str(value)


class Names:
    """Names of users that are no UTF-8, and are to stay apart from all others."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    async def look(self, rows: Callable[[], AsyncGenerator[Row, None]]) -> None:
        """Look which names several users would have.

        Args:
            rows: Reads the ``identifier`` of all users.
        """
        shown: dict[str, bytes] = {}
        async for row in rows():
            name = row["identifier"]
            if isinstance(name, BrokenText) and (
                shown.setdefault(name.told_apart, name.raw) != name.raw
            ):
                self._taken.add(name.told_apart)
        if not shown:
            return
        async for row in rows():
            name = row["identifier"]
            if not isinstance(name, BrokenText) and name in shown:
                self._taken.add(name)

    def readable(self, name: str, value: Any) -> Any:
        """As `readable`, but a name is never another user's."""
        if isinstance(value, BrokenText) and name in NAMING and value.told_apart in self._taken:
            return value.told_surely
        return readable(name, value)

    def row(self, row: Row, broken: Sequence[str]) -> Row:
        """A row whose text all databases can store.

        Args:
            row: Any.
            broken: Its columns that are no UTF-8.

        Raises:
            ValueError: What is to tell it from others is no UTF-8.
        """
        if keys := [name for name in broken if name in _TELLING]:
            raise ValueError(f"its {keys[0]} is no UTF-8")
        return row | {name: self.readable(name, row[name]) for name in broken}


def reasons(
    kind: str, row: Row, broken: Sequence[str], items: Sequence[Record | Misfit]
) -> Sequence[str]:
    """Why a row that has a place is in the quarantine besides.

    Args:
        kind: What it is.
        row: It, as it was read.
        broken: Its columns that are no UTF-8.
        items: What became of it.
    """
    found = [f"{BROKEN}: {', '.join(broken)}"] if broken else []
    columns = COLUMNS[kind]
    documents = [
        name
        for name in sorted(row)
        if (columns.get(name) == JSON or isinstance(row[name], Odd)) and name not in broken
    ]
    if names := [name for name in documents if odd(row[name]) is not None]:
        found.append(f"{ODD}: {', '.join(names)}")
    if kind in ("user", "thread") and any(
        isinstance(one, Record) and not isinstance(one.values["metadata"], dict) for one in items
    ):
        found.append(NO_OBJECT)
    return found
