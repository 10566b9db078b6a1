"""Conversations on the disk are private: files have the mode 0600, folders 0700."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from chainlit_sqla.database import Database, migrator
from chainlit_sqla.settings import Settings
from chainlit_sqla.storage.base import BlobSource
from chainlit_sqla.storage.local.client import LocalStorage


@pytest.fixture(autouse=True)
def _usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): oct(stat.S_IMODE(path.stat().st_mode))
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize("form", ["sqlite:///{}", "sqlite:///file:{}?uri=true"])
async def test_a_sqlite_file(tmp_path: Path, form: str) -> None:
    url = form.format(tmp_path / "chats.db")
    database = Database(url, settings=Settings.load())
    await migrator.upgrade(database)
    async with database.write() as connection:
        await connection.exec_driver_sql("CREATE TABLE notes (id INTEGER)")
        assert modes(tmp_path) == {
            "chats.db": "0o600",
            "chats.db-wal": "0o600",
            "chats.db-shm": "0o600",
        }
    await database.close()


async def test_an_existing_file_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "chats.db").touch(0o640)
    database = Database(f"sqlite:///{tmp_path / 'chats.db'}", settings=Settings.load())
    await migrator.upgrade(database)
    await database.close()
    assert modes(tmp_path)["chats.db"] == "0o640"


async def test_stored_files(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path, secret="", expiry=60, url_prefix=str)
    await storage.put("threads/t/e/1", BlobSource(data=b"x"), mime="text/plain")
    await storage.read_urls(["threads/t/e/1"])
    await storage.close()
    found = modes(tmp_path)
    assert ".secret" in found
    for name, mode in found.items():
        assert mode == ("0o700" if (tmp_path / name).is_dir() else "0o600"), name
