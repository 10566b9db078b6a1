"""The way back of values read as far as they can be: exact, where nobody changed them since."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from typing import Any

from sqlalchemy import Table, bindparam, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import NullType

from ..._internal.broken_text import BrokenText
from ..._internal.odd_json import Odd, odd
from ...models import quarantine
from ..records import COLUMNS, JSON
from .kept import ORIGIN
from .old_sources import normalize as shape
from .old_sources.bounded_fetch import pages
from .old_sources.lenient_values import BROKEN, NAMING, NO_OBJECT, ODD, exact, readable
from .original import NAMES

of_values = or_(*map(quarantine.c.reason.startswith, (BROKEN, ODD, NO_OBJECT)))
"""Of rows of the quarantine that are there, but for the exact form of a value."""


async def give_back(
    connection: AsyncConnection, tables: Mapping[str, Table], counts: Counter[str]
) -> AsyncIterator[Any]:
    """Write the exact values of the quarantine into the rows of Chainlit's tables.

    Args:
        connection: In the transaction.
        tables: Chainlit's, with all their rows.
        counts: Is told of the rows that are exact again, by kind.

    Yields:
        The rows of the quarantine of which something could not be given back.
    """
    kinds = {name: kind for kind, name in NAMES.items()}
    columns = quarantine.c
    query = select(quarantine).where(of_values, columns.source == ORIGIN)
    async for rows in pages(connection, query, [columns.id], [columns.row]):
        for row in rows:
            kind = kinds[row.origin]
            if not await _given(connection, kind, tables[kind], row):
                yield row
            elif row.reason != NO_OBJECT:
                counts[kind] += 1


async def _given(connection: AsyncConnection, kind: str, table: Table, aside: Any) -> bool:
    """Write the values of one row that are still the same; whether these were all."""
    row = aside.row
    broken = _exact(kind, aside)
    known = [name for name in broken if name in table.c]
    own = table.c.id == bindparam("own", str(row["id"]), NullType())  # UUID or text.
    now = (await connection.execute(select(*(table.c[name] for name in known)).where(own))).first()
    if now is None:
        return False
    found = dict(zip(known, now, strict=True))
    same = [name for name in known if _same(kind, name, broken[name], found[name])]
    if same and (aside.reason != NO_OBJECT or found != broken):
        values = {name: _written(broken[name]) for name in same}
        await connection.execute(update(table).where(own).values(values))
    return len(same) == len(broken)


def _exact(kind: str, aside: Any) -> dict[str, Any]:
    """The values that a row of the quarantine is there for."""
    row = aside.row
    if aside.reason == NO_OBJECT:
        return {"metadata": row["metadata"]}
    if aside.reason.startswith(BROKEN):
        return {name: text for name in row if (text := BrokenText.parse(row[name])) is not None}
    documents = (name for name in row if COLUMNS[kind].get(name) == JSON)
    return {name: found for name in documents if (found := odd(row[name])) is not None}


def _written(value: Any) -> Any:
    """What writes it; its column is text or JSON, and the database knows which."""
    if isinstance(value, BrokenText):
        return exact(value)
    return value.text if isinstance(value, Odd) else value


def _same(kind: str, name: str, text: Any, now: Any) -> bool:
    """Whether a value is what an adoption makes of an exact one."""
    if isinstance(text, BrokenText) and name in NAMING and now == text.told_surely:
        return True
    before, what = readable(name, text), COLUMNS[kind].get(name)
    if what is None:
        return bool(before == now)
    return bool(shape.value_of(what, before, name) == shape.value_of(what, now, name))
