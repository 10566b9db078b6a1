"""What can be measured. A workload is a module with ``async def run(context)``.

To add one, write the module and name it in `WORKLOADS`; README.md says more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ..context import Context
from . import cold, delete, memory, sessions, storm, thread, thread_list, trips, turn, user

WORKLOADS: dict[str, Callable[[Context], Awaitable[None]]] = {
    "turn": turn.run,
    "sessions": sessions.run,
    "user": user.run,
    "cold": cold.run,
    "trips": trips.run,
    "thread": thread.run,
    "list": thread_list.run,
    "delete": delete.run,
    "storm": storm.run,
    "memory": memory.run,
}
