"""Who asks: Chainlit calls ``get_user`` in every request."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from ..record import Metric

if TYPE_CHECKING:
    from ..context import Context
    from ..subject import Subject

TIME = Metric("time", "ms")
USERS = 50


async def run(context: Context) -> None:
    """Measure ``get_user``."""
    times = 5 if context.quick else 100
    for kind in context.kinds:
        async with context.field(kind) as field:
            await field.each(fill)
            await field.interleave("user", "one", [TIME], one, times)
            await field.interleave("user", "50 at once", [TIME], at_once, times // 5)
            await field.interleave("user", "one, new to the process", [TIME], new)


async def fill(subject: Subject) -> None:
    """Make users."""
    from ..chat import login

    users = [await login(subject.layer) for _ in range(USERS)]
    subject.kept["users"] = [user.identifier for user in users]


async def one(subject: Subject, times: int) -> dict[str, float]:
    """Ask for the same user again and again: milliseconds a call."""
    identifier, get_user = subject.kept["users"][0], subject.layer.get_user
    began = time.perf_counter()
    for _ in range(times):
        await get_user(identifier)
    return {"time": (time.perf_counter() - began) / times * 1000}


async def at_once(subject: Subject, times: int) -> dict[str, float]:
    """Ask for all users at once, again and again: milliseconds for all of them."""
    identifiers, get_user = subject.kept["users"], subject.layer.get_user
    began = time.perf_counter()
    for _ in range(times):
        await asyncio.gather(*map(get_user, identifiers))
    return {"time": (time.perf_counter() - began) / times * 1000}


async def new(subject: Subject) -> dict[str, float]:
    """Ask a new layer once for each user: milliseconds a call, the first one left out."""
    await subject.layer.close()
    subject.open()
    first, *rest = subject.kept["users"]
    await subject.layer.get_user(first)
    began = time.perf_counter()
    for identifier in rest:
        await subject.layer.get_user(identifier)
    return {"time": (time.perf_counter() - began) / len(rest) * 1000}
