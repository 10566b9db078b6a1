"""The schema of Chainlit's asyncpg layer, written to by that layer.

The tables are those that the migrations of Chainlit/chainlit-datalayer make; its second
migration added the tags of threads.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

from chainlit.data.chainlit_data_layer import ChainlitDataLayer
from chainlit.types import Feedback
from chainlit.user import User

from tests.frozen import conversations as said
from tests.frozen.conversations import element_id, feedback_id, step_id, thread_id
from tests.frozen.sqlalchemy_layer import Bucket, element

TYPES = (
    "assistant_message",
    "embedding",
    "llm",
    "retrieval",
    "rerank",
    "run",
    "system_message",
    "tool",
    "undefined",
    "user_message",
)
_HEAD = (
    '"id" TEXT PRIMARY KEY DEFAULT gen_random_uuid()',
    '"createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP',
    '"updatedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP',
)
_TABLES = {
    "User": (*_HEAD, '"metadata" JSONB NOT NULL', '"identifier" TEXT NOT NULL'),
    "Thread": (
        *_HEAD,
        '"deletedAt" TIMESTAMP(3)',
        '"name" TEXT',
        '"metadata" JSONB NOT NULL',
        '"userId" TEXT REFERENCES "User"("id") ON DELETE SET NULL ON UPDATE CASCADE',
    ),
    "Step": (
        *_HEAD,
        '"parentId" TEXT REFERENCES "Step"("id") ON DELETE CASCADE ON UPDATE CASCADE',
        '"threadId" TEXT REFERENCES "Thread"("id") ON DELETE CASCADE ON UPDATE CASCADE',
        '"input" TEXT',
        '"metadata" JSONB NOT NULL',
        '"name" TEXT',
        '"output" TEXT',
        '"type" "StepType" NOT NULL',
        "\"showInput\" TEXT DEFAULT 'json'",
        '"isError" BOOLEAN DEFAULT false',
        '"startTime" TIMESTAMP(3) NOT NULL',
        '"endTime" TIMESTAMP(3) NOT NULL',
    ),
    "Element": (
        *_HEAD,
        '"threadId" TEXT REFERENCES "Thread"("id") ON DELETE CASCADE ON UPDATE CASCADE',
        '"stepId" TEXT NOT NULL REFERENCES "Step"("id") ON DELETE CASCADE ON UPDATE CASCADE',
        '"metadata" JSONB NOT NULL',
        '"mime" TEXT',
        '"name" TEXT NOT NULL',
        '"objectKey" TEXT',
        '"url" TEXT',
        '"chainlitKey" TEXT',
        '"display" TEXT',
        '"size" TEXT',
        '"language" TEXT',
        '"page" INTEGER',
        '"props" JSONB',
    ),
    "Feedback": (
        *_HEAD,
        '"stepId" TEXT REFERENCES "Step"("id") ON DELETE SET NULL ON UPDATE CASCADE',
        '"name" TEXT NOT NULL',
        '"value" DOUBLE PRECISION NOT NULL',
        '"comment" TEXT',
    ),
}


def statements(*, tags: bool) -> Iterator[str]:
    """The statements that make the tables.

    Args:
        tags: With the second migration.
    """
    types = ", ".join(f"'{one}'" for one in TYPES)
    yield f'CREATE TYPE "StepType" AS ENUM ({types})'
    for table, columns in _TABLES.items():
        lines = ",\n".join(f"    {column}" for column in columns)
        yield f'CREATE TABLE "{table}" (\n{lines}\n)'
    yield 'CREATE UNIQUE INDEX "User_identifier_key" ON "User"("identifier")'
    if tags:
        yield 'ALTER TABLE "Thread" ADD COLUMN "tags" TEXT[] DEFAULT ARRAY[]::TEXT[]'


class Timeless(ChainlitDataLayer):
    """The layer with a clock that stands."""

    async def get_current_timestamp(self) -> datetime:
        return datetime(2025, 1, 1, 8)


# The database set these by its clock.
_TIMES = (
    """UPDATE "User" SET "createdAt" = '2025-01-01 08:00:00.123', "updatedAt" = "createdAt" """,
    """UPDATE "Thread" SET "updatedAt" = '2025-02-20 08:00:00.5',
        "createdAt" = TIMESTAMP '2025-02-01 09:59:59' + right(id, 2)::int * INTERVAL '1 day'""",
    """UPDATE "Step" SET "createdAt" = "startTime" + INTERVAL '3 milliseconds',
        "updatedAt" = "startTime" + INTERVAL '1 minute'""",
    f"""UPDATE "Step" SET "endTime" = "startTime" + INTERVAL '5.5 seconds'
        WHERE id = '{step_id(1, 4)}'""",
    """UPDATE "Element" SET "createdAt" = '2025-02-10', "updatedAt" = '2025-02-10'""",
    """UPDATE "Feedback" SET "updatedAt" = '2025-02-11 00:00:10',
        "createdAt" = TIMESTAMP '2025-02-11' + right(id, 2)::int * INTERVAL '1 second'""",
)
_STEP = 'INSERT INTO "Step" (id, "threadId", type, name, metadata, output, "startTime", "endTime")'
_ODD_ROWS = (
    f"""INSERT INTO "Thread" (id, name, metadata, "userId", "deletedAt") VALUES
        ('{thread_id(8)}', 'deleted', '{{}}', '{said.user_id(1)}', '2025-02-12 00:00:00')""",
    f"""UPDATE "Thread" SET metadata = 'null' WHERE id = '{thread_id(3)}'""",
    f"""{_STEP} VALUES
        ('{step_id(8, 1)}', '{thread_id(8)}', 'user_message', 'Ada', '{{}}', 'in a deleted thread',
         '2025-02-08 10:00:01', '2025-02-08 10:00:01'),
        ('{step_id(9, 1)}', NULL, 'tool', 'stray', '{{}}', 'in no thread',
         '2025-02-09 10:00:01', '2025-02-09 10:00:01'),
        ('{step_id(5, 1)}', '{thread_id(5)}', 'undefined', NULL, 'null', NULL,
         '2025-02-05 10:00:01.007', '2025-02-05 10:00:02')""",
    f"""INSERT INTO "Feedback" (id, "stepId", name, value, comment) VALUES
        ('{feedback_id(5)}', NULL, 'user_feedback', 1, 'for a step that was deleted')""",
    f"""INSERT INTO "Element" (id, "threadId", "stepId", metadata, name, mime, url) VALUES
        ('{element_id(9)}', '{thread_id(1)}', '{step_id(1, 1)}', '{{}}', 'no type', NULL, NULL),
        ('{element_id(10)}', NULL, '{step_id(1, 1)}', '{{"type": "image"}}', 'in no thread',
         'image/png', 'https://pictures.example/c.png')""",
)


async def write(url: str, folder: Path, *, tags: bool) -> None:
    """Make the tables in a database and write the conversations into them.

    Args:
        url: An empty PostgreSQL database.
        folder: For the attachments.
        tags: Whether threads have tags.
    """
    layer = Timeless(url, storage_client=Bucket(folder))
    try:
        for statement in statements(tags=tags):
            await layer.execute_query(statement)
        for user in said.USERS:
            with patch.object(uuid, "uuid4", return_value=uuid.UUID(user["id"])):
                await layer.create_user(User(user["identifier"], metadata=user["metadata"]))
        for thread in said.THREADS:
            await _write_thread(layer, thread, tags=tags)
        for values in (*said.ELEMENTS, said.LINK):
            given = {key: value for key, value in values.items() if key != "props" or value}
            await layer.create_element(element(given))
        for values in (*said.FEEDBACKS, said.SECOND_FEEDBACK):
            await layer.upsert_feedback(Feedback(**values))
        for statement in (*_ODD_ROWS, *_TIMES):
            await layer.execute_query(statement)
    finally:
        await layer.close()


async def _write_thread(layer: ChainlitDataLayer, thread: Mapping[str, Any], *, tags: bool) -> None:
    id = thread_id(thread["number"])
    await layer.update_thread(
        id,
        name=thread["name"],
        user_id=said.USER_IDS[thread["user"]] if thread["user"] else None,
        metadata=thread["metadata"],
        tags=thread["tags"] if tags else None,
    )
    for values in said.STEPS:
        if values["threadId"] == id:
            await layer.create_step(json.loads(json.dumps(values)))
