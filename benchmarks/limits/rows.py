"""What both limits share: collecting writes, and the columns of a step."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import orjson

# Column, its type on PostgreSQL. The rest of Chainlit's keys are the columns' names.
STEP_COLUMNS: Mapping[str, str] = {
    "threadId": "text",
    "id": "text",
    "name": "text",
    "type": "text",
    "parentId": "text",
    "command": "text",
    "modes": "jsonb",
    "streaming": "boolean",
    "waitForAnswer": "boolean",
    "isError": "boolean",
    "metadata": "jsonb",
    "tags": "jsonb",
    "input": "text",
    "output": "text",
    "createdAt": "timestamptz",
    "start": "timestamptz",
    "end": "timestamptz",
    "generation": "jsonb",
    "showInput": "jsonb",
    "defaultOpen": "boolean",
    "autoCollapse": "boolean",
    "language": "text",
    "ordinal": "bigint",
}
DOCUMENTS = tuple(name for name, kind in STEP_COLUMNS.items() if kind == "jsonb")
INSTANTS = tuple(name for name, kind in STEP_COLUMNS.items() if kind == "timestamptz")
_DEFAULTS = {"streaming": False, "name": "", "type": "undefined"}


def step_values(step: Mapping[str, Any], instant: Callable[[datetime], Any]) -> tuple[Any, ...]:
    """Give the values of a step's row in the order of the columns."""
    row = {**_DEFAULTS, **step, "ordinal": time.time_ns() // 1000}
    for name in DOCUMENTS:
        value = row.get(name)
        row[name] = None if value is None else orjson.dumps(value).decode()
    row["metadata"] = row["metadata"] or "{}"
    for name in INSTANTS:
        if text := row.get(name):
            row[name] = instant(datetime.fromisoformat(text))
    row["createdAt"] = row.get("createdAt") or instant(datetime.now(UTC))
    return tuple(row.get(name) for name in STEP_COLUMNS)


class Batches(ABC):
    """The writing half of a data layer: what arrives during a write is merged by its key."""

    def __init__(self) -> None:
        self._threads: dict[str, dict[str, Any]] = {}
        self._steps: dict[tuple[str, str], dict[str, Any]] = {}
        self._waiting: list[asyncio.Future[None]] = []
        self._writing: asyncio.Task[None] | None = None

    @abstractmethod
    async def _write(
        self, threads: dict[str, dict[str, Any]], steps: dict[tuple[str, str], dict[str, Any]]
    ) -> None:
        """Make threads and steps durable, both by their keys."""

    async def update_thread(
        self, thread_id: str, name: str | None = None, user_id: str | None = None, **_: Any
    ) -> None:
        known = self._threads.get(thread_id, {})
        self._threads[thread_id] = {**known, "name": name, "userId": user_id}
        await self._wait()

    async def create_step(self, step: Mapping[str, Any]) -> None:
        key = step["threadId"], step["id"]
        self._steps[key] = {**self._steps.get(key, {}), **step}
        self._threads.setdefault(step["threadId"], {})
        await self._wait()

    update_step = create_step

    def _wait(self) -> Awaitable[None]:
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(done)
        if self._writing is None:
            self._writing = asyncio.create_task(self._run())
        return done

    async def _run(self) -> None:
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            threads, self._threads = self._threads, {}
            steps, self._steps = self._steps, {}
            await self._write(threads, steps)
            for done in waiting:
                done.set_result(None)
        self._writing = None


def page_of(rows: Sequence[Any], first: int) -> Any:
    """Make a page as `list_threads` returns it, of one row more where there are more.

    The cursor is the last row's ``updatedAt``, a space and its id.
    """
    shown = [dict(row) for row in rows[:first]]
    end = f"{shown[-1]['updatedAt']} {shown[-1]['id']}" if shown else None
    page = SimpleNamespace(hasNextPage=len(rows) > first, endCursor=end)
    return SimpleNamespace(data=shown, pageInfo=page)
