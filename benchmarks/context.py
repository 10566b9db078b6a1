"""A run: what was chosen, the databases, and the records that workloads add."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, TypeVar

from rich.progress import Progress

from .contenders import CONTENDERS
from .record import Metric, Record
from .servers import Databases
from .subject import Runner, Subject
from .wire import CountingProxy

R = TypeVar("R")
Figures = dict[str, float]


@dataclass
class Context:
    """What each workload gets.

    Args:
        databases: Where databases are made.
        kinds: ``postgresql``, ``sqlite`` or both: those to be measured.
        rounds: How often each contender has its turn in a case.
        quick: Only see that it works: few and small.
        progress: For progress bars.
        loop: See `Runner`.
        contenders: Only these; empty: all.
        largest: The number of steps to which histories grow.
    """

    databases: Databases
    kinds: Sequence[str]
    rounds: int
    quick: bool
    progress: Progress
    loop: str = "chainlit"
    contenders: Sequence[str] = ()
    largest: int = 1_000_000
    records: list[Record] = field(default_factory=list)

    def field(
        self, kind: str, names: Iterable[str] = CONTENDERS, *, counted: bool = False
    ) -> Field:
        """Open contenders, each on an empty database of its own and in its own process.

        Args:
            kind: ``postgresql`` or ``sqlite``.
            names: Contenders; those that do not know this database are left out.
            counted: Behind proxies that count statements and round trips (PostgreSQL).

        Example:
            >>> async with context.field("sqlite") as field:
            ...     await field.interleave("turn", "later turn", METRICS, later_turn)
        """
        known = [name for name in names if kind in CONTENDERS[name].databases]
        if self.contenders:
            known = [name for name in known if name in self.contenders]
        return Field(self, kind, known, counted)

    def add(self, workload: str, case: str, name: str, kind: str, metric: Metric) -> list[float]:
        """Begin a record and return its values, to be appended to, one a round."""
        values: list[float] = []
        made = Record(workload, case, name, kind, metric.name, metric.unit, metric.more, values)
        self.records.append(made)
        return values


class Field:
    """Contenders side by side on one kind of database; see `Context.field`."""

    def __init__(self, context: Context, kind: str, names: Sequence[str], counted: bool) -> None:
        self.context = context
        self.kind = kind
        self.names = names
        self.runners: dict[str, Runner] = {}
        self.proxies: dict[str, CountingProxy] = {}
        self._counted = counted
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Field:
        try:
            for name in self.names:
                await self._open(name)
            await asyncio.gather(*(runner.call(_nothing) for runner in self.runners.values()))
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def _open(self, name: str) -> None:
        databases = self.context.databases
        place = await asyncio.to_thread(databases.make, CONTENDERS[name], self.kind)
        self._stack.callback(databases.drop, place)
        if self._counted:
            proxy = CountingProxy(*databases.server.address)
            self._stack.callback(proxy.stop)
            self.proxies[name] = proxy
            place = replace(place, url=proxy.url(place.url))
        self.runners[name] = Runner(name, place, self.context.loop)
        self._stack.callback(self.runners[name].stop)

    async def each(self, work: Callable[..., Awaitable[R]], *args: Any) -> dict[str, R]:
        """Run a module's function once on every contender, as to fill its database.

        Args:
            work: An async function that takes a `Subject`, and what follows.
            *args: What follows.

        Returns:
            What it returned, by contender.
        """
        return {name: await runner.call(work, *args) for name, runner in self.runners.items()}

    async def interleave(
        self,
        workload: str,
        case: str,
        metrics: Sequence[Metric],
        work: Callable[..., Awaitable[Figures | None]],
        *args: Any,
        prepare: Callable[..., Awaitable[Any]] | None = None,
        rounds: int | None = None,
        warmups: int = 1,
    ) -> None:
        """Measure the contenders in turn, round by round, and record the figures.

        The order changes from round to round, so that none always comes after the same one.

        Args:
            workload: For the records.
            case: For the records.
            metrics: What of the figures is recorded; one that is missing is left out.
            work: An async function that takes a `Subject`, and what follows; returns figures
                by the names of the metrics, None where the contender cannot do this.
            *args: What follows.
            prepare: Run before each measurement with the same arguments, and not measured.
            rounds: How many; None: as the user said.
            warmups: Rounds before, which are not recorded.
        """
        rounds = rounds or self.context.rounds
        values: dict[tuple[str, str], list[float]] = {}
        progress = self.context.progress
        title = f"{workload}, {self.kind}: {case}"
        bar = progress.add_task(title, total=(rounds + warmups) * len(self.names))
        for number in range(-warmups, rounds):
            start = number % len(self.names)
            for name in [*self.names[start:], *self.names[:start]]:
                if prepare:
                    await self.runners[name].call(prepare, *args)
                figures = await self.measure(name, work, *args)
                progress.advance(bar)
                if number < 0 or figures is None:
                    continue
                for metric in metrics:
                    if metric.name in figures:
                        key = name, metric.name
                        if key not in values:
                            values[key] = self.context.add(workload, case, name, self.kind, metric)
                        values[key].append(figures[metric.name])

    async def measure(
        self, name: str, work: Callable[..., Awaitable[Figures | None]], *args: Any
    ) -> Figures | None:
        """Measure one contender once; behind a proxy, add what the server saw.

        Those figures are ``statements``, ``round trips`` and ``commits``, divided by the
        figure ``operations`` if the function returns one.
        """
        runner = self.runners[name]
        if not self._counted:
            return await runner.call(work, *args)
        proxy, databases = self.proxies[name], self.context.databases
        begun, before = databases.transactions(), proxy.counts
        figures = await runner.call(work, *args)
        after, ended = proxy.counts, databases.transactions()
        if figures is None:
            return None
        operations = figures.get("operations", 1)
        return figures | {
            "statements": (after.statements - before.statements) / operations,
            "round trips": (after.trips - before.trips) / operations,
            "commits": (ended - begun) / operations,
        }


async def _nothing(subject: Subject) -> None:
    """See that the layer can be made."""
