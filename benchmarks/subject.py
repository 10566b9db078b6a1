"""A contender in a process of its own, which works only while it is asked to.

Between two calls its event loop stands still, so contenders that are measured in turn do
not disturb each other, and the process's own processor time is that of its layer alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import traceback
from collections.abc import Awaitable, Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from .contenders import CONTENDERS, OURS, Place

_PRELOADED = [
    "benchmarks.chat",
    "benchmarks.workloads",
    "chainlit.data.chainlit_data_layer",
    "chainlit.data.sql_alchemy",
    "chainlit_sqla.data_layer",
]
"""Imported once, in the process that the contenders' processes are forked from."""

R = TypeVar("R")
Work = Callable[..., Awaitable[R]]
STOP_SECONDS = 30


class Subject:
    """What a measuring function gets: the layer, in its own process.

    Args:
        name: Of the contender.
        place: Its database.
    """

    def __init__(self, name: str, place: Place) -> None:
        self.name = name
        self.place = place
        self.kept: dict[str, Any] = {}
        """What a measuring function keeps for its next call."""
        self.layer: Any = None
        self.open()

    def open(self, storage: Any = None) -> None:
        """Make the layer, with a storage client other than the default one if given."""
        self.layer = CONTENDERS[self.name].open(self.place, storage)

    async def close(self) -> None:
        """Close the layer."""
        await self.layer.close()


class Runner:
    """The other end, in the benchmark's own process.

    Args:
        name: Of the contender.
        place: Its database.
        loop: ``chainlit`` for the event loop as ``chainlit run`` has it, or ``plain``.

    Raises:
        RuntimeError: The process does not start; carries what it said.
    """

    def __init__(self, name: str, place: Place, loop: str) -> None:
        self.name = name
        self.place = place
        context = get_context("forkserver")
        context.set_forkserver_preload(_PRELOADED)
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, name, place, loop))
        self._process.start()
        theirs.close()

    async def call(self, work: Work[R], *args: Any) -> R:
        """Run a module's function on the subject.

        Args:
            work: An async function that takes a `Subject`, and what follows.
            *args: What follows; anything that can be pickled.

        Raises:
            RuntimeError: It raised; carries the traceback.
        """

        def exchange() -> Any:
            self._pipe.send((work, args))
            return self._pipe.recv()

        try:
            done, answer = await asyncio.to_thread(exchange)
        except (EOFError, ConnectionError):
            raise RuntimeError(f"The process of {self.name} has ended") from None
        if not done:
            raise RuntimeError(f"{self.name} on {self.place.database} failed:\n{answer}")
        result: R = answer
        return result

    def stop(self) -> None:
        """Close the layer and end the process."""
        with contextlib.suppress(OSError):
            self._pipe.send(None)
        self._process.join(STOP_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._pipe.close()


def _serve(pipe: Connection, name: str, place: Place, kind: str) -> None:
    os.environ["CHAINLIT_APP_ROOT"] = str(place.folder)
    os.chdir(place.folder)
    if kind == "chainlit":
        import nest_asyncio

        nest_asyncio.apply()  # As Chainlit's command line does first of all; it makes a loop.
        loop = asyncio.get_event_loop()
    else:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
    if name != OURS:
        logging.disable(logging.CRITICAL)  # They log what they lose; the figures tell it too.
    subject: Subject | None = None
    while (order := pipe.recv()) is not None:
        work, args = order
        try:
            if subject is None:
                subject = loop.run_until_complete(_make(name, place))
            gc.collect()
            answer = (True, loop.run_until_complete(work(subject, *args)))
        except Exception:
            answer = (False, traceback.format_exc())
        pipe.send(answer)
    if subject is not None:
        loop.run_until_complete(subject.close())
    loop.close()


async def _make(name: str, place: Place) -> Subject:
    return Subject(name, place)
