"""`Comparison`: what is not the same in a source and in a database of ours."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

SHOWN = 20
"""Differences that are named."""
_LONG = 100
"""Characters of an id that are shown."""

Key = tuple[str, ...]


@dataclass(slots=True)
class Difference:
    """A record that is not the same on both sides.

    Args:
        key: Its kind and its primary key.
        what: ``missing`` in the target, ``different``, ``more``: only in the target, or
            ``unclear``: a thread that the source did not give again as it had given it.
        columns: Names of the columns whose values differ.
    """

    key: Key
    what: str
    columns: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = (part if len(part) <= _LONG else f"{part[:_LONG]}…" for part in self.key)
        name = " ".join(parts)
        return f"{name}: {self.what}" + (f" ({', '.join(self.columns)})" if self.columns else "")


@dataclass(slots=True)
class Comparison:
    """What a comparison found.

    Args:
        given: Records of the source by kind, of those that have a place.
        same: Those that the target has exactly so.
        counts: Records by what is the matter with them, ``deleted`` in the target included.
        by_kind: Records that are missing or different, by kind.
        changed: Those of them that the target has, but different.
        differences: The first of them.
        threads: Threads compared.
    """

    given: Counter[str] = field(default_factory=Counter)
    same: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    by_kind: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)
    threads: int = 0

    @property
    def equal(self) -> bool:
        """Whether the target has everything as the source has it."""
        return not any(self.counts[what] for what in ("missing", "different", "unclear"))

    def there(self, kind: str) -> int:
        """How many of a kind the target has, in whatever state."""
        return self.same[kind] + self.changed[kind]

    def add(self, difference: Difference) -> None:
        """Count a difference, and keep the first."""
        self.counts[difference.what] += 1
        if difference.what == "different":
            self.changed[difference.key[0]] += 1
        if difference.what in ("missing", "different"):
            self.by_kind[difference.key[0]] += 1
        self._keep(difference)

    def doubt(self, thread_id: str, kinds: Counter[str]) -> None:
        """Count the rows of a thread of which nothing can be said, for it was not given twice.

        Args:
            thread_id: The thread.
            kinds: The number of its rows by kind.
        """
        self.counts["unclear"] += kinds.total()
        self.by_kind.update(kinds)
        self._keep(Difference(("thread", thread_id), "unclear"))

    def merge(self, other: Comparison) -> None:
        """Take over what was found in a part."""
        for name in ("given", "same", "counts", "by_kind", "changed"):
            getattr(self, name).update(getattr(other, name))
        for difference in other.differences:
            self._keep(difference)
        self.threads += other.threads

    def _keep(self, difference: Difference) -> None:
        if len(self.differences) < SHOWN and difference.what != "deleted":
            self.differences.append(difference)
