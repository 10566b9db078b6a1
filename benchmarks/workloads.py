"""What is measured: each function runs in a contender's process and returns figures."""

from __future__ import annotations

import asyncio
import statistics
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chainlit.types import Pagination, ThreadFilter

from .chat import STEPS, Write, again, converse, login, session, stale_steps, turn
from .worker import Subject

UNITS = {"time": "ms", "writes": "/s", "p99": "ms", "stale": "%"}
MORE_IS_BETTER = {"writes"}
PAGE = 20


@dataclass(frozen=True, slots=True)
class Case:
    """One measurement.

    Args:
        title: As in the table.
        function: The name of a function of this module.
        arguments: For it.
    """

    title: str
    function: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


WORKLOADS: Mapping[str, tuple[Case, ...]] = {
    "turn": (
        Case("first turn of a thread", "measure_turns", {"first": True}),
        Case("later turn", "measure_turns", {"first": False}),
        Case("later turn, all writes started together", "measure_turns", {"burst": True}),
        Case("one awaited write", "measure_write"),
    ),
    "sessions": (
        Case("50 sessions", "measure_sessions", {"number": 50}),
        Case("200 sessions", "measure_sessions", {"number": 200}),
    ),
    "thread": (
        Case("get_thread, 100 steps", "measure_thread", {"steps": 100}),
        Case("get_thread, 1,000 steps", "measure_thread", {"steps": 1_000}),
    ),
    "list": (
        Case("first page of 1,000 threads", "measure_page", {"threads": 1_000, "page": 1}),
        Case("20th page of 1,000 threads", "measure_page", {"threads": 1_000, "page": 20}),
    ),
}


async def measure_turns(
    subject: Subject, *, first: bool = False, burst: bool = False, turns: int = 10
) -> dict[str, float]:
    """Time turns of a chat until all is durable, and count the steps that are stale then."""
    user = await login(subject.layer)
    thread_id = str(uuid.uuid4())
    seconds, stale = [], 0
    for number in range(-1, turns):
        if first:
            thread_id = str(uuid.uuid4())
        opening = (thread_id, user.id) if first or number < 0 else None
        with session(user, thread_id):
            writes = turn()
            began = time.perf_counter()
            await converse(subject.layer, writes, opening, burst=burst)
            if number >= 0:
                seconds.append(time.perf_counter() - began)
                stale += await stale_steps(subject.layer, thread_id, writes)
    return {"time": statistics.median(seconds) * 1000, "stale": 100 * stale / (STEPS * turns)}


async def measure_write(subject: Subject, *, writes: int = 100) -> dict[str, float]:
    """Time steps that are awaited one after the other."""
    user = await login(subject.layer)
    thread_id = str(uuid.uuid4())
    with session(user, thread_id):
        await subject.layer.update_thread(thread_id, name="New", user_id=user.id)
        template = turn()[:1]
        seconds = []
        for _ in range(writes):
            [write] = again(template, thread_id)
            began = time.perf_counter()
            await write.send(subject.layer)
            seconds.append(time.perf_counter() - began)
    return {"time": statistics.median(seconds) * 1000}


async def measure_sessions(
    subject: Subject, *, number: int, seconds: float = 2.0
) -> dict[str, float]:
    """Let sessions write concurrently, each awaiting each of its writes; read some back."""
    layer = subject.layer
    user = await login(layer)
    with session(user, str(uuid.uuid4())):
        template = turn()
    thread_ids = [str(uuid.uuid4()) for _ in range(number)]
    for thread_id in thread_ids:
        with session(user, thread_id):
            await layer.update_thread(thread_id, name="New", user_id=user.id)
    began = time.perf_counter()
    talks = await asyncio.gather(
        *(_talk(layer, user, template, thread_id, began + seconds) for thread_id in thread_ids)
    )
    took = time.perf_counter() - began
    waits = [wait for times, _ in talks for wait in times]
    sample = [*zip(thread_ids, (written for _, written in talks), strict=True)][:: number // 10]
    with session(user, str(uuid.uuid4())):
        stale = sum([await stale_steps(layer, thread_id, done) for thread_id, done in sample])
    steps = sum(len({write.step["id"] for write in done}) for _, done in sample)
    return {
        "writes": len(waits) / took,
        "p99": statistics.quantiles(waits, n=100)[-1] * 1000,
        "stale": 100 * stale / steps,
    }


async def _talk(
    layer: Any, user: Any, template: list[Write], thread_id: str, until: float
) -> tuple[list[float], list[Write]]:
    waits: list[float] = []
    written: list[Write] = []
    with session(user, thread_id):
        while True:
            for write in again(template, thread_id):
                began = time.perf_counter()
                if began >= until:
                    return waits, written
                await asyncio.create_task(write.send(layer))
                waits.append(time.perf_counter() - began)
                written.append(write)


async def measure_thread(subject: Subject, *, steps: int) -> dict[str, float]:
    """Time `get_thread` as when a chat is resumed."""
    if (thread_id := subject.kept.get(f"thread of {steps}")) is None:
        user = await login(subject.layer)
        thread_id = await _write_thread(subject.layer, user, steps)
        subject.kept[f"thread of {steps}"] = thread_id
        await subject.layer.get_thread(thread_id)
    repeats = max(1, 1_000 // steps)
    began = time.perf_counter()
    for _ in range(repeats):
        thread = await subject.layer.get_thread(thread_id)
    seconds = time.perf_counter() - began
    assert len(thread["steps"]) == steps
    return {"time": seconds * 1000 / repeats}


async def measure_page(subject: Subject, *, threads: int, page: int) -> dict[str, float]:
    """Time a page of `list_threads`, as the sidebar asks for it."""
    if (user_id := subject.kept.get("lister")) is None:
        user = await login(subject.layer)
        user_id = subject.kept["lister"] = user.id
        for _ in range(threads):
            await _write_thread(subject.layer, user, STEPS)
    filters = ThreadFilter(userId=str(user_id))
    if (cursor := subject.kept.get(f"page {page}")) is None and page > 1:
        whole = Pagination(first=PAGE * (page - 1))
        cursor = (await subject.layer.list_threads(whole, filters)).pageInfo.endCursor
        subject.kept[f"page {page}"] = cursor
    repeats = 10
    began = time.perf_counter()
    for _ in range(repeats):
        answer = await subject.layer.list_threads(Pagination(first=PAGE, cursor=cursor), filters)
    seconds = time.perf_counter() - began
    assert len(answer.data) == PAGE
    return {"time": seconds * 1000 / repeats}


async def _write_thread(layer: Any, user: Any, steps: int) -> str:
    thread_id = str(uuid.uuid4())
    with session(user, thread_id):
        await layer.update_thread(thread_id, name="A conversation", user_id=user.id)
        template = turn()
        for _ in range(steps // STEPS):
            for write in again(template, thread_id):
                await write.send(layer)
    return thread_id
