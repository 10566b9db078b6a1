"""The way back of texts that are no UTF-8: their bytes, where nobody changed the text since."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Table, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from .._broken_text import BrokenText
from ..importers import shape
from ..importers.tables import BROKEN, exact, readable
from ..models import quarantine
from ..records import COLUMNS
from .kept import ORIGIN
from .original import NAMES

_ROWS = 500


async def give_back(
    connection: AsyncConnection, tables: Mapping[str, Table], counts: Counter[str]
) -> list[Any]:
    """Write the bytes of the quarantine into the rows of Chainlit's tables.

    Args:
        connection: In the transaction.
        tables: Chainlit's, with all their rows.
        counts: Is told of the rows that are exact again, by kind.

    Returns:
        The rows of the quarantine of which something could not be given back.
    """
    kinds = {name: kind for kind, name in NAMES.items()}
    columns, last = quarantine.c, ""
    kept: list[Any] = []
    ours = columns.reason.startswith(BROKEN), columns.source == ORIGIN
    while True:
        query = select(quarantine).where(columns.id > last, *ours).order_by(columns.id)
        rows: Sequence[Any] = (await connection.execute(query.limit(_ROWS))).all()
        if not rows:
            return kept
        last = rows[-1].id
        for row in rows:
            kind = kinds[row.origin]
            if await _given(connection, kind, tables[kind], row.row):
                counts[kind] += 1
            else:
                kept.append(row)


async def _given(
    connection: AsyncConnection, kind: str, table: Table, row: Mapping[str, Any]
) -> bool:
    """Write the texts of one row that are still the same; whether these were all."""
    broken = {name: text for name in row if (text := BrokenText.parse(row[name])) is not None}
    known = [name for name in broken if name in table.c]
    own = table.c.id == str(row["id"])
    now = (await connection.execute(select(*(table.c[name] for name in known)).where(own))).first()
    if now is None:
        return False
    found = dict(zip(known, now, strict=True))
    same = [name for name in known if _same(kind, name, broken[name], found[name])]
    if same:
        values = {name: exact(broken[name]) for name in same}
        await connection.execute(update(table).where(own).values(values))
    return len(same) == len(broken)


def _same(kind: str, name: str, text: BrokenText, now: Any) -> bool:
    """Whether a value is what an adoption makes of a text."""
    before, what = readable(name, text), COLUMNS[kind].get(name)
    if what is None:
        return bool(before == now)
    return bool(shape.value_of(what, before, name) == shape.value_of(what, now, name))
