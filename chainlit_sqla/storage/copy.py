"""Copies all blobs of one store to another, so that it can be begun again at any moment.

Invariants:

- A blob counts as copied only when it was read back from the target and its size and SHA-256
  are those of the bytes that the source gave. An ETag is never trusted: what it is made of
  differs between servers, and for uploads in parts it is no checksum.
- The source gave as many bytes as it says the blob has; else it was cut, and is read again.
- Type and file name come along. What the target has already is kept only if they are equal,
  too.
- Nothing is deleted, neither in the source nor in the target.
- Memory does not grow with the number of blobs (`Journal`) or their size: a blob goes through
  a temporary file, `parallel` at once.
- A blob that fails stops no other; `LIMIT` of them in a row stop all, for then it is the store.
- A blob that the source no longer has is gone, which is no error: its conversation was deleted.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO, Literal, cast

from ..errors import (
    BlobNotFound,
    ChainlitSqlaError,
    ConfigurationError,
    StorageError,
    StorageUnavailable,
)
from .base import BlobInfo, BlobSource, Inventory, StorageClient
from .headers import content_disposition, content_type
from .journal import NOTHING, PAGE, Amount, Journal, Todo

logger = logging.getLogger("chainlit_sqla")

PARALLEL = 4
"""Blobs under way at once."""
LIMIT = 20
"""Failures in a row after which the store, not the blobs, is taken to be at fault."""
PAUSES = (0.5, 2.0, 5.0)
"""Seconds between the attempts at one blob while its store is away."""

Stage = Literal["source", "target", "copy"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a copy is.

    Args:
        stage: Listing the source, listing the target, or copying.
        done: Listed so far, or copied and verified, those of earlier runs included. The
            bytes of a blob that is under way count as they come.
        total: All of the source; nothing while it is being listed.
    """

    stage: Stage
    done: Amount
    total: Amount = NOTHING


@dataclass(frozen=True, slots=True)
class Plan:
    """What a copy would do.

    Args:
        todo: Blobs to copy, those of `there` included.
        there: Of these, what the target has with as many bytes: compared, then kept.
        kept: What an earlier run has copied and verified.
        gone: Blobs of an earlier run that were never copied and left the source since.
        left_over: Blobs that the target has and the source no longer has.
    """

    todo: Amount
    there: Amount
    kept: Amount
    gone: int
    left_over: int


@dataclass(slots=True)
class Result:
    """What a copy did.

    Args:
        copied: Blobs written and verified.
        kept: Blobs that were there already: verified now, or by an earlier run.
        failed: How many could not be copied.
        gone: How many left the source before they were copied.
        left_over: See `Plan`.
        failures: The first that failed, each as key and reason.
        stopped: Why the copy ended before its end; empty if it did not.
    """

    copied: Amount = NOTHING
    kept: Amount = NOTHING
    failed: int = 0
    gone: int = 0
    left_over: int = 0
    failures: tuple[tuple[str, str], ...] = ()
    stopped: str = ""


class _Gone(Exception):
    """The source no longer has the blob."""


@dataclass(slots=True)
class _Content:
    """What the bytes of a blob are."""

    size: int
    sha256: str


@dataclass(slots=True)
class _Run:
    """What one run keeps count of."""

    result: Result
    done: Amount
    total: Amount
    in_a_row: int = 0
    under_way: dict[str, float] = field(default_factory=dict)


class Transfer:
    """The copy of all blobs of a store.

    Args:
        source: Where blobs are read; nothing is changed in it.
        target: Where they are written.
        journal: What was done before; of these two stores.
        parallel: Blobs under way at once.
        watch: Called with the progress, often: it should be quick.
        pauses: Seconds between attempts.

    Raises:
        ConfigurationError: A store cannot list its blobs, or `parallel` is no number of them.

    Example:
        ``await Transfer(source, target, Journal(None, "a", "b")).run()``
    """

    def __init__(
        self,
        source: StorageClient,
        target: StorageClient,
        journal: Journal,
        *,
        parallel: int = PARALLEL,
        watch: Callable[[Progress], object] = lambda _: None,
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        if parallel < 1:
            raise ConfigurationError(f"{parallel} blobs at once copy nothing; use 1 or more")
        self._source = _listing(source, "copied from")
        self._target = _listing(target, "copied to")
        self._journal = journal
        self._parallel = parallel
        self._watch = watch
        self._pauses = pauses

    async def plan(self) -> Plan:
        """List both stores and compare; writes to the journal only.

        Raises:
            StorageError: A store cannot be listed.
        """
        await self._list("source", self._source.list_blobs(), self._journal.note_source)
        await self._list("target", self._target.list_blobs(), self._journal.note_target)
        gone = self._journal.settle()
        return Plan(
            todo=self._journal.amount("todo"),
            there=self._journal.already_there(),
            kept=self._journal.amount("copied"),
            gone=gone,
            left_over=self._journal.left_over(),
        )

    async def run(self) -> Result:
        """Copy what is left to do.

        Returns:
            What was done. Blobs that failed are in it; they raise nothing.

        Raises:
            StorageError: A store cannot be used at all.
        """
        await self._target.check()
        plan = await self.plan()
        result = Result(kept=plan.kept, gone=plan.gone, left_over=plan.left_over)
        run = _Run(result, done=plan.kept, total=plan.kept + plan.todo)
        self._report(run)
        todo = self._journal.todo()
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._parallel):
                    group.create_task(self._work(todo, run))
        except ExceptionGroup as errors:  # The journal's: those of blobs are counted.
            raise errors.exceptions[0] from None
        result.failed = self._journal.amount("failed").blobs
        result.failures = self._journal.failures(LIMIT)
        return result

    async def _list(
        self,
        stage: Stage,
        listing: AsyncIterator[BlobInfo],
        note: Callable[[Sequence[BlobInfo]], None],
    ) -> None:
        count = NOTHING
        page: list[BlobInfo] = []
        async with aclosing(cast("AsyncGenerator[BlobInfo]", listing)) as infos:
            async for info in infos:
                page.append(info)
                count += Amount(1, info.size)
                if len(page) == PAGE:
                    note(page)
                    page.clear()
                    self._watch(Progress(stage, count))
        note(page)
        self._watch(Progress(stage, count))

    async def _work(self, todo: Iterator[Todo], run: _Run) -> None:
        """Copy blobs until there are no more; several share one iterator."""
        for blob in todo:
            run.under_way[blob.key] = 0.0
            try:
                written, content = await self._copy(blob, run)
            except _Gone:
                self._journal.gone(blob.key)
                run.result.gone += 1
                run.total -= Amount(1, blob.size)
            except Exception as error:
                self._fail(blob, error, run)
            else:
                self._journal.copied(blob.key, content.size, content.sha256)
                self._count(written, content, run)
            del run.under_way[blob.key]
            self._report(run)
            if run.result.stopped:
                return

    def _count(self, written: bool, content: _Content, run: _Run) -> None:
        run.in_a_row = 0
        amount = Amount(1, content.size)
        run.done += amount
        if written:
            run.result.copied += amount
        else:
            run.result.kept += amount

    def _fail(self, blob: Todo, error: Exception, run: _Run) -> None:
        if isinstance(error, ChainlitSqlaError):
            reason = str(error)
        else:
            reason = f"Unexpected {type(error).__name__}: {error}"
            logger.debug("Copying %r failed", blob.key, exc_info=error)
        self._journal.failed(blob.key, reason)
        run.in_a_row += 1
        if run.in_a_row == LIMIT:
            run.result.stopped = f"{LIMIT} blobs in a row could not be copied"

    async def _copy(self, blob: Todo, run: _Run) -> tuple[bool, _Content]:
        """Copy a blob, trying again while a store is away; tell whether it was written."""
        for pause in self._pauses:
            try:
                return await self._attempt(blob, run)
            except StorageUnavailable:
                run.under_way[blob.key] = 0.0
            # Not all at the same moment, so that a store that is overloaded can recover.
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311
        return await self._attempt(blob, run)

    async def _attempt(self, blob: Todo, run: _Run) -> tuple[bool, _Content]:
        key = blob.key
        with tempfile.TemporaryFile() as spool:
            with _of_the_source():
                info = await self._source.stat(key)
                sent = await self._read(self._source, key, run, into=spool)
            if sent.size != info.size:
                raise StorageUnavailable(
                    f"The source gave {sent.size:,} bytes of {key!r}, which has {info.size:,}; "
                    "look for a proxy in front of it that cuts answers"
                )
            if blob.found_size == sent.size and await self._is_there(info, sent, run):
                return False, sent
            source = BlobSource(file=cast("BinaryIO", spool))
            await self._target.put(key, source, mime=info.mime, name=info.name)
        got = await self._read(self._target, key, run)
        if got != sent:
            raise StorageError(
                f"The target gave back other bytes than were written under {key!r} ({got.size:,} "
                f"of {sent.size:,} bytes); look at its disk, or for a proxy or cache before it"
            )
        return True, sent

    async def _is_there(self, info: BlobInfo, sent: _Content, run: _Run) -> bool:
        """Whether the target has the blob already, with the same bytes, type and name."""
        try:
            found = await self._target.stat(info.key)
            return _headers(found) == _headers(info) and sent == await self._read(
                self._target, info.key, run
            )
        except BlobNotFound:
            return False

    async def _read(
        self, store: Inventory, key: str, run: _Run, *, into: BinaryIO | None = None
    ) -> _Content:
        """Read a blob to its end; each of its bytes is read twice, so it counts half."""
        digest = hashlib.sha256()
        size = 0
        async with aclosing(cast("AsyncGenerator[bytes]", store.open(key))) as chunks:
            async for chunk in chunks:
                await asyncio.to_thread(_take, key, chunk, digest, into)
                size += len(chunk)
                run.under_way[key] += len(chunk) / 2
                self._report(run)
        if into is not None:
            with _temporary(key):
                into.flush()  # The target looks at the file's size.
        return _Content(size, digest.hexdigest())

    def _report(self, run: _Run) -> None:
        done = run.done + Amount(0, int(sum(run.under_way.values())))
        self._watch(Progress("copy", done, run.total))


def _listing(store: StorageClient, use: str) -> Inventory:
    if not isinstance(store, Inventory):
        raise ConfigurationError(
            f"{type(store).__name__} cannot list its blobs, so it cannot be {use}; open the "
            "store by a URL such as s3://bucket, gs://bucket or az://container"
        )
    return store


def _headers(info: BlobInfo) -> tuple[str, str]:
    return content_type(info.mime), content_disposition(info.mime, info.name)


def _take(key: str, chunk: bytes, digest: hashlib._Hash, into: BinaryIO | None) -> None:
    digest.update(chunk)
    if into is not None:
        with _temporary(key):
            into.write(chunk)


@contextmanager
def _temporary(key: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"Cannot keep {key!r} in the temporary folder {tempfile.gettempdir()} "
            f"({error.strerror}); free some space there, or set TMPDIR to another folder"
        ) from error


@contextmanager
def _of_the_source() -> Iterator[None]:
    try:
        yield
    except BlobNotFound as error:
        raise _Gone from error
