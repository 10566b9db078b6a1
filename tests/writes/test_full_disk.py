"""A disk without room: nothing that is to be written is given up for that."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from chainlit_sqla.database import Database
from chainlit_sqla.database.migrator import upgrade
from chainlit_sqla.errors import DatabaseUnavailable
from chainlit_sqla.models import Step, quarantine
from chainlit_sqla.settings import Settings
from chainlit_sqla.transfer.importing import Import, writer
from chainlit_sqla.transfer.sources import open_source
from chainlit_sqla.writes.operations import SaveStep
from chainlit_sqla.writes.queue import WriteQueue
from tests.importers.bulk import fill
from tests.until import until
from tests.writes.test_deletions import count

STEPS = 3_000


class Disk:
    """How large the files of a database may be; SQLite itself says that there is no room."""

    def __init__(self, database: Database) -> None:
        self.pages = 1  # As many as there are already.
        self.refused = 0
        for engine in database.sync_engines:
            event.listen(engine, "begin", self._limit)
            event.listen(engine, "handle_error", self._count)

    def _limit(self, connection: Any) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {self.pages}")

    def _count(self, _context: Any) -> None:
        self.refused += 1

    def grow(self) -> None:
        self.pages = 1_000_000


async def test_an_import_says_what_to_do_puts_nothing_aside_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "ATTEMPTS", 1)
    fill(tmp_path / "old.db", STEPS, each=1)
    target = Database(f"sqlite:///{tmp_path}/new.db")
    await upgrade(target)
    settings = Settings.load(database_url=f"sqlite:///{tmp_path}/new.db")
    disk = Disk(target)
    disk.pages = 200
    async with open_source(str(tmp_path / "old.db"), settings, target=target) as source:
        with pytest.raises(DatabaseUnavailable, match=r"There is no room for .*; free disk space"):
            await Import(source, target).run()
    assert await count(target, quarantine) == 0
    disk.grow()
    async with open_source(str(tmp_path / "old.db"), settings, target=target) as source:
        result = await Import(source, target).run()
    assert result.comparison.equal
    assert await count(target, Step) == STEPS
    assert await count(target, quarantine) == 0
    await target.close()


async def test_a_message_waits_for_room(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/chats.db")
    await upgrade(database)
    disk = Disk(database)
    write_queue = WriteQueue(database)
    saving = asyncio.create_task(write_queue.submit(SaveStep("t", "s", {"output": "x" * 100_000})))
    await until(lambda: disk.refused > 0 or saving.done())
    assert not saving.done()
    disk.grow()
    await saving
    assert await count(database, Step) == 1
    await write_queue.close()
    await database.close()
