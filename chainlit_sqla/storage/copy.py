"""Copies the blobs of the database's elements from one store to another.

Invariants:

- A blob is copied only when the target lacks it or has it in another size. So a copy that was
  interrupted continues when it is started again, and a second run takes what came meanwhile.
- What is written is read back: its size and SHA-256 must be those of the bytes that the source
  sent. A blob that differs is deleted from the target, so that the next run copies it again.
- The source is only read. Nothing but such a blob is deleted from the target.
- Memory is bounded: a blob passes through a temporary file, `PARALLEL` of them at a time.
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterable
from dataclasses import dataclass, field
from typing import BinaryIO, cast

from .._internal.aio import Watch, quiet
from .._internal.retry import retry
from ..errors import ChainlitSqlaError, StorageError, StorageUnavailable
from .base import BlobInfo, BlobSource, Inventory
from .cloud import stat_or_none

PARALLEL = 8
"""Blobs copied concurrently."""
_ATTEMPTS = 5
_REPORTED_FAILURES = 20


@dataclass(slots=True)
class CopyResult:
    """The numbers of a copy; ``missing`` counts keys of which neither store has a blob.

    ``existing`` blobs were in the target before. ``failures`` are the first of ``failed``, each
    as its key and the reason.
    """

    copied: int = 0
    copied_bytes: int = 0
    existing: int = 0
    missing: int = 0
    first_missing: str = ""
    failed: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)

    @property
    def processed(self) -> int:
        """The number of keys handled so far."""
        return self.copied + self.existing + self.missing + self.failed


async def copy_blobs(
    keys: AsyncIterable[str],
    source: Inventory,
    target: Inventory,
    *,
    total: int | None = None,
    progress: Watch = quiet,
) -> CopyResult:
    """Copy blobs that the target lacks; one that cannot be copied stops no other.

    A store that does not answer, even after retries, ends the copy with StorageUnavailable.
    """
    result = CopyResult()
    slots = asyncio.Semaphore(PARALLEL)

    async def copy_one(key: str) -> None:
        try:
            await _copy(key, source, target, result)
        except StorageUnavailable:
            raise
        except ChainlitSqlaError as error:
            result.failed += 1
            if result.failed <= _REPORTED_FAILURES:
                result.failures.append((key, str(error)))
        finally:
            slots.release()
        progress("files", result.processed, total)

    try:
        async with asyncio.TaskGroup() as tasks:
            async for key in keys:
                await slots.acquire()
                tasks.create_task(copy_one(key))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return result


async def _copy(key: str, source: Inventory, target: Inventory, result: CopyResult) -> None:
    async def attempt() -> None:
        source_blob, target_blob = await stat_or_none(source, key), await stat_or_none(target, key)
        if source_blob is None and target_blob is None:
            result.missing += 1
            result.first_missing = result.first_missing or key
        elif source_blob is None or (target_blob and target_blob.size == source_blob.size):
            result.existing += 1
        else:
            await _transfer(source_blob, source, target)
            result.copied += 1
            result.copied_bytes += source_blob.size

    await retry(
        attempt,
        lambda error: isinstance(error, StorageUnavailable),
        attempts=_ATTEMPTS,
        first_pause=0.5,
        longest_pause=5.0,
    )


async def _transfer(blob: BlobInfo, source: Inventory, target: Inventory) -> None:
    """Write a blob to the target and read it back."""
    key = blob.key
    try:
        with tempfile.TemporaryFile() as temporary_file:
            file = cast("BinaryIO", temporary_file)
            size, digest = await _read(source, key, into=file)
            if size != blob.size:
                raise StorageUnavailable(
                    f"The source sent {size:,} of the {blob.size:,} bytes of {key!r}; "
                    "check for a proxy in front of it that truncates responses"
                )
            await target.put(key, BlobSource(file=file), mime=blob.mime, name=blob.name)
    except OSError as error:  # Of the file: a store raises a StorageError.
        raise StorageError(
            f"Cannot write {key!r} to the temporary folder {tempfile.gettempdir()} "
            f"({error.strerror}); free some space there, or set TMPDIR to another folder"
        ) from error
    written_size, written_digest = await _read(target, key)
    if (written_size, written_digest) != (size, digest):
        await target.delete([key])
        raise StorageError(
            f"The target returned other bytes than were written under {key!r} ({written_size:,} "
            f"of {size:,} bytes); check its disk, or a proxy or cache in front of it"
        )


async def _read(store: Inventory, key: str, *, into: BinaryIO | None = None) -> tuple[int, bytes]:
    """Read a blob to its end; returns its size and its SHA-256."""
    size, digest = 0, hashlib.sha256()

    def take(chunk: bytes) -> None:
        digest.update(chunk)
        if into is not None:
            into.write(chunk)

    async for chunk in store.open(key):
        await asyncio.to_thread(take, chunk)
        size += len(chunk)
    if into is not None:
        into.flush()  # `BlobSource.size` asks the file system.
    return size, digest.digest()
