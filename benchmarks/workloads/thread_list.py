"""The list of a user's threads, and searching it, while the tables grow.

The histories are filled once and grow step by step, so both are measured on them.
"""

from __future__ import annotations

from collections.abc import Sequence

from .. import pages
from ..contenders import LIMIT
from ..context import Context, Field, Figures
from ..fill import Histories
from ..history import GROUPS, STEPS, WORDS, hits
from ..record import Metric
from ..subject import Subject

TIME = Metric("time", "ms")
MISSED = Metric("missed", "%")
EXPONENT = Metric("exponent", "")
PAGES = {"first page": 1, "20th page": 20}

_LARGE = 100_000
_ROUNDS_IF_LARGE = 5


async def run(context: Context) -> None:
    """Measure all contenders on both kinds of database."""
    for kind in context.kinds:
        async with context.field(kind) as field:
            histories = Histories(field)
            for steps in pages.sizes(context.largest):
                await histories.grow(steps)
                await _list(field, steps)
                await _search(field, steps)
            _add_exponents(context, kind)


async def _list(field: Field, steps: int) -> None:
    for user, threads in _users(steps):
        for title, number in PAGES.items():
            if threads < number * pages.LENGTH:
                continue
            await field.each(find_place, user, number)
            case = f"{title}, {threads:,} threads, {steps:,} steps"
            rounds = _rounds(field, steps)
            await field.interleave("list", case, [TIME], read_page, user, rounds=rounds)


async def _search(field: Field, steps: int) -> None:
    for user, threads in _users(steps)[-2:]:
        for title, word in WORDS.items():
            case = f"{title}, {threads:,} threads, {steps:,} steps"
            truth = hits(user, word, steps // STEPS)
            await field.each(find_all, user, word, truth)
            rounds = _rounds(field, steps)
            await field.interleave(
                "search", case, [TIME, MISSED], search_page, user, word, rounds=rounds
            )


async def find_place(subject: Subject, user: int, number: int) -> None:
    """Walk to a page, as the user has by then."""
    subject.kept["cursor"] = await pages.cursor_before(subject.layer, user, number)


async def read_page(subject: Subject, user: int) -> Figures:
    """Read the page."""
    return {"time": await pages.timed(subject.layer, user, cursor=subject.kept["cursor"])}


async def find_all(subject: Subject, user: int, word: str, truth: set[str]) -> None:
    """Compare all that a search finds with what it should: what is missing or wrong."""
    if subject.name == LIMIT:
        return  # It does not search.
    found = await pages.found_threads(subject.layer, user, word)
    subject.kept["missed"] = 100 * len(found ^ truth) / max(len(truth), 1)


async def search_page(subject: Subject, user: int, word: str) -> Figures:
    """Search, and show the first page."""
    if subject.name == LIMIT:
        return {}
    seconds = await pages.timed(subject.layer, user, cursor=None, search=word)
    return {"time": seconds, "missed": subject.kept["missed"]}


def _users(steps: int) -> Sequence[tuple[int, int]]:
    """The users whose threads are all there: their numbers, and how many they have."""
    return [(user, group.user) for user, group in enumerate(GROUPS) if group.end * STEPS <= steps]


def _rounds(field: Field, steps: int) -> int:
    """Fewer rounds where some of the others take a second for a page."""
    return min(field.context.rounds, _ROUNDS_IF_LARGE) if steps > _LARGE else field.context.rounds


def _add_exponents(context: Context, kind: str) -> None:
    """Record how the time of a page grows with the number of steps in the table."""
    times: dict[tuple[str, str], dict[int, list[float]]] = {}
    for record in context.records:
        if (record.workload, record.database) == ("list", kind):
            case, _, steps = record.case.rpartition(", ")
            size = int(steps.split()[0].replace(",", ""))
            times.setdefault((case, record.contender), {})[size] = record.values
    for (case, name), by_size in times.items():
        if len(by_size) > 1:
            values = context.add("list", case, name, kind, EXPONENT)
            for round_ in zip(*by_size.values(), strict=False):
                values.append(pages.exponent(dict(zip(by_size, round_, strict=True))))
