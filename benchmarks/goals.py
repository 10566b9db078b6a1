"""The goals, as data: ratios to another contender in the same run, or bounds of a figure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .contenders import ASYNCPG, LIMIT, OURS, SQLALCHEMY_INDEXED
from .record import Record, Spread, advantage, find, spread

PG, LITE = "postgresql", "sqlite"
LEAK = 5
"""MB that 50,000 writes may add: a step kept in memory would be 25 to 50 MB."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What `contenders.OURS` shall reach.

    Args:
        workload: As in the records.
        database: As in the records.
        case: As in the records.
        metric: As in the records.
        bound: With a reference, how many times better it must be at least; else the figure
            that must not be exceeded.
        reference: The contender to compare with; empty: none.
    """

    workload: str
    database: str
    case: str
    metric: str
    bound: float
    reference: str = ""

    @property
    def text(self) -> str:
        """The goal in words."""
        if not self.reference:
            return f"≤ {self.bound:g}"
        return f"≥ {self.bound:g}× {self.reference}"


GOALS: tuple[Goal, ...] = (
    # A turn of a chat: seven writes.
    Goal("turn", PG, "first turn", "time", 6, ASYNCPG),
    Goal("turn", PG, "later turn", "time", 6, ASYNCPG),
    Goal("turn", PG, "first turn", "stale steps", 0),
    Goal("turn", PG, "later turn", "stale steps", 0),
    Goal("turn", PG, "first turn", "round trips", 4),
    Goal("turn", PG, "later turn", "round trips", 4),
    Goal("turn", PG, "later turn at once", "commits", 1),
    Goal("turn", LITE, "later turn", "time", 15, SQLALCHEMY_INDEXED),
    Goal("turn", LITE, "first turn", "stale steps", 0),
    Goal("turn", LITE, "later turn", "stale steps", 0),
    # Sessions that write at the same time.
    *(
        goal
        for case in ("50 sessions", "200 sessions")
        for goal in (
            Goal("sessions", PG, case, "writes", 8, ASYNCPG),
            Goal("sessions", PG, case, "client CPU", 80),
            Goal("sessions", PG, case, "p99", 8, ASYNCPG),
            Goal("sessions", LITE, case, "writes", 20, SQLALCHEMY_INDEXED),
        )
    ),
    # Who asks.
    Goal("user", PG, "one", "time", 5, ASYNCPG),
    Goal("user", PG, "50 at once", "time", 5, ASYNCPG),
    # A new process.
    Goal("cold", PG, "import to first query", "time", 280),
    Goal("cold", PG, "import to first query", "unwanted modules", 0),
    Goal("cold", LITE, "import to first query", "time", 280),
    Goal("cold", LITE, "import to first query", "unwanted modules", 0),
    # A thread with all its steps.
    Goal("thread", PG, "10 steps", "time", 1.4, ASYNCPG),
    Goal("thread", PG, "100 steps", "time", 1.8, ASYNCPG),
    Goal("thread", PG, "1,000 steps", "time", 1.8, ASYNCPG),
    Goal("thread", PG, "5,000 steps", "time", 1.5, ASYNCPG),
    Goal("thread", PG, "1,000 steps with links", "time", 2.5, ASYNCPG),
    Goal("thread", LITE, "1,000 steps", "time", 2, SQLALCHEMY_INDEXED),
    # The list of threads: at most twice the time of one query.
    *(
        Goal("list", kind, f"{page}, 1,000 threads, {steps} steps", "time", 0.5, LIMIT)
        for kind in (PG, LITE)
        for page in ("first page", "20th page")
        for steps in ("1,000,000", "2,000,000")
    ),
    *(
        Goal("list", kind, f"{page}, 1,000 threads", "exponent", 0.05)
        for kind in (PG, LITE)
        for page in ("first page", "20th page")
    ),
    Goal("list", PG, "first page, 1,000 threads, 2,000,000 steps", "time", 400, ASYNCPG),
    Goal(
        "list", LITE, "first page, 1,000 threads, 1,000,000 steps", "time", 250, SQLALCHEMY_INDEXED
    ),
    # Searching it: everything is found, soon.
    *(
        Goal("search", kind, f"{word}, {threads} threads, 1,000,000 steps", metric, bound)
        for kind in (PG, LITE)
        for word in ("rare", "common", "none")
        for threads in ("1,000", "10,000")
        for metric, bound in (("time", 25), ("missed", 0))
    ),
    # Deleting, and many who resume at once.
    Goal("delete", PG, "1,000 steps, 100 blobs", "time", 35, ASYNCPG),
    Goal("storm", PG, "100 resumes, 50 sessions writing", "read p99", 3, ASYNCPG),
    Goal("storm", PG, "100 resumes, 50 sessions writing", "writes", 8, ASYNCPG),
    # Nothing leaks.
    *(Goal("memory", kind, "second half of 100,000 writes", "growth", LEAK) for kind in (PG, LITE)),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A goal with what was measured; None for both where the run did not measure it."""

    goal: Goal
    found: Spread | None
    met: bool | None


def judge(records: Sequence[Record], goals: Sequence[Goal] = GOALS) -> Iterator[Verdict]:
    """Compare the figures of a run with the goals: medians against bounds.

    Args:
        records: Those of the run.
        goals: The goals.

    Yields:
        A verdict for each goal whose case was measured.
    """
    for goal in goals:
        place = (goal.workload, goal.database, goal.case, goal.metric)
        ours = find(records, OURS, place)
        if ours is None:
            continue
        if not goal.reference:
            found: Spread | None = spread(ours.values)
            met = found is not None and found.median <= goal.bound
        else:
            other = find(records, goal.reference, place)
            found = advantage(ours, other) if other else None
            met = found is not None and found.median >= goal.bound
        yield Verdict(goal, found, met if found else None)


__all__ = ["GOALS", "LIMIT", "Goal", "Verdict", "judge"]
