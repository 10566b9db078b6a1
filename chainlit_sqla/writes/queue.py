"""The write queue: ordered batches, each in one transaction.

Invariants:

1. An operation is queued before its caller first waits, so operations are executed in the order
   in which Chainlit's tasks first ran.
2. A batch is what arrived during the previous commit: there is no timer, and an idle layer writes
   immediately. One committer gives one order.
3. A caller resumes when its operation is committed or has failed. Cancelling a caller does not
   cancel the write. Of many callers, half are resolved before the next commit and half during
   it, so that they run while the database works.
4. A lost connection, a deadlock or a serialization failure repeats the batch until a deadline;
   every operation is repeatable. Bisecting a batch isolates a refused row, which fails alone.
5. Every failure is logged with the id of what was not written, because Chainlit drops the tasks
   in which it calls the layer.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._internal.aio import is_working
from .._internal.outage import OutageLog
from .._internal.retry import bisect, retry
from ..database import Database
from ..dialects import ErrorKind, one_line
from ..errors import (
    DatabaseUnavailable,
    RejectedRow,
    RetriesExhausted,
    SchemaError,
    WriteQueueClosed,
)
from .execute_batch import BatchOutcome, execute_batch
from .operations import Op, describe, size_of

log = logging.getLogger(__name__)

_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 2.0
_MOST_REPEATS = 5
"""How often a batch is repeated after errors of `ErrorKind.REPEAT`."""
_MAY_PASS = {ErrorKind.TRANSIENT, ErrorKind.LOCKED, ErrorKind.OTHER}
"""What is repeated until the deadline."""
_MANY_COMMITTED = 16
"""From this number of results on, half of them are resolved during the next commit."""


@dataclass(slots=True, eq=False)
class _QueuedOp:
    """An operation in the queue."""

    op: Op
    future: asyncio.Future[Any]
    """The future of its caller, who may cancel it."""
    size: int
    """Its approximate size in bytes."""
    since: float = field(default_factory=time.time)
    result: Any = None
    is_over: bool = False
    """Whether it is committed or has failed, and its futures are resolved."""
    waiters: list[asyncio.Future[None]] = field(default_factory=list)
    """The futures of `WriteQueue.flush`, resolved in both cases."""


@dataclass(frozen=True, slots=True)
class QueueCounters:
    """The state of a write queue at one moment."""

    operations: int
    """Operations that are neither committed nor failed, those of callers in line included."""
    bytes: int
    """Their approximate size."""
    in_line: int
    """Callers beyond the capacity of the queue."""
    oldest: float | None
    """The time (``time.time``) since when the oldest operation waits."""
    last_error: str | None
    """The error of the last failed attempt, in one line; None once all is well again."""
    written: int
    """Operations that were committed since the queue was made."""
    refused: int
    """Operations that failed for good since then."""


class WriteQueue:
    """Takes operations in order and commits them in batches.

    ``prepare`` is called before each batch to check the schema, ``on_blobs`` after a commit that
    queued blobs for deletion.

    For whoever reports an outage:

    - `counters` returns the state of the queue;
    - `outage` is told of each failed attempt that will be repeated, of commits while nothing is
      being repeated, and of each operation that fails for good.
    """

    def __init__(
        self,
        database: Database,
        prepare: Callable[[], Awaitable[None]] | None = None,
        on_blobs: Callable[[], None] | None = None,
    ) -> None:
        self._database = database
        self._prepare = prepare
        self._on_blobs = on_blobs
        self._queue: deque[_QueuedOp] = deque()
        self._slots = asyncio.Semaphore(database.settings.queue_size)
        self._last_by_thread: dict[str | None, _QueuedOp] = {}
        self._committed: deque[_QueuedOp] = deque()
        self._committer: asyncio.Task[None] | None = None
        self._closed = False
        self._bytes = 0
        self._in_line = 0
        self._last_error: str | None = None
        self._written = self._refused = 0
        self.outage = OutageLog(log, "written", self._describe_backlog)

    def counters(self) -> QueueCounters:
        """Return the state of the queue."""
        oldest = self._queue[0].since if self._queue else None
        operations = len(self._queue) + self._in_line
        last_error, written, refused = self._last_error, self._written, self._refused
        return QueueCounters(
            operations, self._bytes, self._in_line, oldest, last_error, written, refused
        )

    def _describe_backlog(self) -> str:
        now = self.counters()
        in_line = f", {now.in_line} callers in line" if now.in_line else ""
        return f"{now.operations} writes ({now.bytes / 1e6:.1f} MB){in_line}"

    @property
    def pending(self) -> int:
        """The number of operations in the queue, without callers who wait for a free slot."""
        return len(self._queue)

    async def submit(self, op: Op) -> Any:
        """Commit an operation.

        Returns whether a deletion deleted anything, None for other operations. Raises
        `WriteError` or `SchemaError`.
        """
        return await (await self.enqueue(op))

    async def enqueue(self, op: Op) -> Awaitable[Any]:
        """Append an operation to the queue, waiting only while it is full; return its future."""
        self._database.adopt_loop()  # Two loops at a time would lose writes.
        if self._closed:
            raise self._closed_error(op)
        self._in_line += 1
        try:
            await self._slots.acquire()  # Does not wait where there is room.
        finally:
            self._in_line -= 1
        if self._closed:
            self._slots.release()
            raise self._closed_error(op)
        queued = _QueuedOp(op, asyncio.get_running_loop().create_future(), size_of(op))
        self._bytes += queued.size
        self._queue.append(queued)
        self._last_by_thread[op.thread_id] = queued
        self._ensure_committer()
        return queued.future

    async def flush(self, thread_id: str | None = None, seconds: float | None = None) -> None:
        """Wait until the operations before that may touch a thread are committed or have failed.

        None waits for all; ``seconds`` limits the wait.
        """
        self._database.adopt_loop()
        self._ensure_committer()
        if thread_id is None:
            pending = list(self._last_by_thread.values())
        else:
            # Operations without a thread, such as a deletion by id, may touch any.
            last_ops = (self._last_by_thread.get(thread_id), self._last_by_thread.get(None))
            pending = [queued for queued in last_ops if queued]
        waiters = [asyncio.get_running_loop().create_future() for _ in pending]
        for queued, waiter in zip(pending, waiters, strict=True):
            queued.waiters.append(waiter)
        if waiters:
            await asyncio.wait(waiters, timeout=seconds)

    async def close(self, seconds: float | None = None) -> list[Op]:
        """Accept no more operations, and write the accepted ones.

        Returns those that could not be written in time, by default within ``close_seconds``; each
        has failed.
        """
        self._closed = True
        if committer := self._ensure_committer():
            seconds = self._database.settings.close_seconds if seconds is None else seconds
            await asyncio.wait([committer], timeout=seconds)
            committer.cancel()
            await asyncio.wait([committer])
        self._resolve(len(self._committed))
        unwritten = [queued for queued in self._queue if not queued.is_over]
        self._queue.clear()
        for queued in unwritten:
            self._fail(
                queued,
                RetriesExhausted(
                    f"{describe(queued.op)} was not written before closing; "
                    "raise CHAINLIT_SQLA_CLOSE_SECONDS or check the database"
                ),
            )
        self.outage.close()
        return [queued.op for queued in unwritten]

    # The committer

    def _ensure_committer(self) -> asyncio.Task[None] | None:
        """Start the committer if it has work, even work that an ended event loop left."""
        if is_working(self._committer):
            return self._committer
        has_work = self._queue or self._committed
        self._committer = asyncio.create_task(self._commit_all()) if has_work else None
        return self._committer

    async def _commit_all(self) -> None:
        while self._queue or self._committed:
            if not self._queue:
                number = len(self._committed)
                self._resolve(number // 2 if number > _MANY_COMMITTED else number)
                await asyncio.sleep(0)  # Callers that were resolved may write again.
            if self._queue:
                size = min(len(self._queue), self._database.settings.batch_size)
                batch = [self._queue[position] for position in range(size)]
                # They stay in the queue while they are written: close() can name them.
                # `_commit` raises only errors of refused rows.
                await bisect(batch, self._commit, lambda _: True, self._refuse)
                for _ in range(size):
                    self._queue.popleft()

    async def _commit(self, batch: Sequence[_QueuedOp]) -> None:
        """Write a batch in one transaction, repeating it until the deadline.

        Raises only the error of a refused row.
        """
        self._resolve(len(self._committed))  # Their callers run while the database works.
        repeats, may_pass = 0, False

        def is_transient(error: Exception) -> bool:
            nonlocal repeats, may_pass
            kind = self._kind_of(error)
            repeats += kind is ErrorKind.REPEAT
            few_repeats = kind is ErrorKind.REPEAT and repeats <= _MOST_REPEATS
            may_pass = kind in _MAY_PASS or few_repeats
            return may_pass

        def on_retry(error: Exception, _pause: float) -> None:
            self._last_error = one_line(error)
            self.outage.failed(self._last_error)

        try:
            outcome = await retry(
                lambda: self._execute([queued.op for queued in batch]),
                is_transient,
                seconds=self._database.settings.retry_seconds,
                first_pause=_FIRST_PAUSE,
                longest_pause=_LONGEST_PAUSE,
                on_retry=on_retry,
            )
        except Exception as error:  # The callers wait for a result.
            if may_pass:  # The deadline has passed.
                return self._give_up(batch, error)
            if self._kind_of(error) is not ErrorKind.SCHEMA:
                raise
            for queued in batch:
                self._fail(queued, self._database.translate(error))
            return None
        self._last_error = None
        self._written += len(batch)
        self.outage.succeeded(len(batch), left=len(self._queue) - len(batch))
        for position, queued in enumerate(batch):
            queued.result = outcome.results.get(position)
            if isinstance(queued.result, RejectedRow):
                self._written -= 1
                self._fail(queued, queued.result)
            else:
                self._committed.append(queued)
        if outcome.has_blobs and self._on_blobs:
            self._on_blobs()
        return None

    async def _execute(self, ops: Sequence[Op]) -> BatchOutcome:
        if self._prepare:
            await self._prepare()
        return await execute_batch(self._database, ops)

    # Errors

    def _kind_of(self, error: BaseException) -> ErrorKind:
        if isinstance(error, SchemaError):
            return ErrorKind.SCHEMA
        if isinstance(error, DatabaseUnavailable):
            return ErrorKind.TRANSIENT
        return self._database.dialect.classify(error)

    def _refuse(self, queued: _QueuedOp, error: Exception) -> None:
        if not isinstance(error, RejectedRow):
            cause = error
            error = RejectedRow(
                f"{describe(queued.op)} is refused by the database ({one_line(cause)}); "
                "change its values"
            )
            error.__cause__ = cause
        self._fail(queued, error)

    def _give_up(self, batch: Sequence[_QueuedOp], error: Exception) -> None:
        reason = self._database.translate(error)
        seconds = self._database.settings.retry_seconds
        for queued in batch:
            self._fail(
                queued,
                RetriesExhausted(
                    f"{describe(queued.op)} was not written in {seconds:g} s of trying: {reason}"
                ),
            )

    def _closed_error(self, op: Op) -> WriteQueueClosed:
        error = WriteQueueClosed(
            f"{describe(op)} was not written: the data layer is closed; make a new one"
        )
        self._refused += 1
        self.outage.refused(describe(op), error)
        return error

    # Results

    def _resolve(self, number: int) -> None:
        """Resolve the futures of the oldest committed operations."""
        for _ in range(min(number, len(self._committed))):
            queued = self._committed.popleft()
            if self._end(queued) and _is_awaited(queued.future):
                queued.future.set_result(queued.result)

    def _fail(self, queued: _QueuedOp, error: BaseException) -> None:
        self._refused += 1
        self.outage.refused(describe(queued.op), error)
        if self._end(queued) and _is_awaited(queued.future):
            queued.future.set_exception(error)

    def _end(self, queued: _QueuedOp) -> bool:
        """Mark an operation as over; return False if it was, in an event loop that has ended."""
        if queued.is_over:
            return False
        queued.is_over = True
        self._bytes -= queued.size
        self._slots.release()
        if self._last_by_thread.get(queued.op.thread_id) is queued:
            del self._last_by_thread[queued.op.thread_id]
        for waiter in queued.waiters:
            if _is_awaited(waiter):
                waiter.set_result(None)
        return True


def _is_awaited(future: asyncio.Future[Any]) -> bool:
    """Return whether a caller can receive a result: its event loop may have ended."""
    return not future.done() and not future.get_loop().is_closed()
