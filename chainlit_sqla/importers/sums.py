"""`Sums`: what a database has of each thread, to compare it with another one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, KeysView

from ..records import Record


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
        return [one for one in places if self._sums.get(one) != other._sums.get(one)]

    def has_all(self, place: str | None, other: Sums) -> bool:
        """Whether what another one has of a thread can be in what this one has of it."""
        kinds, total = self._sums.get(place) or (Counter(), 0)
        theirs, sum_ = other._sums.get(place) or (Counter(), 0)
        return total == sum_ if kinds == theirs else kinds >= theirs

    def clear(self) -> None:
        """Begin anew."""
        self._sums.clear()
