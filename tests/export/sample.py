"""The examples of docs/exporting.md, made by a real run: ``python -m tests.export.sample``."""

from __future__ import annotations

import asyncio
import re
import tempfile
from pathlib import Path

from chainlit_sqla.database import Database
from chainlit_sqla.database import migrator as migrations
from chainlit_sqla.transfer.exporting import Format, Selection, export_conversations
from chainlit_sqla.transfer.records import TABLES, Record

_ROOT = Path(__file__).parents[2]
FILE = _ROOT / "docs" / "exporting.md"
_BLOCK = "<!-- example: {name} -->\n(.*?)<!-- /example -->"

_AT = "2026-01-31T08:00:0"
_LINES = (
    '{"kind":"user","id":"u1","identifier":"ada@example.org","createdAt":"2026-01-01T00:00:00Z"}',
    f'{{"kind":"thread","id":"t1","createdAt":"{_AT}0Z","updatedAt":"{_AT}4Z","name":"Weather",'
    '"userId":"u1","userIdentifier":"ada@example.org","tags":["travel"]}',
    f'{{"kind":"step","threadId":"t1","id":"s1","name":"ada@example.org","type":"user_message",'
    f'"output":"Will it rain in Paris?","createdAt":"{_AT}0Z","ordinal":1}}',
    f'{{"kind":"step","threadId":"t1","id":"s2","name":"on_message","type":"run","parentId":"s1",'
    f'"createdAt":"{_AT}1Z","ordinal":2}}',
    f'{{"kind":"step","threadId":"t1","id":"s3","name":"forecast","type":"tool","parentId":"s2",'
    f'"input":"{{\\"city\\":\\"Paris\\"}}","output":"clear, 7 °C","showInput":"json",'
    f'"createdAt":"{_AT}1Z","start":"{_AT}1Z","end":"{_AT}3Z","ordinal":3}}',
    f'{{"kind":"step","threadId":"t1","id":"s4","name":"Assistant","type":"assistant_message",'
    f'"parentId":"s2","output":"No, it stays **clear**.","createdAt":"{_AT}4Z","ordinal":4}}',
    '{"kind":"element","threadId":"t1","id":"e1","type":"image","name":"map.png","forId":"s4",'
    '"mime":"image/png","byteSize":20480,"objectKey":"u1/t1/e1/map.png"}',
    '{"kind":"feedback","threadId":"t1","forId":"s2","id":"f1","value":1,"comment":"Right!"}',
)
"""Lines of an export, in short."""


async def fill(database: Database) -> None:
    await migrations.upgrade(database)
    async with database.write() as connection:
        for line in _LINES:
            record = Record.parse(line)
            await connection.execute(TABLES[record.kind].insert(), dict(record.values))


async def examples() -> dict[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/chats.db")
        try:
            await fill(database)
            found = {}
            # A page is to be looked at.
            for name in ("jsonl", "markdown", "chat", "chat --tools"):
                form, tools = Format(name.split()[0]), "--tools" in name
                parts: list[bytes] = []
                await export_conversations(database, form, Selection(), parts.append, tools=tools)
                found[name] = b"".join(parts).decode().replace(f"{folder}/", "")
        finally:
            await database.close()
    found["jsonl"] = re.sub(r'(?<="exported":")[^"]+', "2026-02-01T09:00:00Z", found["jsonl"])
    return found


def block(text: str, language: str) -> str:
    return f"````{language}\n{text}````\n"


def page(document: str, shown: dict[str, str]) -> str:
    for name, text in shown.items():
        language = "markdown" if name == "markdown" else "json"
        pattern = re.compile(_BLOCK.format(name=re.escape(name)), re.DOTALL)
        assert pattern.search(document), f"there is no place for the example {name!r}"
        place = f"<!-- example: {name} -->\n{block(text, language)}<!-- /example -->"
        document = pattern.sub(lambda _, place=place: place, document)
    return document


if __name__ == "__main__":
    made = page(FILE.read_text(encoding="utf-8"), asyncio.run(examples()))
    FILE.write_text(made, encoding="utf-8")
