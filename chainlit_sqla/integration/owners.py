"""Whose a thread is where a call does not say it: no id of the thread, or no row of the user."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

from ..errors import NotTheAuthor, RejectedRow
from ..queries.user_cache import KnownUser
from ..writes.operations import printable_id


class UnownedThreads:
    """Threads of users who have no row yet; a user gets them when there is one.

    ``give`` writes that a thread is a user's.
    """

    def __init__(self, give: Callable[[str, KnownUser], Awaitable[object]]) -> None:
        self._give = give
        self._by_identifier: dict[str, set[str]] = {}

    def add(self, identifier: str, thread_id: str) -> None:
        """Keep a thread for a user."""
        self._by_identifier.setdefault(identifier, set()).add(thread_id)

    async def claim(self, user: KnownUser) -> None:
        """Give a user the threads that were kept."""
        thread_ids = self._by_identifier.get(user.identifier, set())
        for thread_id in list(thread_ids):
            await self._give(thread_id, user)
            thread_ids.discard(thread_id)  # Only now: the queue may be full.
        if not thread_ids:
            self._by_identifier.pop(user.identifier, None)


def only_thread(thread_rows: Sequence[Any], what: str, step_id: str, actor: str | None) -> str:
    """Return the only thread with a step that the actor may change; ``what`` is to be written."""
    own_ids = [
        row.id for row in thread_rows if actor is None or row.userIdentifier in (None, actor)
    ]
    if len(own_ids) == 1:
        return cast("str", own_ids[0])
    if thread_rows and not own_ids:
        raise NotTheAuthor(
            f"{actor!r} is not the author of the thread of step "
            f"{printable_id(step_id)}; log in as its author"
        )
    reason = "several threads have" if own_ids else "no thread has"
    raise RejectedRow(
        f"{what} not written: {reason} the step {printable_id(step_id)}; pass threadId"
    )
