"""What a measurement leaves behind: records of figures, and ratios between them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Metric:
    """What is measured.

    Args:
        name: Such as ``time``; a goal refers to it.
        unit: Such as ``ms``.
        more: Whether more of it is better.
    """

    name: str
    unit: str
    more: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """One contender's figures in one case: a value for each round.

    The n-th values of all contenders in a case come from the same round, in which they
    were measured one right after the other.

    Args:
        workload: The name of the workload, such as ``turn``.
        case: What was done, such as ``first turn``.
        contender: A name of `contenders.CONTENDERS`.
        database: ``postgresql`` or ``sqlite``; empty where none is involved.
        metric: The name of the metric.
        unit: Its unit.
        more: Whether more of it is better.
        values: One a round.
    """

    workload: str
    case: str
    contender: str
    database: str
    metric: str
    unit: str
    more: bool
    values: list[float]

    @property
    def place(self) -> tuple[str, str, str, str]:
        """What the records of all contenders in the same measurement have in common."""
        return self.workload, self.database, self.case, self.metric

    def to_dict(self) -> dict[str, Any]:
        """Give the record as JSON has it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Spread:
    """A median with the quartiles around it."""

    low: float
    median: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Find the median and the quartiles.

    Args:
        values: At least one.

    Example:
        >>> spread([1.0, 2.0, 3.0, 4.0, 5.0])
        Spread(low=2.0, median=3.0, high=4.0)
    """
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(low, median, high)


def advantage(record: Record, reference: Record) -> Spread | None:
    """Find how many times better one contender is than another: the median of the rounds' ratios.

    Ratios are made round by round, so that what slows the whole machine down for a while
    cancels out.

    Args:
        record: The contender.
        reference: The other one.

    Returns:
        The ratios' spread, above 1 where the contender is better; None where there is
        nothing to divide by in any round.

    Example:
        >>> advantage(ours, theirs)  # with times of 1, 2 and of 4, 6
        Spread(low=3.25, median=3.5, high=3.75)
    """
    pairs = zip(record.values, reference.values, strict=False)
    better, worse = [], []
    for mine, other in pairs:
        better.append(mine if record.more else other)
        worse.append(other if record.more else mine)
    ratios = [high / low for high, low in zip(better, worse, strict=True) if low]
    return spread(ratios) if ratios else None


def find(
    records: Iterable[Record], contender: str, place: tuple[str, str, str, str]
) -> Record | None:
    """Find the record of a contender in a place."""
    for record in records:
        if record.contender == contender and record.place == place:
            return record
    return None
