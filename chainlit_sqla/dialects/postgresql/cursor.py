"""Cursors of PostgreSQL by SQL: SQLAlchemy's for asyncpg fetch 50 rows, however wide they are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

from sqlalchemy import ClauseElement, Executable, Select, column, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.ext.compiler import compiles

from ..cursor import Fetch

# A name more than once would meet what the driver has prepared for other columns.
_numbers = count(1)


class _Declare(Executable, ClauseElement):
    """``DECLARE … CURSOR FOR`` a query."""

    inherit_cache = False

    def __init__(self, name: str, query: Select[Any]) -> None:
        self.name = name
        self.query = query


@compiles(_Declare)
def _compiled(element: _Declare, compiler: Any, **options: Any) -> str:
    return f"DECLARE {element.name} NO SCROLL CURSOR FOR " + str(
        compiler.process(element.query, **options)
    )


@asynccontextmanager
async def declared(connection: AsyncConnection, query: Select[Any]) -> AsyncIterator[Fetch]:
    """See `Portioned.cursor`; after an error, the end of the transaction closes it."""
    name = f"chainlit_sqla_{next(_numbers)}"
    # All rows will be read: a plan that gives the first ones soon may be slow to the end.
    await connection.execute(text("SELECT set_config('cursor_tuple_fraction', '1', true)"))
    await connection.execute(_Declare(name, query))
    columns = [column(str(one.key), one.type) for one in query.selected_columns]

    async def fetch(number: int) -> Sequence[Any]:
        rows = text(f"FETCH {number} FROM {name}").columns(*columns)
        return (await connection.execute(rows)).all()

    yield fetch
    await connection.execute(text(f"CLOSE {name}"))
