"""The write queue: ordered batches, each in one transaction, and what happens where one fails.

Invariants:

1. An operation is queued before its caller first waits, so the operations of a thread are executed
   in the order in which Chainlit's tasks first ran; `lanes` has the rules, also between threads.
2. A batch is what arrived during the previous commit: there is no timer, and an idle layer writes
   immediately.
3. A caller resumes when its operation is committed or has failed. Cancelling a caller does not
   cancel the write. Of many callers, half are resolved before the next commit and half during
   it, so that they run while the database works.
4. An operation has one deadline for all its attempts, counted from the first one, in whatever
   halves of a batch and however often alone. What waits behind one whose deadline has passed gets
   a common one then. Every operation is repeatable.
5. Whoever fails alone waits alone. A batch is repeated as a whole only where the error concerns
   all of it, such as an unavailable server. Otherwise it is halved until the cause is found: a row
   that the database refuses fails; any other operation is written by a task of its own, beside the
   next batches, and its lane is held until then. So it is with a thread whose row is locked, and
   with a row that breaks the connection. After an attempt that failed slowly, all lanes of the
   batch are held instead of halved, since each half would take as long again.
6. What can never be written is refused before the queue, and memory is bounded: the queue by a
   number and by bytes, the callers in line beyond it by both, too.
7. Every failure is logged with the id of what was not written, because Chainlit drops the tasks
   in which it calls the layer.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .._internal.aio import CANCEL_SECONDS, is_awaited, is_working, start_background
from .._internal.outage import OutageLog
from .._internal.retry import bisect
from ..database import Database
from ..dialects import ErrorKind, one_line
from ..errors import RejectedRow, WriteError, WriteQueueClosed, WriteQueueFull
from .attempts import Attempts, BreaksConnections, earliest, refused, too_late, unexpected
from .execute_batch import BatchOutcome
from .lanes import SHARE, Lane, Lanes, QueuedOp
from .operations import Op, check_ids, describe, size_of, too_large

log = logging.getLogger(__name__)

_BATCH_BYTES = 4 * 2**20
"""The size of a batch, which is encoded and sent at a time."""
_LINE_CALLERS = 50_000
_LINE_BYTES = 4
"""Limits of the callers in line: their number, and their bytes as a multiple of the queue's."""
_FEW = 5
"""Up to this number of operations, a transaction takes as long as its round trips."""
_EACH = 1e-4
"""Seconds that each operation of a batch takes, about."""
_SLOW = 1.0
"""Seconds after which a failed attempt is not repeated by halves, for which others would wait."""
_AFTER_BUG = 1.0
"""Seconds of rest after an unexpected error."""
_MANY_COMMITTED = 16
"""From this number of results on, half of them are resolved during the next commit."""


@dataclass(frozen=True, slots=True)
class QueueCounters:
    """The state of a write queue at one moment."""

    operations: int
    """Operations that are neither committed nor failed, those of callers in line included."""
    bytes: int
    """Their approximate size."""
    in_line: int
    """Callers beyond the capacity of the queue."""
    written: int
    """Operations that were committed since the queue was made."""
    refused: int
    """Operations that failed for good since then."""
    held: int = 0
    """Lanes, mostly threads, whose operations wait for one that fails alone."""


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
        self._on_blobs = on_blobs
        self._lanes = Lanes()
        self._attempts = Attempts(database, prepare, self._report)
        self._batch: Sequence[QueuedOp] = ()
        """The operations that the committer has taken."""
        settings = database.settings
        self._batch_size = settings.batch_size
        self._most_row_bytes = settings.max_row_bytes
        self._most_operations = settings.queue_size + _LINE_CALLERS
        self._most_bytes = settings.queue_bytes * (1 + _LINE_BYTES)
        self._committed: deque[QueuedOp] = deque()
        self._committer: asyncio.Task[None] | None = None
        self._waiters: dict[QueuedOp, dict[asyncio.Future[None], None]] = {}
        """The futures of `flush`, which are resolved when an operation is over."""
        self._held: dict[Lane, asyncio.Task[None]] = {}
        """The tasks that write the operations of held lanes."""
        self._blaming: Exception | None = None
        """The last error of an attempt for which a part of its batch is to blame."""
        self._last_bug = ""
        self._closed = False
        self._round_trip = 0.0
        """Seconds that a transaction of a few operations takes."""
        self._written = self._refused = 0
        self.outage = OutageLog(log, "written", self._describe_backlog)

    def counters(self) -> QueueCounters:
        """Return the state of the queue."""
        return QueueCounters(
            self._lanes.operations,
            self._lanes.bytes,
            max(0, self._lanes.operations - self._database.settings.queue_size),
            self._written,
            self._refused,
            len(self._held),
        )

    def _describe_backlog(self) -> str:
        now = self.counters()
        text = f"{now.operations} writes ({now.bytes / 1e6:.1f} MB)"
        return f"{text}, {now.in_line} callers in line" if now.in_line else text

    @property
    def pending(self) -> int:
        """The number of operations that are neither committed nor failed."""
        return self._lanes.operations

    async def submit(self, op: Op) -> Any:
        """Commit an operation; see `enqueue`."""
        return await self.enqueue(op)

    def enqueue(self, op: Op) -> asyncio.Future[Any]:
        """Append an operation to the queue, and return the future of its commit.

        The result is whether a deletion deleted anything, None for other operations. What can
        never be written raises `WriteError` here; the future fails with `WriteError` or
        `SchemaError`.
        """
        loop = self._database.adopt_loop()  # Two loops at a time would lose writes.
        size = size_of(op)
        try:
            dialect = self._database.dialect
            check_ids(op, dialect.longest_id, dialect.longest_identifier)
            self._check_capacity(op, size)
        except WriteError as error:
            self._refused += 1
            self.outage.refused(describe(op), error)
            raise
        future = loop.create_future()
        self._lanes.add(op, size, future)
        self._ensure_committer()
        return future

    def _check_capacity(self, op: Op, size: int) -> None:
        if self._closed:
            raise WriteQueueClosed(
                f"{describe(op)} was not written: the data layer is closed; make a new one"
            )
        if size > self._most_row_bytes:
            raise too_large(op, size, self._most_row_bytes)
        waiting = self._lanes
        is_full = waiting.operations >= self._most_operations
        if is_full or (waiting.operations and waiting.bytes + size > self._most_bytes):
            raise WriteQueueFull(
                f"{describe(op)} was not written: {waiting.operations:,} writes "
                f"({waiting.bytes / 1e6:,.0f} MB) wait for the database already"
                + (f" ({self.outage.reason})" if self.outage.reason else "")
                + "; check the database, or raise CHAINLIT_SQLA_QUEUE_BYTES and "
                "CHAINLIT_SQLA_QUEUE_SIZE"
            )

    async def flush(self, thread_id: str | None = None, seconds: float | None = None) -> None:
        """Wait until the operations before that may touch a thread are committed or have failed.

        None waits for all; ``seconds`` limits the wait.
        """
        self._database.adopt_loop()
        self._ensure_committer()
        waiters: dict[asyncio.Future[None], QueuedOp] = {}
        for queued in self._lanes.last(thread_id):
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.setdefault(queued, {})[waiter] = None
            waiters[waiter] = queued
        try:
            if waiters:
                await asyncio.wait(waiters, timeout=seconds)
        finally:  # Otherwise each read of an outage would leave one.
            for waiter, queued in waiters.items():
                if not waiter.done():
                    self._waiters.get(queued, {}).pop(waiter, None)

    async def close(self, seconds: float | None = None) -> list[Op]:
        """Accept no more operations, and write the accepted ones.

        Returns those that could not be written in time, by default within ``close_seconds``; each
        has failed.
        """
        self._closed = True
        seconds = self._database.settings.close_seconds if seconds is None else seconds
        deadline = time.monotonic() + seconds
        while tasks := self._tasks():
            if not (await asyncio.wait(tasks, timeout=max(0, deadline - time.monotonic())))[0]:
                break
        tasks = self._tasks()  # Others may be held meanwhile.
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CANCEL_SECONDS)
        self._resolve(len(self._committed))
        unwritten = list(self._lanes)
        for queued in unwritten:
            self._fail(queued, too_late(queued))
        self.outage.close()
        return [queued.op for queued in unwritten]

    # The committer

    def _tasks(self) -> list[asyncio.Task[None]]:
        """Return the tasks that write, after starting the committer if it has work."""
        committer = self._ensure_committer()
        return [*([committer] if committer else []), *self._held.values()]

    def _ensure_committer(self) -> asyncio.Task[None] | None:
        """Start the committer if it has work, even work that an ended event loop left."""
        if is_working(self._committer):
            return self._committer
        if self._batch or self._held:
            self._reclaim()
        has_work = self._lanes.has_turns or self._committed
        self._committer = start_background(self._commit_all()) if has_work else None
        return self._committer

    def _reclaim(self) -> None:
        """Return what an ended event loop was writing to its lanes."""
        for lane, task in list(self._held.items()):
            if not is_working(task):
                del self._held[lane]
                self._lanes.release(lane)
        self._lanes.settle(self._batch)
        self._batch = ()

    async def _commit_all(self) -> None:
        while True:
            try:
                return await self._commit_batches()
            except Exception as error:  # An error of this package must not leave callers waiting.
                self._recover(error)
                await asyncio.sleep(_AFTER_BUG)

    def _recover(self, error: Exception) -> None:
        """Go on after an unexpected error: what was being written is written one by one."""
        self._log_bug(error)
        batch, self._batch = self._batch, ()
        self._lanes.settle(self._lanes)  # All of them: some were being taken.
        self._hold_all((q for q in batch if not q.is_over and not q.lane.is_held), error)

    def _log_bug(self, error: Exception) -> None:
        if self._last_bug != (bug := repr(error)):  # A traceback is logged once.
            self._last_bug = bug
            log.error("Not written yet: unexpected error, please report it", exc_info=error)
        self._report(error)

    async def _commit_batches(self) -> None:
        while self._lanes.has_turns or self._committed:
            if not self._lanes.has_turns:
                number = len(self._committed)
                self._resolve(number // 2 if number > _MANY_COMMITTED else number)
                await asyncio.sleep(0)  # Callers that were resolved may write again.
            # They stay in their lanes while they are written: close() can name them.
            self._batch = self._lanes.take(self._batch_size, _BATCH_BYTES, self._share())
            began = time.perf_counter()
            await bisect(self._batch, self._commit, lambda e: e is self._blaming, self._isolate)
            self._measure(len(self._batch), time.perf_counter() - began)
            self._lanes.settle(self._batch)
            self._batch = ()

    def _measure(self, operations: int, seconds: float) -> None:
        """Remember how long a transaction of a few operations takes."""
        if 0 < operations <= _FEW:
            # The shortest lately: others may have kept the machine or the database busy.
            self._round_trip = min(seconds, 1.1 * self._round_trip or seconds)

    def _share(self) -> int:
        """Return a lane's share of a batch: writing it takes as long as the transaction anyway."""
        return max(SHARE, int(self._round_trip / _EACH))

    async def _commit(self, part: Sequence[QueuedOp]) -> None:
        """Write a batch, or a part of it, in one transaction.

        Raises the error of an attempt for which one of several operations may be to blame.
        """
        # In a new batch, all are executable.
        ops = part if part is self._batch else self._lanes.executable(part)
        while ops:
            self._resolve(len(self._committed))  # Their callers run while the database works.
            began = time.monotonic()
            try:
                outcome = await self._attempts.together(ops)
            except Exception as error:  # The callers wait for a result.
                kind = self._attempts.kind_of(error)
                if kind is ErrorKind.SCHEMA:
                    for queued in ops:
                        self._fail(queued, self._database.translate(error))
                elif kind is ErrorKind.TRANSIENT:  # The deadline has passed.
                    for queued in earliest(ops):
                        self._fail(queued, self._attempts.exhausted(queued, error))
                elif kind is ErrorKind.LOCKED:
                    await self._hold_locked(ops, error)
                else:
                    if isinstance(error, BreaksConnections):
                        self._batch_size = max(1, len(ops) // 2)
                    if len(ops) == 1 or time.monotonic() - began < _SLOW:
                        self._blaming = error
                        raise
                    self._hold_all(ops, error)
                ops = self._lanes.executable(part)
            else:
                return self._end(ops, outcome)
        return None

    # Operations that fail alone

    def _isolate(self, queued: QueuedOp, error: Exception) -> None:
        """Refuse the one operation that made its batch fail, or write it beside the others."""
        if self._attempts.kind_of(error) is ErrorKind.REJECTED:
            self._fail(queued, refused(queued, error))
        else:
            self._hold(queued.lane, error)

    async def _hold_locked(self, ops: Sequence[QueuedOp], error: Exception) -> None:
        """Hold the lanes whose threads are locked, or all where another row is.

        Each attempt to find the other row would wait for its lock again, and all with it.
        """
        lanes = await self._attempts.locked_lanes(ops)
        if lanes is None:  # A table is locked: wait, until the deadline.
            self._report(error)
            for queued in ops:
                if (queued.deadline or 0) < time.monotonic():
                    self._fail(queued, self._attempts.exhausted(queued, error))
            return
        self._hold_all([queued for queued in ops if not lanes or queued.lane in lanes], error)

    def _hold_all(self, ops: Iterable[QueuedOp], error: Exception) -> None:
        for lane in dict.fromkeys(queued.lane for queued in ops):
            self._hold(lane, error)

    def _hold(self, lane: Lane, error: Exception) -> None:
        self._report(error)
        self._lanes.hold(lane)
        self._held[lane] = start_background(self._write_alone(lane, error))

    async def _write_alone(self, lane: Lane, error: Exception) -> None:
        """Write from a held lane, and release it."""
        try:
            await self._write_one_by_one(lane, error)
        except Exception as bug:
            self._log_bug(bug)
            if lane.ops:
                self._fail(lane.ops[0], unexpected(lane.ops[0], bug))
        del self._held[lane]
        self._lanes.release(lane)
        self._ensure_committer()

    async def _write_one_by_one(self, lane: Lane, error: Exception) -> None:
        """Write the operations of a held lane one by one until one is committed or refused."""
        is_exhausted = True
        while is_exhausted and (queued := self._lanes.next_of(lane)):
            is_exhausted = False
            try:
                outcome = await self._attempts.alone(queued, error)
            except Exception as last_error:  # The caller waits for a result.
                kind = self._attempts.kind_of(last_error)
                if kind is ErrorKind.SCHEMA:
                    self._fail(queued, self._database.translate(last_error))
                elif kind in (ErrorKind.REJECTED, ErrorKind.REPEAT):
                    self._fail(queued, refused(queued, last_error))
                else:
                    is_exhausted = True
                    self._fail(queued, self._attempts.exhausted(queued, last_error))
                    self._attempts.start(lane.ops)  # Not one deadline after the other.
            else:
                self._end([queued], outcome)
                self._resolve(len(self._committed))  # The committer may wait for long.

    def _report(self, error: Exception) -> None:
        """Report an attempt that will be repeated."""
        self.outage.failed(one_line(error))

    # Results

    def _end(self, ops: Sequence[QueuedOp], outcome: BatchOutcome) -> None:
        """Take the results of a transaction that was committed."""
        self._batch_size = min(self._batch_size * 2, self._database.settings.batch_size)
        results = outcome.results  # Of deletions and refused operations only.
        for position, queued in enumerate(ops):
            if results:
                queued.result = results.get(position)
            if isinstance(queued.result, RejectedRow):
                self._fail(queued, queued.result)
            elif not queued.is_over:  # In close(), it may have failed meanwhile.
                self._lanes.end(queued)
                self._written += 1
                self._committed.append(queued)
        if not self._held.keys() - {ops[0].lane}:  # Others still fail otherwise.
            self.outage.succeeded(len(ops), left=self._lanes.operations)
        if outcome.has_blobs and self._on_blobs:
            self._on_blobs()

    def _resolve(self, number: int) -> None:
        """Resolve the futures of the oldest committed operations."""
        for _ in range(min(number, len(self._committed))):
            queued = self._committed.popleft()
            if is_awaited(queued.future):
                queued.future.set_result(queued.result)
            if self._waiters:
                self._resolve_waiters(queued)

    def _fail(self, queued: QueuedOp, error: BaseException) -> None:
        if queued.is_over:
            return
        self._refused += 1
        self.outage.refused(describe(queued.op), error)
        self._lanes.end(queued)
        if is_awaited(queued.future):
            queued.future.set_exception(error)
        self._resolve_waiters(queued)

    def _resolve_waiters(self, queued: QueuedOp) -> None:
        for waiter in self._waiters.pop(queued, ()):
            if is_awaited(waiter):
                waiter.set_result(None)
