"""asyncpg on our tables: one statement a batch, one keyset query a page."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import asyncpg
import orjson

from .rows import DOCUMENTS, INSTANTS, STEP_COLUMNS, Batches, page_of, step_values

_NAMES = ", ".join(f'"{name}"' for name in STEP_COLUMNS)
_ARRAYS = ", ".join(
    f"${number}::{kind}[]" for number, kind in enumerate(STEP_COLUMNS.values(), start=5)
)
_UPDATES = ", ".join(
    f'"{name}" = coalesce(excluded."{name}", steps."{name}")'
    for name in STEP_COLUMNS
    if name not in ("threadId", "id", "createdAt", "ordinal")
)

WRITE = f"""
WITH moved AS (
  INSERT INTO threads (id, name, "userId", "userIdentifier", "createdAt", "updatedAt", metadata)
  SELECT t.id, t.name, t.user_id, u.identifier, t.at, t.at, '{{}}'
  FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[]) AS t(id, name, user_id, at)
  LEFT JOIN users u ON u.id = t.user_id
  ON CONFLICT (id) DO UPDATE SET
    name = coalesce(excluded.name, threads.name),
    "userId" = coalesce(excluded."userId", threads."userId"),
    "userIdentifier" = coalesce(excluded."userIdentifier", threads."userIdentifier"),
    "updatedAt" = greatest(excluded."updatedAt", threads."updatedAt")
)
INSERT INTO steps ({_NAMES}) SELECT * FROM unnest({_ARRAYS})
ON CONFLICT ("threadId", id) DO UPDATE SET {_UPDATES}
"""

USER = 'SELECT id, identifier, metadata, "createdAt"::text FROM users WHERE identifier = $1'
THREAD = """SELECT id, name, "createdAt"::text, "userId", "userIdentifier", tags, metadata
FROM threads WHERE id = $1"""
STEPS = f"""SELECT {
    ", ".join(
        f's."{name}"::text' if name in INSTANTS else f's."{name}"'
        for name in STEP_COLUMNS
        if name != "ordinal"
    )
}, s.extra, f.id AS "feedbackId", f.value AS "feedbackValue", f.comment AS "feedbackComment"
FROM steps s LEFT JOIN feedbacks f ON f."threadId" = s."threadId" AND f."forId" = s.id
WHERE s."threadId" = $1 ORDER BY s."createdAt", s.ordinal"""
ELEMENTS = 'SELECT * FROM elements WHERE "threadId" = $1 ORDER BY ordinal'
PAGE = """SELECT id, name, "updatedAt"::text, "userId", "userIdentifier", tags, metadata
FROM threads WHERE "userId" = $1 AND ("updatedAt", id) < ($2, $3)
ORDER BY "updatedAt" DESC, id DESC LIMIT $4"""
_END = datetime(9999, 1, 1, tzinfo=UTC)


class PostgresLimit(Batches):
    """The part of a data layer's interface that the workloads call.

    Args:
        url: The database.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._writer: asyncpg.Connection[asyncpg.Record] | None = None

    async def pool(self) -> asyncpg.Pool[asyncpg.Record]:
        """The connections, opened when first needed; nothing is reset when one is returned."""
        if self._pool is None:
            self._pool = await asyncpg.create_pool(
                self._url, min_size=1, max_size=10, reset=_keep, init=_documents
            )
        return self._pool

    async def create_user(self, user: Any) -> Any:
        statement = """INSERT INTO users (id, identifier, metadata, "createdAt")
        VALUES ($1, $2, $3, now()) ON CONFLICT (identifier) DO UPDATE SET metadata = $3"""
        pool = await self.pool()
        await pool.execute(statement, str(uuid.uuid4()), user.identifier, user.metadata)
        return await self.get_user(user.identifier)

    async def get_user(self, identifier: str) -> Any:
        row = await (await self.pool()).fetchrow(USER, identifier)
        return SimpleNamespace(**row) if row else None

    async def get_thread(self, thread_id: str) -> dict[str, Any] | None:
        async with (await self.pool()).acquire() as connection:
            thread = await connection.fetchrow(THREAD, thread_id)
            if thread is None:
                return None
            steps = await connection.fetch(STEPS, thread_id)
            elements = await connection.fetch(ELEMENTS, thread_id)
        return {**thread, "steps": [*map(dict, steps)], "elements": [*map(dict, elements)]}

    async def list_threads(self, pagination: Any, filters: Any) -> Any:
        at, id = _END, ""
        if pagination.cursor:
            text, _, id = pagination.cursor.rpartition(" ")
            at = datetime.fromisoformat(text)
        rows = await (await self.pool()).fetch(PAGE, filters.userId, at, id, pagination.first + 1)
        return page_of(rows, pagination.first)

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.close()
        if self._writer is not None:
            await self._writer.close()

    async def _write(
        self, threads: dict[str, dict[str, Any]], steps: dict[tuple[str, str], dict[str, Any]]
    ) -> None:
        now = datetime.now(UTC)
        changes = threads.values()
        columns = (
            [*threads],
            [change.get("name") for change in changes],
            [change.get("userId") for change in changes],
            [now] * len(threads),
        )
        rows = [step_values(step, _itself) for step in steps.values()]
        arrays = zip(*rows, strict=True) if rows else [()] * len(STEP_COLUMNS)
        if self._writer is None:  # One of its own: it does not stand in line with readers.
            self._writer = await asyncpg.connect(self._url)
            await _documents(self._writer)
        await self._writer.execute(WRITE, *columns, *arrays)


def _itself(instant: datetime) -> datetime:
    return instant


async def _keep(_: Any) -> None:
    """Reset nothing."""


async def _documents(connection: Any) -> None:
    for kind in ("json", "jsonb"):
        await connection.set_type_codec(
            kind, encoder=_text, decoder=orjson.loads, schema="pg_catalog", format="text"
        )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


__all__ = ["DOCUMENTS", "PostgresLimit"]
