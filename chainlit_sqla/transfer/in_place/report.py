"""What an adoption, or the way back, did or would do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Report:
    """What was done.

    Args:
        label: The database, for people.
        back: Whether it is the way back to Chainlit's layer.
        rehearsed: Whether everything was undone at the end.
        nothing: Why there was nothing to do; None: there was.
        rows: Rows that were there, by kind.
        kept: Rows that are there now, by kind, but those that were put back.
        put_back: Rows of the quarantine that are in Chainlit's tables again, by kind.
        exact: Rows of Chainlit's tables with the exact form of a value again, by kind: text that is
            no UTF-8, JSON that only some readers take.
        aside: Rows without a place, by kind and reason.
        partly: Rows that have a place but for a value, by kind and reason.
        restored: Rows from the table of what an earlier way back could not place.
        beside: Rows of ours of which something is kept beside Chainlit's tables, by kind.
        converted: Columns with their types before and after.
        strangers: Columns that we do not know, which are kept.
        carried: What depended on the tables and was made anew.
        dropped: What could not, with the statements to make it by hand.
        left: Indexes, constraints and makers of values that are not made anew.
        notes: What else people should know.
        threads: Threads compared.
        seconds: How long it took.
    """

    label: str
    back: bool = False
    rehearsed: bool = False
    nothing: str | None = None
    rows: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    put_back: Counter[str] = field(default_factory=Counter)
    exact: Counter[str] = field(default_factory=Counter)
    aside: Counter[tuple[str, str]] = field(default_factory=Counter)
    partly: Counter[tuple[str, str]] = field(default_factory=Counter)
    restored: Counter[str] = field(default_factory=Counter)
    beside: Counter[str] = field(default_factory=Counter)
    converted: list[tuple[str, str, str, str]] = field(default_factory=list)
    strangers: list[tuple[str, str, str]] = field(default_factory=list)
    carried: list[str] = field(default_factory=list)
    dropped: list[tuple[str, Sequence[str]]] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    threads: int = 0
    seconds: float = 0.0

    def set_aside(self, kind: str) -> int:
        """Rows of a kind that have no place."""
        return sum(count for (of, _), count in self.aside.items() if of == kind)
