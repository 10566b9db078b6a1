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

from .errors import ChainlitSqlaError
from .writes.ops import Scope

if TYPE_CHECKING:
    from chainlit.element import Element
    from chainlit.session import BaseSession


def queued(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Hold a call back until the user's first message, as Chainlit's own layers do.

    Args:
        method: A method of the layer that Chainlit calls in a task that it drops.
    """
    inside = queue_until_user_message()(method)  # type: ignore[no-untyped-call]

    @functools.wraps(method)
    async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await (inside if _session() else method)(self, *args, **kwargs)
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


def actor(element: Element) -> str | None:
    """The user on whose behalf a session writes into a thread that is not its own.

    Args:
        element: What is to be written. Clients name its thread in ``PUT /project/element``.
    """
    session = _session()
    if session is None or session.user is None or element.thread_id == session.thread_id:
        return None
    return session.user.identifier
