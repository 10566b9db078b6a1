"""`export --with-files`: what a person is given who asks for everything that is stored of them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from chainlit.element import File
from chainlit.types import Feedback
from chainlit.user import User
from sqlalchemy import select

from chainlit_sqla import SQLADataLayer
from chainlit_sqla.database import Database, migrator
from chainlit_sqla.models import elements
from tests.cli.conftest import Command
from tests.cli.test_delete import URL, fill, url
from tests.cli.test_export import mode

NAME = "../../\n\x00é/etc/passwd" + "x" * 300 + ".txt"

__all__ = ["url"]


async def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (await asyncio.to_thread(path.read_bytes)).splitlines()]


async def test_a_person_gets_everything_and_what_is_missing_is_named(
    program: Command, folder: Path, url: str
) -> None:
    database = Database(url)
    await migrator.upgrade(database)
    layer = SQLADataLayer(database)
    await fill(layer, "ada", "bob")
    await layer.upsert_feedback(Feedback(forId="ada1s", value=1, threadId="ada1"))
    named = File(id="named", thread_id="ada1", for_id="ada1s", name=NAME, content=b"content")
    await layer.create_element(named)
    query = select(elements.c.objectKey).where(elements.c.threadId == "ada2")
    key = await database.read(lambda connection: connection.scalar(query)) or ""
    await layer.storage.delete([key])
    await layer.close()
    result = await asyncio.to_thread(
        program, "export", "--user", "ada", "--with-files", "ada", "--url", url
    )
    assert result.code == 1
    assert "1 file missing or incomplete in ada, named in its manifest: " in result.err
    assert f"There is no blob {key!r}" in result.err
    kinds = [line["kind"] for line in await lines(folder / "ada" / "conversations.jsonl")]
    assert sorted(kinds[1:-1]) == sorted(
        ["user", *["thread", "step", "element"] * 2, "element", "feedback"]
    )
    manifest = {line["elementId"]: line for line in await lines(folder / "ada" / "manifest.jsonl")}
    assert manifest["ada2e"]["file"] is None
    assert manifest["ada2e"]["problem"] == "not in the store"
    assert (manifest["named"]["threadId"], manifest["named"]["bytes"]) == ("ada1", 7)
    paths = sorted(path for path in folder.glob("ada/**/*") if path.is_file())
    copied = {str(path.relative_to(folder / "ada")): path for path in paths}
    assert set(copied) == {
        "conversations.jsonl",
        "manifest.jsonl",
        manifest["ada1e"]["file"],
        manifest["named"]["file"],
    }
    assert copied[manifest["named"]["file"]].read_bytes() == b"content"
    assert {mode(path) for path in paths} == {0o600}
    assert mode(folder / "ada") == 0o700


def test_a_person_without_conversations_gets_the_user(cli: Command, folder: Path) -> None:
    async def create() -> None:
        layer = SQLADataLayer(URL)
        await layer.create_user(User(identifier="eve", metadata={"mail": "eve@example.org"}))
        await layer.close()

    asyncio.run(create())
    assert cli("export", "--user", "eve", "--with-files", "eve", "--url", URL).code == 0
    assert "eve@example.org" in (folder / "eve" / "conversations.jsonl").read_text()
    assert "is not an empty folder" in cli("export", "--with-files", "eve", "--url", URL).err
    assert cli("export", "--tag", "none", "--with-files", "no", "--url", URL).code == 0
    assert [path.name for path in folder.iterdir() if path.name in ("eve", "no")] == ["eve"]
