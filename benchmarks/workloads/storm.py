"""Many chats that are resumed at once, as after a restart, while others go on."""

from __future__ import annotations

import asyncio
import statistics
import time

from ..context import Context, Figures
from ..fill import fill
from ..history import Talk
from ..measure import Gaps
from ..record import Metric
from ..subject import Subject

RESUMES, STEPS, SESSIONS, WAVES = 100, 100, 50, 3
TALKS = [Talk(number, STEPS) for number in range(RESUMES)]
CASE = f"{RESUMES} resumes, {SESSIONS} sessions writing"
METRICS = (
    Metric("read p50", "ms"),
    Metric("read p99", "ms"),
    Metric("writes", "/s", more=True),
    Metric("gap", "ms"),
    Metric("failed reads", "reads"),
)


async def run(context: Context) -> None:
    """Measure all contenders."""
    for kind in context.kinds:
        async with context.field(kind) as field:
            await fill(field, TALKS)
            await field.each(connect)
            await field.interleave("storm", CASE, METRICS, storm)


async def connect(subject: Subject) -> None:
    """Use the layer once: if many do it first, Chainlit's asyncpg layer makes a pool for each."""
    await subject.layer.get_thread(TALKS[0].id)


async def storm(subject: Subject) -> Figures:
    """Read all threads at once, a few times, while sessions write without a pause."""
    from ..writers import Writers

    async with Gaps() as gaps:
        writers = Writers(subject.layer, SESSIONS)
        await writers.under_way()
        began, before = time.perf_counter(), writers.written
        reads = []
        for _ in range(WAVES):
            reads += await asyncio.gather(*(_resume(subject, talk) for talk in TALKS))
        seconds, written = time.perf_counter() - began, writers.written - before
        await writers.end()
    cuts = statistics.quantiles((seconds for seconds, _ in reads), n=100, method="inclusive")
    return {
        "read p50": cuts[49] * 1000,
        "read p99": cuts[98] * 1000,
        "writes": written / seconds,
        "gap": gaps.longest.seconds * 1000,
        "failed reads": sum(not whole for _, whole in reads),
    }


async def _resume(subject: Subject, talk: Talk) -> tuple[float, bool]:
    """How long it took, and whether all of the thread was there."""
    began = time.perf_counter()
    thread = await subject.layer.get_thread(talk.id)
    seconds = time.perf_counter() - began
    return seconds, bool(thread) and len(thread["steps"]) == talk.steps
