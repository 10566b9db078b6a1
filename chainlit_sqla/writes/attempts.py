"""Attempts to write operations in one transaction: which errors are repeated, and how long.

A batch is repeated as a whole where the error concerns all of it. An operation that fails alone is
repeated after any error that is not known to be its own fault.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextvars import Context

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from .._internal.aio import PerLoop
from .._internal.retry import retry
from ..database import Database
from ..dialects import ErrorKind, driver_error, one_line
from ..errors import (
    ChainlitSqlaError,
    DatabaseUnavailable,
    RejectedRow,
    RetriesExhausted,
    SchemaError,
    WriteError,
)
from .execute_batch import BatchOutcome, execute_batch
from .lanes import Lane, QueuedOp
from .operations import describe
from .tombstones import locked_threads

_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 2.0
_MOST_REPEATS = 5
"""How often an operation is repeated after errors of `ErrorKind.REPEAT`."""
_MOST_LOSSES = 2
"""How many connections a batch may lose before it is suspected."""
_LOST_CLASSES = ("08", "57")
"""Classes of SQLSTATE with which a server ends a connection or refuses one."""
_UNANSWERED = 5.0
"""Seconds after which an attempt that still waits is reported."""
_SAME_DEADLINE = 1.0
"""Deadlines within so many seconds count as one."""
_MOST_ALONE = 8
"""Concurrent attempts to write operations alone."""


class BreaksConnections(Exception):
    """A batch lost several connections to a server that answers."""


class Attempts:
    """Writes operations in one transaction, repeatedly until their deadline.

    ``prepare`` is called before each attempt to check the schema, ``report`` after one that will
    be repeated, and during one that takes long.
    """

    def __init__(
        self,
        database: Database,
        prepare: Callable[[], Awaitable[None]] | None,
        report: Callable[[Exception], None],
    ) -> None:
        self._database = database
        self._prepare = prepare
        self._report = report
        connections = database.settings.pool_size + database.settings.max_overflow
        most_alone = min(_MOST_ALONE, max(1, connections // 3))
        self._due: dict[object, float] = {}
        """When attempts that are under way are reported."""
        self._watching: asyncio.AbstractEventLoop | None = None
        self._slots = PerLoop(lambda: asyncio.Semaphore(most_alone))

    def kind_of(self, error: BaseException) -> ErrorKind:
        """Classify the error of an attempt."""
        if isinstance(error, SchemaError):
            return ErrorKind.SCHEMA
        if isinstance(error, DatabaseUnavailable):
            return ErrorKind.TRANSIENT
        return self._database.dialect.classify(error)

    async def together(self, ops: Sequence[QueuedOp]) -> BatchOutcome:
        """Write a batch, repeating it as long as the database is unavailable.

        Raises any other error, for which a part of the batch may be to blame, immediately.
        """
        losses = repeats = 0
        is_lost = False

        async def execute() -> BatchOutcome:
            nonlocal losses
            if is_lost:  # Until the server answers, it is not the batch.
                async with self._database.connect() as connection:
                    await connection.execute(select(1))
                losses += 1
                if losses == _MOST_LOSSES:
                    raise BreaksConnections(
                        f"the connection was lost {losses} times, and the server answers"
                    )
            return await self._execute(ops)

        def is_repeated(error: Exception) -> bool:
            nonlocal is_lost, repeats
            kind = self.kind_of(error)
            is_lost = kind is ErrorKind.TRANSIENT and _is_lost(error)
            repeats += kind is ErrorKind.REPEAT
            return kind is ErrorKind.TRANSIENT or (kind is ErrorKind.REPEAT and repeats == 1)

        outcome = await self._retry(ops, execute, is_repeated)
        return _assume_deleted(outcome) if losses else outcome

    async def alone(self, queued: QueuedOp, cause: Exception) -> BatchOutcome:
        """Write one operation, which failed for a cause, beside the batches of others.

        Raises the last error: that of its deadline, or one that refuses it.
        """
        repeats, was_lost = 0, False

        async def execute() -> BatchOutcome:
            async with self._slots.get():
                # Waiting for the lock would occupy a connection.
                is_locked = self.kind_of(cause) is ErrorKind.LOCKED
                if is_locked and await self.locked_lanes([queued]):
                    raise cause
                return await self._execute([queued])

        def is_repeated(error: Exception) -> bool:
            nonlocal repeats, cause, was_lost
            kind, cause = self.kind_of(error), error
            was_lost = was_lost or _is_lost(error)
            repeats += kind is ErrorKind.REPEAT
            is_refused = kind is ErrorKind.REJECTED or repeats > _MOST_REPEATS
            return not is_refused and kind is not ErrorKind.SCHEMA

        outcome = await self._retry([queued], execute, is_repeated)
        return _assume_deleted(outcome) if was_lost else outcome

    def start(self, ops: Iterable[QueuedOp]) -> None:
        """Let the deadlines of operations begin, except those that have."""
        deadline = time.monotonic() + self._database.settings.retry_seconds
        for queued in ops:
            queued.deadline = queued.deadline or deadline

    async def locked_lanes(self, ops: Sequence[QueuedOp]) -> set[Lane] | None:
        """Return the lanes whose threads are locked by other transactions.

        None: their table is.
        """
        lanes = {queued.lane.key: queued.lane for queued in ops}
        ids = [key for key in lanes if isinstance(key, str)]
        try:
            locked = await self._database.transact(lambda sync: locked_threads(sync, ids))
        except self._database.dialect.errors as error:
            return None if self.kind_of(error) is ErrorKind.LOCKED else set()
        return {lanes[id] for id in locked}

    async def _execute(self, ops: Sequence[QueuedOp]) -> BatchOutcome:
        loop, attempt = asyncio.get_running_loop(), object()
        self._due[attempt] = loop.time() + _UNANSWERED
        self._watch(loop)
        try:
            if self._prepare:
                await self._prepare()
            return await execute_batch(self._database, [queued.op for queued in ops])
        finally:
            del self._due[attempt]

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the timer for the next report: one for all attempts, most of which end soon."""
        if self._watching is not loop and self._due:  # An ended loop calls nothing.
            self._watching = loop
            loop.call_at(min(self._due.values()), self._report_silence, loop, context=Context())

    def _report_silence(self, loop: asyncio.AbstractEventLoop) -> None:
        self._watching = None
        for attempt, due in self._due.items():
            if due <= loop.time():
                self._due[attempt] += _UNANSWERED
                self._report(TimeoutError(f"no answer for {_UNANSWERED:g} s"))
        self._watch(loop)

    async def _retry(
        self,
        ops: Sequence[QueuedOp],
        execute: Callable[[], Awaitable[BatchOutcome]],
        is_repeated: Callable[[Exception], bool],
    ) -> BatchOutcome:
        """Repeat attempts until the earliest deadline of the operations."""
        now = time.monotonic()
        earliest = latest = now + self._database.settings.retry_seconds
        for queued in ops:
            if queued.deadline is None:
                queued.deadline = latest
            elif queued.deadline < earliest:
                earliest = queued.deadline
        return await retry(
            execute,
            is_repeated,
            seconds=earliest - now,
            first_pause=_FIRST_PAUSE,
            longest_pause=_LONGEST_PAUSE,
            on_retry=lambda error, _: self._report(error),
        )

    def exhausted(self, queued: QueuedOp, error: Exception) -> RetriesExhausted:
        """Return the error for an operation whose deadline has passed, with the last error."""
        reason: object = self._database.translate(error)
        if reason is error:
            cure = "remove the cause, or raise CHAINLIT_SQLA_RETRY_SECONDS"
            if self.kind_of(error) is ErrorKind.LOCKED:
                cure = "end the transaction that holds the lock"
            reason = f"{one_line(error)}; {cure}"
        seconds = self._database.settings.retry_seconds
        return RetriesExhausted(
            f"{describe(queued.op)} was not written in {seconds:g} s of trying: {reason}"
        )


def earliest(ops: Sequence[QueuedOp]) -> list[QueuedOp]:
    """Return the operations whose deadline passes first."""
    first = min(queued.deadline or 0 for queued in ops)
    return [queued for queued in ops if (queued.deadline or 0) < first + _SAME_DEADLINE]


def refused(queued: QueuedOp, error: Exception) -> RejectedRow:
    """Return the error for an operation that the database refuses."""
    if isinstance(error, RejectedRow):
        return error
    refusal = RejectedRow(
        f"{describe(queued.op)} is refused by the database ({one_line(error)}); change its values"
    )
    refusal.__cause__ = error
    return refusal


def too_late(queued: QueuedOp) -> RetriesExhausted:
    """Return the error for an operation that still waits when the layer is closed."""
    return RetriesExhausted(
        f"{describe(queued.op)} was not written before closing; "
        "raise CHAINLIT_SQLA_CLOSE_SECONDS or check the database"
    )


def unexpected(queued: QueuedOp, error: Exception) -> WriteError:
    """Return the error for an operation that this package could not handle."""
    failure = WriteError(
        f"{describe(queued.op)} was not written: unexpected {type(error).__name__} "
        f"({one_line(error)}); please report it with the traceback in the log"
    )
    failure.__cause__ = error
    return failure


def _assume_deleted(outcome: BatchOutcome) -> BatchOutcome:
    """Answer that deletions deleted what an attempt without an answer may have deleted."""
    for position, result in outcome.results.items():
        if result is False:
            outcome.results[position] = True
    return outcome


def _is_lost(error: Exception) -> bool:
    """Return whether an error that may pass is a lost connection, as far as can be seen."""
    cause = driver_error(error)
    if code := getattr(cause, "sqlstate", None):
        return code[:2] in _LOST_CLASSES  # Not a read-only server, whose sessions are replaced.
    of_driver = not isinstance(error, (SQLAlchemyError, ChainlitSqlaError))
    return of_driver or getattr(error, "connection_invalidated", False)
