"""One turn of a chat as Chainlit calls it: the time until all is durable, and what it took."""

from __future__ import annotations

import statistics
import time
import uuid
from typing import TYPE_CHECKING

from ..contenders import ASYNCPG, LIMIT, OURS, SQLALCHEMY
from ..record import Metric

if TYPE_CHECKING:
    from ..context import Context
    from ..subject import Subject

TIME = Metric("time", "ms")
STALE = Metric("stale steps", "%")
COUNTED = (Metric("statements", ""), Metric("round trips", ""), Metric("commits", ""))

CASES = {
    "first turn": (True, False),
    "later turn": (False, False),
    "first turn at once": (True, True),
    "later turn at once": (False, True),
}
"""Whether it is the first of its thread, and whether all writes are started at once."""


async def run(context: Context) -> None:
    """Measure turns."""
    turns = 3 if context.quick else 20
    for kind in context.kinds:
        async with context.field(kind) as field:
            for case, (first, at_once) in CASES.items():
                arguments = (turns, first, at_once)
                await field.interleave("turn", case, [TIME, STALE], measure, *arguments)
    if "postgresql" in context.kinds:
        names = (OURS, ASYNCPG, SQLALCHEMY, LIMIT)  # Indexes do not change what is asked.
        async with context.field("postgresql", names, counted=True) as field:
            for case, (first, at_once) in CASES.items():
                # One turn a round: the counts are whole numbers then.
                rounds = min(context.rounds, 5)
                await field.interleave("turn", case, COUNTED, count, first, at_once, rounds=rounds)


async def measure(subject: Subject, turns: int, first: bool, at_once: bool) -> dict[str, float]:
    """Measure some turns: the median of their times, and the share of steps that are stale."""
    from ..chat import STEPS, converse, login, session, stale_steps, turn

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
            await converse(subject.layer, writes, opening, at_once=at_once)
            took = time.perf_counter() - began
            if number >= 0:
                seconds.append(took)
                stale += await stale_steps(subject.layer, thread_id, writes)
    share = 100 * stale / (STEPS * turns)
    return {"time": statistics.median(seconds) * 1000, "stale steps": share}


async def count(subject: Subject, first: bool, at_once: bool) -> dict[str, float]:
    """Carry out one turn, for others to count; a later one in the thread of the one before."""
    from ..chat import converse, login, session, turn

    kept = subject.kept
    opening = None
    if "user" not in kept:
        kept["user"] = await login(subject.layer)
    if first or "thread" not in kept:
        kept["thread"] = str(uuid.uuid4())
        opening = (kept["thread"], kept["user"].id)
    with session(kept["user"], kept["thread"]):
        await converse(subject.layer, turn(), opening, at_once=at_once)
    return {}
