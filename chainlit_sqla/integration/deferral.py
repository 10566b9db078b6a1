"""Calls that wait for the first message of a session's user, in the order of their calls.

A chat in which the user says nothing must not appear in the history, so calls for the session's
new thread wait until its user does. Chainlit's own decorator has a queue for each method and
flushes one queue after the other while newer calls are executed: an older text of a message then
replaces a newer one. Here a session has one queue, an entry of Chainlit's ``thread_queues``, which
Chainlit flushes, too.

- Only calls for the session's own thread wait. Calls by the id of a row wait behind those that
  create it, else the row exists already.
- Calls are started in the order in which they were made: whoever calls before the queue is empty
  starts what is in it first.
- If the user leaves without a message, the calls end with the session, and there is no thread.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Concatenate, ParamSpec, TypeVar

from chainlit.session import WebsocketSession

from ..errors import ChainlitSqlaError
from .session import current_session

log = logging.getLogger(__name__)

P = ParamSpec("P")
Layer = TypeVar("Layer")
_QUEUE = "chainlit_sqla"


class _DeferredCalls(deque[tuple[Callable[..., Any], Any, tuple[Any, ...], dict[str, Any]]]):
    """Deferred calls in the form in which Chainlit's session keeps them."""

    starting = 0
    """Tasks that were created and have not run yet; a call before they do is started as one."""

    def waits(self, session: WebsocketSession, target: Any) -> bool:
        """Return whether a call waits for the first message of the user."""
        thread_id, id = _ids_of(target)
        if thread_id is not None:
            return bool(thread_id == session.thread_id)
        return any(id == _ids_of(_target(args, kwargs))[1] for _, _, args, kwargs in self)

    def start_all(self) -> None:
        """Start all calls; nothing is started before them."""
        while self:
            method, layer, args, kwargs = self.popleft()
            self.start(method(layer, *args, **kwargs)).add_done_callback(_log_unexpected)

    def start(self, call: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a call after those that were started before."""
        task = asyncio.create_task(call)
        self.starting += 1
        asyncio.get_running_loop().call_soon(self._started)  # Follows the task's first step.
        return task

    def _started(self) -> None:
        self.starting -= 1


def defer_until_first_message(
    method: Callable[Concatenate[Layer, P], Coroutine[Any, Any, None]],
) -> Callable[Concatenate[Layer, P], Coroutine[Any, Any, None]]:
    """Defer calls for a session's new thread until the first message of its user."""

    @functools.wraps(method)
    async def call(layer: Layer, /, *args: P.args, **kwargs: P.kwargs) -> None:
        session = current_session()
        try:
            if isinstance(session, WebsocketSession):
                queues: dict[str, Any] = session.thread_queues
                calls: _DeferredCalls | None = queues.get(_QUEUE)
                if not session.has_first_interaction:
                    if calls is None:
                        calls = queues[_QUEUE] = _DeferredCalls()
                    if calls.waits(session, _target(args, kwargs)):
                        calls.append((method, layer, args, kwargs))
                        return
                elif calls is not None and (calls or calls.starting):
                    calls.start_all()
                    await calls.start(method(layer, *args, **kwargs))
                    return
            await method(layer, *args, **kwargs)
        except ChainlitSqlaError:
            _silence(call)
            raise

    return call


def _silence(function: Callable[..., Any]) -> None:
    """Keep asyncio from logging an exception that the layer has logged already.

    Nobody awaits the tasks in which Chainlit calls the layer, and asyncio then prints a
    traceback. A caller that awaits the function still gets the exception.
    """
    task = asyncio.current_task()
    if task and getattr(task.get_coro(), "cr_code", None) is function.__code__:
        task.add_done_callback(lambda done: done.cancelled() or done.exception())


def _target(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Return the first argument: a StepDict, an element, or the id of either."""
    return args[0] if args else next(iter(kwargs.values()), None)


def _ids_of(target: Any) -> tuple[Any, Any]:
    """Return the ids of a thread and of a row in it, None where they are not given."""
    if isinstance(target, Mapping):
        return target.get("threadId"), target.get("id")
    return getattr(target, "thread_id", None), getattr(target, "id", target)


def _log_unexpected(task: asyncio.Task[None]) -> None:
    """Log an error that the layer has not logged."""
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, ChainlitSqlaError):
        log.error("Not written: a call from before the first message", exc_info=error)
