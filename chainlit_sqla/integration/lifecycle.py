"""What a layer reports at its start, its time limits, its end, and its numbers."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence, Sized
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any

from .._internal.aio import CANCEL_SECONDS, RunOnce
from ..database import Database, parse_url
from ..dialects import one_line
from ..errors import DatabaseUnavailable, SchemaError
from ..settings import Settings
from ..storage.open_store import mask_storage_url, storage_url
from ..storage.uploads import Uploads
from ..writes.operations import Op, describe
from ..writes.queue import WriteQueue

log = logging.getLogger(__name__)

_SETTLE_SECONDS = 2.0
"""How long a read waits for the pending writes and uploads that it depends on."""
_SETTLE_SECONDS_IN_OUTAGE = 0.2
_READ_SECONDS_IN_OUTAGE = 3.0

Part = tuple[str, float, Callable[[float], Awaitable[Sized | None]]]
"""A name, the share of the budget after which the part is over, and what closes it within the
seconds that it is given; it may return what is unfinished."""


class Pending(Enum):
    """The pending writes that a read waits for, where these are not those of one thread."""

    NONE = "none"
    ALL = "all"


def report_empty_variables(settings: Settings, database: Database, *, storage_given: bool) -> None:
    """Log variables that name a database or a store but are empty, as compose files leave them."""
    fields = ["database_url"] if database.given_url == parse_url(settings.embedded_database) else []
    if not (storage_given or settings.storage_url or settings.bucket_name):
        fields += ["storage_url", "bucket_name"]
    if empty := settings.empty_variables(*fields):
        log.warning(
            "Not used, since empty: %s; conversations are stored in %s, attachments in %s",
            ", ".join(empty),
            database.label,
            "the given store" if storage_given else mask_storage_url(storage_url(settings)),
        )


class Settling:
    """Runs reads after the pending writes that they depend on, without standing still.

    A read waits for the writes shortly, then shows what is there. While reads are known to fail,
    it fails soon, because a person waits for it.
    """

    def __init__(
        self, database: Database, queue: WriteQueue, uploads: Uploads, ready: RunOnce
    ) -> None:
        self._database = database
        self._queue = queue
        self._uploads = uploads
        self._ready = ready

    @asynccontextmanager
    async def __call__(
        self, pending: str | Pending, seconds: float = math.inf
    ) -> AsyncIterator[None]:
        """Wait for pending writes (none, all, or those of the thread with this id), then read.

        Raises `DatabaseUnavailable` where there is no answer for ``seconds``.
        """
        in_outage = self._database.outage.seconds is not None
        seconds = min(seconds, _READ_SECONDS_IN_OUTAGE) if in_outage else seconds
        try:
            async with asyncio.timeout(seconds if in_outage else None) as limit:
                await self._ready.wait()  # The first time, it may upgrade the tables.
                await self._settle(pending)
                if not in_outage and seconds < math.inf:
                    limit.reschedule(asyncio.get_running_loop().time() + seconds)
                yield
        except SchemaError:
            self._ready.forget()  # The tables were dropped or replaced.
            raise
        except TimeoutError as error:
            raise self._database.no_answer(f"no answer for {seconds:g} s") from error

    async def _settle(self, pending: str | Pending) -> None:
        outages = self._queue.outage.seconds, self._uploads.outage.seconds
        seconds = _SETTLE_SECONDS if outages == (None, None) else _SETTLE_SECONDS_IN_OUTAGE
        if isinstance(pending, str):
            began = time.monotonic()
            await self._uploads.wait_for_thread(pending, seconds)
            await self._queue.flush(pending, max(began + seconds - time.monotonic(), 0))
        elif pending is Pending.ALL:
            await self._queue.flush(None, seconds)


async def commit(
    queue: WriteQueue, op: Op, seconds: float, on_end: Callable[[], object] = bool
) -> Any:
    """Commit an operation, or raise `DatabaseUnavailable` after some seconds; 0 does not wait.

    The write goes on then, and ``on_end`` is called at its end.
    """
    written: asyncio.Future[Any] | None = None
    try:
        async with asyncio.timeout(seconds or None):
            written = queue.enqueue(op)
            written.add_done_callback(lambda done: done.cancelled() or done.exception())
            written.add_done_callback(lambda _: on_end())
            return await asyncio.shield(written) if seconds else None
    except TimeoutError as error:
        raise DatabaseUnavailable(
            f"{describe(op)} is not written yet; it is tried until it is"
        ) from error
    finally:
        if written is None:
            on_end()


@dataclass(frozen=True, slots=True)
class LayerStats:
    """The state of a data layer at one moment; it contains no secrets and no ids.

    Example:
        >>> layer.stats().waiting_seconds
        0.0
    """

    pending_writes: int
    """Writes that are neither committed nor refused; `callers_in_line` included."""
    pending_bytes: int
    """Their approximate size."""
    callers_in_line: int
    """Writes beyond the capacity of the queue."""
    waiting_seconds: float
    """How long writes have been failing; 0 while they succeed."""
    last_error: str | None
    """Why writes, reads or uploads fail at present; None: they do not."""
    written: int
    """Writes that were committed since the layer was made."""
    refused: int
    """Writes that failed for good since then."""
    uploads: int
    """Elements on their way to the store or the database."""
    connections_open: int
    """Open connections of the pool."""
    connections_in_use: int
    """Those of them that work."""


def stats_of(database: Database, queue: WriteQueue, uploads: Uploads) -> LayerStats:
    """Return the state of a layer's parts."""
    writes = queue.counters()
    connections_open, connections_in_use = database.connections()
    return LayerStats(
        pending_writes=writes.operations,
        pending_bytes=writes.bytes,
        callers_in_line=writes.in_line,
        waiting_seconds=queue.outage.seconds or 0.0,
        last_error=queue.outage.reason or database.outage.reason or uploads.outage.reason,
        written=writes.written,
        refused=writes.refused,
        uploads=uploads.running,
        connections_open=connections_open,
        connections_in_use=connections_in_use,
    )


async def close_parts(parts: Sequence[Part], seconds: float) -> None:
    """Close parts one after the other; an error or a standstill of one does not skip the next.

    Where the caller is cancelled, the rest is closed without waiting for it. What the parts return
    as unfinished is counted in one line.
    """
    began, cancelled = time.monotonic(), False
    unfinished: list[str] = []
    for name, share, close in parts:
        left = 0.0 if cancelled else max(began + seconds * share - time.monotonic(), 0.0)
        task = asyncio.ensure_future(close(left))
        for wait in (left + 2 * CANCEL_SECONDS, CANCEL_SECONDS):
            try:
                await asyncio.wait([task], timeout=wait)
            except asyncio.CancelledError:
                cancelled = True
            if task.done():
                break
            task.cancel()
        if not task.done() or task.cancelled():
            log.warning("Not closed in time: %s", name)
        elif error := task.exception():
            log.error("Not closed: %s: %s", name, one_line(error))
        elif work := task.result():
            unfinished.append(f"{len(work)} {name}")
    if unfinished:
        log.error(
            "Not finished in %.0f s of closing: %s; raise CHAINLIT_SQLA_CLOSE_SECONDS, or check "
            "the database and the store",
            time.monotonic() - began,
            ", ".join(unfinished),
        )
    if cancelled:
        raise asyncio.CancelledError
