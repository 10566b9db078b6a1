"""Part of a file in memory that goes back to the system the moment it is let go."""

from __future__ import annotations

import asyncio
import mmap
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import BinaryIO

from .base import CHUNK

_WORTH_LARGE_PAGES = 4 * 1024 * 1024


class MappedBytes:
    """Bytes of an upload, read in one thread and sent piece by piece.

    They are mapped, since memory that is allocated in one thread and freed in another stays
    with the process; and they can be let go, since what asyncio, aiohttp and the clouds'
    libraries hold lives on until the garbage collector runs.

    As the body of a request they are iterated over: plain bytes would be handed to the
    transport at once, which keeps, and with TLS encrypts, a second copy without a pause for
    others. Each attempt iterates anew, so none needs to rewind.

    Args:
        room: What was taken from a `Budget` for them.
    """

    def __init__(self, room: int = 0) -> None:
        self.room = room
        self.content: mmap.mmap | None = None
        """None before `fill` and after `let_go`; only its first ``len(self)`` bytes count."""
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def fill(self, file: BinaryIO, size: int) -> None:
        """Read from where a file stands; blocking.

        Args:
            file: Opened for buffered binary reading.
            size: Bytes at most.
        """
        content = self.content = _mapped(size, self.room)
        with memoryview(content) as view:
            while read := file.readinto(view[self._size :]):  # type: ignore[attr-defined]
                self._size += read

    def piece(self, start: int, end: int) -> bytes:
        """Copy some of the bytes; nothing after they were let go."""
        return self.content[start : min(end, len(self))] if self.content else b""

    def moved(self) -> None:
        """Called when another piece was taken."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self), CHUNK):
            yield self.piece(start, start + CHUNK)
            self.moved()
            await asyncio.sleep(0)  # A fast network alone never makes the sender wait.

    def let_go(self) -> None:
        """Give the memory back; a thread that still uses it keeps it until it is done."""
        content, self.content, self._size = self.content, None, 0
        if content is not None:
            with suppress(BufferError):
                content.close()


def _mapped(size: int, used: int) -> mmap.mmap:
    """Map fresh memory; with large pages, that costs a third where the system has them.

    Args:
        size: Bytes at most.
        used: Bytes that probably will be used: a few in a large page would take all of it.
    """
    if not hasattr(mmap, "MAP_PRIVATE"):
        return mmap.mmap(-1, size)
    content = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if used >= _WORTH_LARGE_PAGES and hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # A kernel may be built without them.
            content.madvise(mmap.MADV_HUGEPAGE)
    return content
