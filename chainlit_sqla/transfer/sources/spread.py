"""`Cut` and `Spread`: where the batches of a file end, and which threads lie in several.

A batch ends before a thread that follows what lies in threads, once it has enough of them; so a
file whose threads all come first is one batch, of which only sums are held.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from ..records import Record
from .base import BATCH

_PLACES = 1 << 26
"""Bits: of a million threads, some ten are taken for seen though they were not."""


class Cut:
    """Tells where batches end, from the beginning of any of them."""

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._inside = False

    def before(self, record: Record) -> bool:
        """Whether a batch ends before a record.

        Args:
            record: The next one of a thread.
        """
        ends = record.kind == "thread" and self._inside and len(self._ids) >= BATCH
        if ends:
            self._ids.clear()
        self._inside = record.kind != "thread" or (self._inside and not ends)
        self._ids.add(record.thread_id or "")
        return ends


class Spread:
    """Finds the threads that are not whole in one batch, their own record before all others.

    Which threads earlier batches had is kept as bits (a Bloom filter, the same in each run), so
    what is held does not grow with the file. Some may be taken for spread that are not.
    """

    def __init__(self) -> None:
        self.threads: set[str] = set()
        """Those that were found."""
        self._cut = Cut()
        self._whole: set[str] = set()
        self._earlier = bytearray(_PLACES // 8)

    def see(self, record: Record) -> None:
        """Look at the next record of a thread.

        Args:
            record: In the order of the file.
        """
        id = record.thread_id or ""
        if self._cut.before(record):
            for one in self._whole:
                for place in _places(one):
                    self._earlier[place >> 3] |= 1 << (place & 7)
            self._whole.clear()
        if id in self._whole:
            return
        if record.kind == "thread" and not self._was_earlier(id):
            self._whole.add(id)
        else:
            self.threads.add(id)

    def _was_earlier(self, id: str) -> bool:
        return all(self._earlier[place >> 3] & (1 << (place & 7)) for place in _places(id))


def _places(id: str) -> Iterator[int]:
    digest = hashlib.blake2b(id.encode(), digest_size=16).digest()
    for start in range(0, 16, 4):
        yield int.from_bytes(digest[start : start + 4], "big") % _PLACES
