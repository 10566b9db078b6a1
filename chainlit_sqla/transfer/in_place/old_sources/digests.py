"""`Sums`: what a database has of each thread, to compare it with another one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, KeysView

from ...records import Record


class Sums:
    """How many records of each kind a thread has, and the sum of their digests.

    A sum does not depend on the order of the records, which collations make differ.
    """

    def __init__(self) -> None:
        self._sums: dict[str | None, tuple[Counter[str], int]] = {}

    @property
    def places(self) -> KeysView[str | None]:
        """The threads of which there is a record; None stands for the users."""
        return self._sums.keys()

    def add(self, records: Iterable[Record]) -> None:
        """Add records in any order."""
        for record in records:
            kinds, total = self._sums.get(record.thread_id) or (Counter(), 0)
            kinds[record.kind] += 1
            self._sums[record.thread_id] = kinds, (total + record.digest()) % 2**128

    def kinds(self, place: str | None) -> Counter[str]:
        """The number of records of a thread by their kind."""
        return self._sums[place][0]

    def unlike(self, other: Sums) -> list[str | None]:
        """The threads in which they differ."""
        places = self._sums.keys() | other._sums.keys()
        return [one for one in places if not self.alike(one, other)]

    def alike(self, place: str | None, other: Sums) -> bool:
        """Whether both have the same of a thread."""
        return self._sums.get(place) == other._sums.get(place)

    def clear(self) -> None:
        """Begin anew."""
        self._sums.clear()
