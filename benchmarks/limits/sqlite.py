"""The standard library's sqlite3 on our tables: one transaction a batch, in one thread."""

from __future__ import annotations

import asyncio
import sqlite3
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import orjson

from .rows import DOCUMENTS, STEP_COLUMNS, Batches, page_of, step_values

T = TypeVar("T")

_NAMES = ", ".join(f'"{name}"' for name in STEP_COLUMNS)
_MARKS = ", ".join("?" * len(STEP_COLUMNS))
_UPDATES = ", ".join(
    f'"{name}" = coalesce(excluded."{name}", "{name}")'
    for name in STEP_COLUMNS
    if name not in ("threadId", "id", "createdAt", "ordinal")
)
WRITE_STEPS = f"""INSERT INTO steps ({_NAMES}) VALUES ({_MARKS})
ON CONFLICT ("threadId", id) DO UPDATE SET {_UPDATES}"""
WRITE_THREADS = """INSERT INTO threads
(id, name, "userId", "userIdentifier", "createdAt", "updatedAt", metadata)
VALUES (?1, ?2, ?3, (SELECT identifier FROM users WHERE id = ?3), ?4, ?4, '{}')
ON CONFLICT (id) DO UPDATE SET
  name = coalesce(excluded.name, name), "userId" = coalesce(excluded."userId", "userId"),
  "userIdentifier" = coalesce(excluded."userIdentifier", "userIdentifier"),
  "updatedAt" = max(excluded."updatedAt", "updatedAt")"""
WRITE_USER = """INSERT INTO users (id, identifier, metadata, "createdAt") VALUES (?, ?, ?, ?)
ON CONFLICT (identifier) DO UPDATE SET metadata = excluded.metadata"""

USER = 'SELECT id, identifier, metadata, "createdAt" FROM users WHERE identifier = ?'
THREAD = "SELECT * FROM threads WHERE id = ?"
STEPS = """SELECT s.*, f.id AS "feedbackId", f.value AS "feedbackValue",
f.comment AS "feedbackComment"
FROM steps s LEFT JOIN feedbacks f ON f."threadId" = s."threadId" AND f."forId" = s.id
WHERE s."threadId" = ? ORDER BY s."createdAt", s.ordinal"""
ELEMENTS = 'SELECT * FROM elements WHERE "threadId" = ? ORDER BY ordinal'
PAGE = """SELECT * FROM threads WHERE "userId" = ? AND ("updatedAt", id) < (?, ?)
ORDER BY "updatedAt" DESC, id DESC LIMIT ?"""


class SqliteLimit(Batches):
    """The part of a data layer's interface that the workloads call.

    Args:
        path: The database.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._thread = ThreadPoolExecutor(1)

    async def create_user(self, user: Any) -> Any:
        metadata = orjson.dumps(user.metadata).decode()
        values = (str(uuid.uuid4()), user.identifier, metadata, _text(datetime.now(UTC)))
        await self._apart(lambda: self._connection.execute(WRITE_USER, values))
        return await self.get_user(user.identifier)

    async def get_user(self, identifier: str) -> Any:
        rows = await self._rows(USER, identifier)
        return SimpleNamespace(**rows[0]) if rows else None

    async def get_thread(self, thread_id: str) -> dict[str, Any] | None:
        def read() -> dict[str, Any] | None:
            thread = self._connection.execute(THREAD, [thread_id]).fetchone()
            if thread is None:
                return None
            steps = [dict(row) for row in self._connection.execute(STEPS, [thread_id])]
            for step in steps:
                for name in DOCUMENTS:
                    if step[name] is not None:
                        step[name] = orjson.loads(step[name])
            elements = [dict(row) for row in self._connection.execute(ELEMENTS, [thread_id])]
            return {**thread, "steps": steps, "elements": elements}

        return await self._apart(read)

    async def list_threads(self, pagination: Any, filters: Any) -> Any:
        at, _, id = (pagination.cursor or "9999 ").rpartition(" ")
        rows = await self._rows(PAGE, filters.userId, at, id, pagination.first + 1)
        return page_of(rows, pagination.first)

    async def close(self) -> None:
        self._thread.shutdown()
        self._connection.close()

    async def _write(
        self, threads: dict[str, dict[str, Any]], steps: dict[tuple[str, str], dict[str, Any]]
    ) -> None:
        now = _text(datetime.now(UTC))
        changes = [(id, row.get("name"), row.get("userId"), now) for id, row in threads.items()]
        rows = [step_values(step, _text) for step in steps.values()]

        def write() -> None:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(WRITE_THREADS, changes)
            self._connection.executemany(WRITE_STEPS, rows)
            self._connection.execute("COMMIT")

        await self._apart(write)

    async def _rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        return await self._apart(
            lambda: [dict(row) for row in self._connection.execute(query, values)]
        )

    async def _apart(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _text(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
