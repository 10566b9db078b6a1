"""What both limits share: collecting writes, and the columns of a step."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
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


class Batches:
    """Collects what arrives while the write before is under way, and merges it by key.

    Args:
        write: Makes threads and steps durable, both by their keys.
    """

    def __init__(
        self,
        write: Callable[[dict[str, dict[str, Any]], dict[tuple[str, str], dict[str, Any]]], Any],
    ) -> None:
        self._write: Callable[..., Awaitable[None]] = write
        self._threads: dict[str, dict[str, Any]] = {}
        self._steps: dict[tuple[str, str], dict[str, Any]] = {}
        self._waiting: list[asyncio.Future[None]] = []
        self._writer: asyncio.Task[None] | None = None

    def step(self, step: Mapping[str, Any]) -> Awaitable[None]:
        """Take a step."""
        key = step["threadId"], step["id"]
        self._steps[key] = {**self._steps.get(key, {}), **step}
        self._threads.setdefault(step["threadId"], {})
        return self._wait()

    def thread(self, thread_id: str, changes: Mapping[str, Any]) -> Awaitable[None]:
        """Take a thread."""
        self._threads[thread_id] = {**self._threads.get(thread_id, {}), **changes}
        return self._wait()

    def _wait(self) -> Awaitable[None]:
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(done)
        if self._writer is None:
            self._writer = asyncio.create_task(self._run())
        return done

    async def _run(self) -> None:
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            threads, self._threads = self._threads, {}
            steps, self._steps = self._steps, {}
            await self._write(threads, steps)
            for done in waiting:
                done.set_result(None)
        self._writer = None
