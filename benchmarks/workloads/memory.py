"""What a layer needs of memory; each figure comes from a process that has just begun."""

from __future__ import annotations

import asyncio
import gc
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..contenders import ASYNCPG, LIMIT, OURS, SQLALCHEMY_INDEXED
from ..context import Context, Field, Figures
from ..fill import fill
from ..history import Talk
from ..measure import Memory, resident
from ..record import Metric
from ..subject import Runner, Subject

SMALL, LARGE = Talk(0), Talk(1, 5_000)
WAITING, MANY = 10_000, 100_000
_SESSIONS = 50
_ROUNDS = 3
GROWTH = Metric("growth", "MB")


@dataclass(frozen=True, slots=True)
class Case:
    """Something to do in a new process.

    Args:
        title: For the records.
        work: Does it and returns the growth.
        args: What follows the subject.
        names: Who does it.
    """

    title: str
    work: Callable[..., Awaitable[Figures]]
    args: Sequence[Any]
    names: Sequence[str]


def cases(*, quick: bool) -> Sequence[Case]:
    """What is done; with fewer writes if it must be quick."""
    waiting, many = (WAITING // 10, MANY // 50) if quick else (WAITING, MANY)
    others = (OURS, ASYNCPG, SQLALCHEMY_INDEXED)
    return (
        Case(f"reading {LARGE.steps:,} steps", read, [], (*others, LIMIT)),
        Case(f"{waiting:,} waiting writes", wait_in_line, [waiting], others),
        # The others need minutes for it.
        Case(f"second half of {many:,} writes", go_on, [many], (OURS,)),
    )


async def run(context: Context) -> None:
    """Measure each case in new processes, one after the other."""
    for kind in context.kinds:
        for case in cases(quick=context.quick):
            async with context.field(kind, case.names) as field:
                await fill(field, [SMALL, LARGE])
                await _measure(field, case)


async def _measure(field: Field, case: Case) -> None:
    """Let the contenders take turns, each in a new process on its database."""
    context = field.context
    values = {
        name: context.add("memory", case.title, name, field.kind, GROWTH) for name in field.names
    }
    rounds = range(min(context.rounds, _ROUNDS))
    title = f"memory, {field.kind}: {case.title}"
    for _ in context.progress.track(rounds, description=title):
        for name in field.names:
            runner = Runner(name, field.runners[name].place, context.loop)
            try:
                figures = await runner.call(case.work, *case.args)
            finally:
                runner.stop()
            values[name].append(figures["growth"])


async def read(subject: Subject) -> Figures:
    """Read a long thread: the peak above what was used before."""
    await subject.layer.get_thread(SMALL.id)
    memory = Memory()
    thread = await subject.layer.get_thread(LARGE.id)
    assert len(thread["steps"]) == LARGE.steps
    return {"growth": memory.growth}


async def wait_in_line(subject: Subject, number: int) -> Figures:
    """Begin many writes at once, as Chainlit does, which does not wait for them."""
    from ..chat import session
    from ..writers import OWNER, message

    layer, thread_id = subject.layer, str(uuid.uuid4())
    with session(OWNER, thread_id):
        await layer.update_thread(thread_id, name="A long talk", user_id=OWNER.id)
        await layer.create_step(message())
        memory = Memory()
        writes = [asyncio.create_task(layer.create_step(message())) for _ in range(number)]
        await asyncio.gather(*writes)
        return {"growth": memory.growth}


async def go_on(subject: Subject, number: int) -> Figures:
    """Write for long: what the second half added to what is used."""
    from ..writers import Writers

    await Writers(subject.layer, _SESSIONS, number // 2).wait()
    gc.collect()
    before = resident()
    await Writers(subject.layer, _SESSIONS, number // 2).wait()
    gc.collect()
    return {"growth": resident() - before}
