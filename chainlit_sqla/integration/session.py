"""What Chainlit's context tells a data layer: whether to wait, and how far a call may reach.

Chainlit's own decorator and context raise outside a session; scripts and background jobs
have none, and a layer works there too.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from chainlit.context import context_var
from chainlit.data.utils import queue_until_user_message
from chainlit.session import WebsocketSession

from .._internal.json import clean_text
from ..errors import ChainlitSqlaError
from ..writes.operations import Scope

if TYPE_CHECKING:
    from chainlit.session import BaseSession


def queued(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Hold a call back until the user's first message, as Chainlit's own layers do.

    Args:
        method: A method of the layer that Chainlit calls in a task that it drops.
    """
    inside = queue_until_user_message()(method)  # type: ignore[no-untyped-call]

    @functools.wraps(method)
    async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        # Chainlit looks the same way, but takes longer than the rest of the way to the queue.
        session = _session()
        waits = isinstance(session, WebsocketSession) and not session.has_first_interaction
        try:
            return await (inside if waits else method)(self, *args, **kwargs)
        except ChainlitSqlaError:
            _seen(call)
            raise

    return call


def _seen(function: Callable[..., Any]) -> None:
    """Keep asyncio from logging once more what was logged already.

    Chainlit drops the tasks in which it calls these functions, and asyncio then prints a
    traceback. Who awaits the call still gets the exception.
    """
    task = asyncio.current_task()
    if task and getattr(task.get_coro(), "cr_code", None) is function.__code__:
        task.add_done_callback(lambda done: done.cancelled() or done.exception())


def _session() -> BaseSession | None:
    context = context_var.get(None)
    return context.session if context else None


def scope() -> Scope:
    """Limit deletions by id to the session's own thread and its user's threads."""
    session = _session()
    if session is None:
        return Scope()
    return Scope(session.thread_id, getattr(session.user, "id", None))


def author() -> str | None:
    """The user of the browser's session that asks; None outside of one.

    A client names the thread in ``PUT /project/element``.
    """
    session = _session()
    if not isinstance(session, WebsocketSession) or session.user is None:
        return None
    return clean_text(session.user.identifier)


def author_of(thread_id: object) -> str | None:
    """The same for a write to the session's own thread, whose id the client chose.

    It may have been chosen before the thread was made by somebody else, when Chainlit had
    no author to check. A write to another thread is the app's own doing. In Slack, Teams
    and Discord several people write in one thread; those sessions are no browser's.

    Args:
        thread_id: The thread that is written to.
    """
    session = _session()
    return author() if session and thread_id == session.thread_id else None
