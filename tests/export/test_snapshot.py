"""One state of the database to the end, whatever is written meanwhile."""

from __future__ import annotations

from sqlalchemy import func, select

from chainlit_sqla import SQLADataLayer
from chainlit_sqla.database import Database
from chainlit_sqla.models import threads
from tests.contract import build

from .conftest import EVERYWHERE

COUNT = select(func.count()).select_from(threads)


@EVERYWHERE
async def test_a_snapshot_does_not_see_what_is_written_after_it_began(
    database: Database, layer: SQLADataLayer
) -> None:
    me = await build.person(layer)
    await build.thread(layer, me)
    async with database.snapshot() as connection:
        before = await connection.scalar(COUNT)
        await build.thread(layer, me)
        assert await connection.scalar(COUNT) == before == 1
    async with database.snapshot() as connection:
        assert await connection.scalar(COUNT) == 2
