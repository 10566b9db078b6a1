"""Part of a file in memory that goes back to the system the moment it is let go."""

from __future__ import annotations

import mmap
from contextlib import suppress
from typing import BinaryIO


class MappedBytes:
    """Bytes of an upload, read in one thread and sent in another.

    They are mapped, since memory that is allocated in one thread and freed in another stays
    with the process; and they can be let go, since what asyncio, aiohttp and the clouds'
    libraries hold lives on until the garbage collector runs.
    """

    def __init__(self) -> None:
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
        content = self.content = mmap.mmap(-1, size)
        with memoryview(content) as view:
            while read := file.readinto(view[self._size :]):  # type: ignore[attr-defined]
                self._size += read

    def let_go(self) -> None:
        """Give the memory back; a thread that still uses it keeps it until it is done."""
        content, self.content, self._size = self.content, None, 0
        if content is not None:
            with suppress(BufferError):
                content.close()
