"""The write pipeline: ordered, coalescing, one transaction a batch.

Invariants:

1. An operation takes its place in the order before its caller first waits, so operations
   are carried out in the order in which Chainlit's tasks first ran.
2. A batch is what arrived while the commit before was under way: nobody waits for a timer,
   and an idle layer writes at once. One committer gives one order.
3. A caller goes on when its operation is committed, or gets the reason why it is not. A
   caller that is cancelled loses the answer, not the write. Where many wait, half of them
   are answered before the next commit and half during it: what they do next is computed
   while the database works.
4. A lost connection, a deadlock or a serialization failure repeats the batch until a
   deadline; every operation can be repeated. A refused row is found by halving the batch
   and fails alone.
5. Every failure is logged with the id of what was not written, because Chainlit drops the
   tasks in which it calls the layer.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from .._internal.aio import is_working
from ..database import Database
from ..dialects import ErrorKind, one_line
from ..errors import (
    DatabaseUnavailable,
    RejectedRow,
    RetriesExhausted,
    SchemaError,
    WriteQueueClosed,
)
from .execute_deletes import execute_delete
from .execute_saves import execute_saves
from .fast_batch import fast_batch_of
from .operations import Op
from .planner import plan

log = logging.getLogger(__name__)

_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 2.0
_FEW = 5


_MANY = 16
"""Answers from which on it pays to give half of them during the next commit."""


@dataclass(slots=True, eq=False)
class _Entry:
    op: Op
    future: asyncio.Future[Any]
    """For the caller, who may cancel it."""
    result: Any = None
    over: bool = False
    """Whether it is written or has failed, and all who wait were told."""
    settling: list[asyncio.Future[None]] | None = None
    """Those who wait for the end of it, whatever it is."""


class WriteQueue:
    """Takes operations in order and commits them in batches.

    Args:
        database: Where to write; its settings bound the queue, the batch and the retries.
        prepare: Called before the first batch: sees to the schema. May raise.
        on_blobs: Called after a commit that put blobs into the deletion queue.

    Example:
        >>> pipeline = WriteQueue(database)
        >>> await pipeline.submit(SaveThread("t", {"name": "Greetings"}))
        >>> await pipeline.close()
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
        self._queue: deque[_Entry] = deque()
        self._slots = asyncio.Semaphore(database.settings.queue_size)
        self._last: dict[str | None, _Entry] = {}
        self._unanswered: deque[_Entry] = deque()
        self._committer: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def queued(self) -> int:
        """How many operations wait or are being written; callers in line are not counted."""
        return len(self._queue)

    async def submit(self, op: Op) -> Any:
        """Commit an operation.

        Args:
            op: The operation; its place in the order is taken before the first wait,
                unless the queue is full and callers wait in line.

        Returns:
            For deletions, whether there was anything to delete; else None.

        Raises:
            RejectedRow: The database refuses it.
            RetriesExhausted: The database was away for too long.
            SchemaError: The tables do not fit.
            WriteQueueClosed: The pipeline was closed.
        """
        return await (await self.enqueue(op))

    async def enqueue(self, op: Op) -> Awaitable[Any]:
        """Give an operation its place in the order; waits only while the queue is full.

        Args:
            op: The operation.

        Returns:
            What `submit` waits for.

        Raises:
            WriteQueueClosed: The pipeline was closed.
        """
        if self._closed:
            raise self._refusal(op)
        await self._slots.acquire()  # Does not wait where there is room.
        if self._closed:
            self._slots.release()
            raise self._refusal(op)
        entry = _Entry(op, asyncio.get_running_loop().create_future())
        self._queue.append(entry)
        self._last[op.thread_id] = entry
        self._wake()
        return entry.future

    async def flush(self, thread_id: str | None = None) -> None:
        """Wait until all that was submitted before is committed or has failed.

        Args:
            thread_id: Wait only for what may touch this thread; None waits for all.
        """
        self._wake()
        if thread_id is None:
            pending = list(self._last.values())
        else:
            wanted = (self._last.get(thread_id), self._last.get(None))
            pending = [entry for entry in wanted if entry]
        if pending:
            await asyncio.wait([_end_of(entry) for entry in pending])

    async def close(self) -> list[Op]:
        """Take no more operations, and write those that were taken.

        Returns:
            The operations that could not be written within ``close_seconds``; each was
            logged and failed.
        """
        self._closed = True
        if committer := self._wake():
            await asyncio.wait([committer], timeout=self._database.settings.close_seconds)
            committer.cancel()
            await asyncio.wait([committer])
        self._answer(len(self._unanswered))
        left = [entry for entry in self._queue if not entry.over]
        self._queue.clear()
        for entry in left:
            self._fail(
                entry,
                RetriesExhausted(
                    f"{entry.op.label} was not written before closing; "
                    "raise CHAINLIT_SQLA_CLOSE_SECONDS or check the database"
                ),
            )
        return [entry.op for entry in left]

    # The committer

    def _wake(self) -> asyncio.Task[None] | None:
        """See to it that somebody writes what is queued, also what an ended loop left."""
        if is_working(self._committer):
            return self._committer
        waiting = self._queue or self._unanswered
        self._committer = asyncio.create_task(self._commit_all()) if waiting else None
        return self._committer

    async def _commit_all(self) -> None:
        while self._queue or self._unanswered:
            if not self._queue:
                many = len(self._unanswered)
                self._answer(many // 2 if many > _MANY else many)
                await asyncio.sleep(0)  # Those who were answered may write again.
            if self._queue:
                await self._commit_next()

    async def _commit_next(self) -> None:
        size = min(len(self._queue), self._database.settings.batch_size)
        batch = [self._queue[position] for position in range(size)]
        if self._unanswered:  # They are told as soon as the database has begun.
            asyncio.get_running_loop().call_soon(self._answer, len(self._unanswered))
        # They stay in the queue while they are written: close() can name them.
        await self._commit(batch)
        for _ in range(size):
            self._queue.popleft()

    async def _commit(self, batch: Sequence[_Entry]) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._database.settings.retry_seconds
        pause, repeats = _FIRST_PAUSE, 0
        while True:
            try:
                results, blobs = await self._transact([entry.op for entry in batch])
            except Exception as error:  # Whatever it is, somebody waits for the answer.
                fault = self._fault(error)
                repeats += fault is ErrorKind.REPEAT
                few = fault is ErrorKind.REPEAT and repeats <= _FEW
                if fault is ErrorKind.TRANSIENT or few:
                    if loop.time() + pause > deadline:
                        return self._give_up(batch, error)
                    log.warning("Write again in %.2f s: %s", pause, one_line(error))
                    await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
                    pause = min(pause * 2, _LONGEST_PAUSE)
                    continue
                return await self._split(batch, error, fault)
            for position, result in results.items():
                batch[position].result = result
            self._unanswered.extend(batch)
            if blobs and self._on_blobs:
                self._on_blobs()
            return None

    async def _transact(self, ops: Sequence[Op]) -> tuple[dict[int, bool], bool]:
        if self._prepare:
            await self._prepare()
        results: dict[int, bool] = {}
        dialect = self._database.dialect
        segments = plan(ops)
        batch = fast_batch_of(segments[0]) if len(segments) == 1 else None
        if batch and await self._database.write_fast_batch(batch):
            return results, False

        def execute(connection: Connection) -> bool:
            blobs = False
            for segment in segments:
                blobs |= execute_saves(connection, dialect, segment)
                for position, op in segment.deletes:
                    results[position], lost = execute_delete(connection, dialect, op)
                    blobs |= lost
            return blobs

        return results, await self._database.transact(execute)

    async def _split(self, batch: Sequence[_Entry], error: Exception, fault: ErrorKind) -> None:
        """Find the row that is refused by halving the batch, which keeps the order."""
        if fault is ErrorKind.SCHEMA:
            for entry in batch:
                self._fail(entry, self._database.translate(error))
        elif len(batch) == 1:
            self._fail(batch[0], _rejection(batch[0].op, error))
        else:
            middle = len(batch) // 2
            await self._commit(batch[:middle])
            self._answer(len(self._unanswered))  # The rest may take long.
            await self._commit(batch[middle:])

    def _fault(self, error: BaseException) -> ErrorKind:
        if isinstance(error, SchemaError):
            return ErrorKind.SCHEMA
        if isinstance(error, DatabaseUnavailable):
            return ErrorKind.TRANSIENT
        return self._database.dialect.classify(error)

    def _give_up(self, batch: Sequence[_Entry], error: BaseException) -> None:
        reason = self._database.translate(error)
        for entry in batch:
            self._fail(
                entry,
                RetriesExhausted(
                    f"{entry.op.label} was not written in "
                    f"{self._database.settings.retry_seconds:g} s of trying: {reason}"
                ),
            )

    # Answers

    def _answer(self, number: int) -> None:
        """Tell callers that their operations are committed."""
        for _ in range(min(number, len(self._unanswered))):
            entry = self._unanswered.popleft()
            if self._forget(entry) and _is_awaited(entry.future):
                entry.future.set_result(entry.result)

    def _fail(self, entry: _Entry, error: BaseException) -> None:
        log.error("Not written: %s: %s", entry.op.label, error)
        if self._forget(entry) and _is_awaited(entry.future):
            entry.future.set_exception(error)

    def _forget(self, entry: _Entry) -> bool:
        """Note that it is over; False where that is known, from an event loop that ended."""
        if entry.over:
            return False
        entry.over = True
        self._slots.release()
        if self._last.get(entry.op.thread_id) is entry:
            del self._last[entry.op.thread_id]
        for waiter in entry.settling or ():
            if _is_awaited(waiter):
                waiter.set_result(None)
        return True

    def _refusal(self, op: Op) -> WriteQueueClosed:
        error = WriteQueueClosed(
            f"{op.label} was not written: the data layer is closed; make a new one"
        )
        log.error("Not written: %s", error)
        return error


def _end_of(entry: _Entry) -> asyncio.Future[None]:
    """What is done when an entry is written or has failed, also one that nobody awaits."""
    waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    entry.settling = [*(entry.settling or ()), waiter]
    return waiter


def _is_awaited(future: asyncio.Future[Any]) -> bool:
    """Whether an answer can reach somebody: the caller's event loop may have ended."""
    return not future.done() and not future.get_loop().is_closed()


def _rejection(op: Op, error: BaseException) -> BaseException:
    if isinstance(error, RejectedRow):
        return error
    rejection = RejectedRow(
        f"{op.label} is refused by the database ({one_line(error)}); change its values"
    )
    rejection.__cause__ = error
    return rejection
