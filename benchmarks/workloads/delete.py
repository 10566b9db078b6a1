"""Deleting a long thread with many files, in a store that takes its time."""

from __future__ import annotations

import time

from ..contenders import CONTENDERS, LIMIT, OURS
from ..context import Context, Figures
from ..fill import fill
from ..history import Talk
from ..record import Metric
from ..shapes import object_key
from ..subject import Subject

STEPS, BLOBS = 1_000, 100
CASE = f"{STEPS:,} steps, {BLOBS} blobs"
METRICS = (Metric("time", "ms"), Metric("until gone", "ms"), Metric("requests", "requests"))


async def run(context: Context) -> None:
    """Measure all contenders; the limit's interface has no deletion."""
    for kind in context.kinds:
        async with context.field(kind, [name for name in CONTENDERS if name != LIMIT]) as field:
            talks = [Talk(number, STEPS, BLOBS) for number in range(context.rounds + 1)]
            await fill(field, talks)
            await field.each(open_with_store)
            await field.interleave("delete", CASE, METRICS, delete_next)


async def open_with_store(subject: Subject) -> None:
    """Open the layer with the slow store."""
    from ..slow import Blobs, SlowClient, SlowStore

    await subject.close()
    blobs = subject.kept["blobs"] = Blobs()
    subject.kept["next"] = 0
    subject.open(SlowStore(blobs) if subject.name == OURS else SlowClient(blobs))


async def delete_next(subject: Subject) -> Figures:
    """Delete a thread that has not been deleted yet, and wait until its blobs are gone."""
    talk = Talk(subject.kept["next"], STEPS, BLOBS)
    subject.kept["next"] += 1
    blobs = subject.kept["blobs"]
    blobs.put(object_key(talk, number) for number in range(BLOBS))
    requests = blobs.requests
    began = time.perf_counter()
    await subject.layer.delete_thread(talk.id)
    returned = time.perf_counter()
    await blobs.empty.wait()
    gone = time.perf_counter()
    assert await subject.layer.get_thread(talk.id) is None
    return {
        "time": (returned - began) * 1000,
        "until gone": (gone - began) * 1000,
        "requests": blobs.requests - requests,
    }
