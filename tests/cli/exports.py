"""What the tests of `export` share: a database with conversations, and what a run says."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from chainlit_sqla.database import Database
from tests.cli.programs import Result
from tests.export import many, sample

EXPORT = [sys.executable, "-m", "chainlit_sqla", "export"]
URL = "sqlite:///chats.db"


def fill(url: str, *, turns: int = 0, text: str = "lorem ipsum " * 100) -> None:
    """Store the conversation of the documentation, and a long one."""

    async def work() -> None:
        database = Database(url)
        await sample.fill(database)
        if turns:
            await many.store(database, "long", turns, text)
        await database.close()

    asyncio.run(work())


def said(result: Result) -> str:
    assert result.code == 0, result
    assert result.err.count("\n") == 1, result.err
    return result.err


def there(folder: Path) -> list[str]:
    """Files that are not the database's."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("chats.db"))
