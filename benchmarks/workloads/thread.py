"""Opening a conversation: `get_thread` with few and many steps, and with links to its files."""

from __future__ import annotations

import time
from typing import Any

from ..context import Context, Figures
from ..fill import fill
from ..history import Talk
from ..record import Metric
from ..signing import s3_client
from ..subject import Subject

CASES = {
    "10 steps": Talk(0, 10),
    "100 steps": Talk(1, 100),
    "1,000 steps": Talk(2, 1_000),
    "5,000 steps": Talk(3, 5_000),
    "1,000 steps with links": Talk(4, 1_000, elements=100),
}
METRICS = (Metric("time", "ms"),)

_STEPS_A_TURN = 500
"""Short threads are read several times in a turn."""


async def run(context: Context) -> None:
    """Measure all contenders."""
    for kind in context.kinds:
        async with context.field(kind) as field:
            await fill(field, [*CASES.values()])
            await field.each(open_with_store)
            for case, talk in CASES.items():
                await field.interleave("thread", case, METRICS, read, talk)


async def open_with_store(subject: Subject) -> None:
    """Open the layer with S3: links are signed here, nobody is asked."""
    await subject.close()
    subject.open(s3_client(subject.name))


async def read(subject: Subject, talk: Talk) -> Figures:
    """Read a thread as when a chat is resumed."""
    times = max(1, _STEPS_A_TURN // talk.steps)
    began = time.perf_counter()
    for _ in range(times):
        thread = await subject.layer.get_thread(talk.id)
    seconds = time.perf_counter() - began
    check(thread, talk)
    return {"time": seconds * 1000 / times}


def check(thread: dict[str, Any], talk: Talk) -> None:
    """See that all of a thread was read."""
    assert len(thread["steps"]) == talk.steps
    assert len(thread["elements"]) == talk.elements
    last = thread["steps"][-1]
    assert last["output"] == list(talk.all_steps())[-1].output
