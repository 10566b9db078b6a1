"""Our own schema at each revision: made by its migrations, filled by plain SQL.

Not by the layer, which writes to the newest revision only: so the file of a revision is
made the same when there are later ones.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

from alembic import command
from alembic.config import Config
from sqlalchemy import JSON, Connection, DateTime, MetaData, Table, insert
from sqlalchemy.types import _Binary

from chainlit_sqla.database import Database
from chainlit_sqla.database import migrator as migrations
from tests.frozen import comparable
from tests.frozen import conversations as said
from tests.frozen.comparable import Conversations, instant
from tests.frozen.conversations import Row, step_id, thread_id

_INSTANTS = {"createdAt", "updatedAt", "deletedAt", "start", "end", "startedAt", "finishedAt"}
_DOCUMENTS = {
    *("metadata", "tags", "modes", "generation", "showInput", "extra", "props", "playerConfig"),
    *("row", "details"),
}
_AT = "2025-03-01T00:00:00Z"
_SIGNATURE = bytes.fromhex("091a20002202008920100a000044604184000882820241004080081000368481")
"""What the release of revision 0002 made of the messages of a thread."""


def tables_as_sql(revision: str, dialect: str) -> str:
    """The statements of the migrations up to a revision, for a dialect as a URL names it."""
    text = io.StringIO()
    config = Config(output_buffer=text)
    config.set_main_option("script_location", str(migrations.script_folder()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    place = "/d" if dialect == "sqlite" else "u@h/d"
    with patch.dict(os.environ, {"DATABASE_URL": f"{dialect}://{place}"}):
        command.upgrade(config, revision, sql=True)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()).strip() + "\n"


async def write(url: str, revision: str) -> None:
    """Migrate an empty database to a revision and insert what that can hold."""
    database = Database(url)
    try:
        await migrations.upgrade(database, revision)
        async with database.write() as connection:
            await connection.run_sync(_insert_all)
    finally:
        await database.close()


def _insert_all(connection: Connection) -> None:
    found = MetaData()
    found.reflect(connection)
    for name, rows in ROWS.items():
        if (table := found.tables.get(name)) is not None:
            for row in rows:
                connection.execute(insert(table), _fitting(table, row))


def _fitting(table: Table, row: Row) -> Row:
    """The values as the columns of this revision take them."""
    return {
        name: _value(table.columns[name].type, name, value)
        for name, value in row.items()
        if name in table.columns and value is not None
    }


def _value(kind: Any, name: str, value: Any) -> Any:
    if name in _INSTANTS:
        at = datetime.fromisoformat(value)
        if not isinstance(kind, DateTime):
            return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
        return at if kind.timezone else at.astimezone(UTC).replace(tzinfo=None)
    if name in _DOCUMENTS and not isinstance(kind, JSON):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if isinstance(kind, _Binary) and isinstance(value, str):
        return value.encode()
    return value


def _users() -> Iterator[Row]:
    for user in said.USERS:
        yield {**user, "displayName": f"{user['identifier']} 🙂" if user["metadata"] else None}


def _threads() -> Iterator[Row]:
    for thread in said.THREADS:
        at = said.thread_time(thread["number"])
        user = thread["user"]
        yield {
            "id": thread_id(thread["number"]),
            "createdAt": at,
            "updatedAt": at.replace("T09", "T23"),
            "name": thread["name"],
            "userId": said.USER_IDS.get(user),
            "userIdentifier": user,
            "tags": thread["tags"],
            "metadata": thread["metadata"] or {},
        }


def _steps() -> Iterator[Row]:
    # The same id in two threads: the key is of both.
    twin = said.step(3, 2, "assistant_message", output="a twin") | {"id": step_id(4, 1)}
    for ordinal, step in enumerate((*said.STEPS, *said.BARE_STEPS, twin), 1_738_000_000_000_000):
        times = {key: instant(step.get(key)) for key in ("start", "end")}
        unread = {key: step[key] for key in times if not times[key] and step.get(key)}
        yield {
            **step,
            **times,
            "extra": {**unread, "icon": "search", "later": {"a": [1]}} if unread else None,
            "metadata": step.get("metadata") or {},
            "createdAt": step["createdAt"] or _AT,
            "ordinal": ordinal,
        }


def _elements() -> Iterator[Row]:
    given = (*said.ELEMENTS, said.TASK_LIST, said.LINK)
    for ordinal, element in enumerate(given, 1_738_000_000_000_000):
        content = element.get("content")
        key = f"threads/{element['threadId']}/{element['id']}" if content else None
        yield {
            **element,
            "objectKey": element.get("objectKey") or key,
            "byteSize": len(content) if content else None,
            "extra": {"lostObjectKey": "threads/lost"} if element["type"] == "custom" else None,
            "createdAt": _AT,
            "ordinal": ordinal,
        }


ROWS: dict[str, list[Row]] = {
    "users": list(_users()),
    "threads": list(_threads()),
    "steps": list(_steps()),
    "elements": list(_elements()),
    "feedbacks": [{**feedback, "createdAt": _AT} for feedback in said.FEEDBACKS],
    "chainlit_sqla_tombstones": [
        {"threadId": thread_id(90), "id": "", "deletedAt": _AT},
        {"threadId": thread_id(1), "id": step_id(1, 90), "deletedAt": _AT},
        {"threadId": thread_id(1), "id": f"element {said.element_id(90)}", "deletedAt": _AT},
    ],
    "chainlit_sqla_blob_deletions": [
        {"objectKey": "threads/gone/ü 🙂.png", "createdAt": _AT, "attempts": 3}
    ],
    "chainlit_sqla_signatures": [
        {
            "threadId": thread_id(number),
            "userId": said.USER_IDS[said.ADA],
            "updatedAt": said.thread_time(number).replace("T09", "T23"),
            "claim": claim,
            "signature": signature,
        }
        for number, claim, signature in ((3, "frozen", _SIGNATURE), (7, "not made yet", None))
    ],
    "chainlit_sqla_quarantine": [
        {
            "id": "an orphan",
            "source": "postgresql://old/chats",
            "origin": "steps",
            "reason": "its thread is gone",
            "row": {"id": step_id(99, 1), "output": said.AWKWARD, "threadId": None},
            "createdAt": _AT,
        }
    ],
    "chainlit_sqla_imports": [
        {
            "id": "an import",
            "source": "postgresql://old/chats",
            "position": thread_id(3),
            "details": {"rows": {"threads": 3}},
            "startedAt": _AT,
            "finishedAt": _AT,
        }
    ],
}
"""The rows by table. A revision that has more tables or columns adds theirs here; those
before it leave them out."""


def conversations() -> Conversations:
    """What our layer must read from it, at whichever revision it began."""
    known = {user["id"]: user["identifier"] for user in ROWS["users"]}
    feedbacks = {(row["threadId"], row["forId"]): row for row in ROWS["feedbacks"]}
    steps = [
        {**row, "feedback": feedbacks.get((row["threadId"], row["id"]))} for row in ROWS["steps"]
    ]
    found = {}
    for thread in ROWS["threads"]:
        inside = {
            "steps": [row for row in steps if row["threadId"] == thread["id"]],
            "elements": [row for row in ROWS["elements"] if row["threadId"] == thread["id"]],
        }
        found[thread["id"]] = comparable.thread({**thread, **inside}, known)
    users = {row["identifier"]: [comparable.user(row)] for row in ROWS["users"]}
    return {"users": users, "threads": found}
