"""The rows of a conversation in the tables of each layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from .contenders import ASYNCPG, SQLALCHEMY
from .history import Step, Talk, identity, user_id

Row = tuple[Any, ...]
Rows = dict[str, list[Row]]

_BLOB_SIZE = 4_096


@dataclass(frozen=True, slots=True)
class Shape:
    """One layer's tables on one kind of database.

    Args:
        columns: The tables in the order in which they are filled, with the columns that are
            given.
        user: Makes the row of a user of this number.
        thread: Makes a row.
        step: Makes a row.
        element: Makes a row of the element of this number, for the step of this id.
    """

    columns: dict[str, tuple[str, ...]]
    user: Callable[[int], Row]
    thread: Callable[[Talk], Row]
    step: Callable[[Talk, Step], Row]
    element: Callable[[Talk, int, Step], Row]

    @property
    def tables(self) -> list[str]:
        """The names of the tables of users, threads, steps and elements."""
        return list(self.columns)

    def users(self, numbers: Iterable[int]) -> list[Row]:
        """The rows of users."""
        return [self.user(number) for number in numbers]

    def rows(self, talks: Iterable[Talk]) -> Rows:
        """All rows of conversations, by table."""
        threads: list[Row] = []
        steps: list[Row] = []
        elements: list[Row] = []
        for talk in talks:
            threads.append(self.thread(talk))
            every = talk.steps // talk.elements if talk.elements else 0
            for step in talk.all_steps():
                steps.append(self.step(talk, step))
                if every and step.number % every == 0 and step.number // every < talk.elements:
                    elements.append(self.element(talk, step.number // every, step))
        return dict(zip(self.tables[1:], (threads, steps, elements), strict=True))


def shape_of(contender: str, database: str) -> Shape:
    """Give the shape of a contender's tables.

    Args:
        contender: A name of `contenders.CONTENDERS`.
        database: ``postgresql`` or ``sqlite``.
    """
    sqlite = database == "sqlite"
    if contender.startswith(ASYNCPG):
        return prisma()
    return (sqlalchemy if contender.startswith(SQLALCHEMY) else ours)(sqlite=sqlite)


def object_key(talk: Talk, number: int) -> str:
    """The key of the blob of an element."""
    return f"{user_id(talk.user)}/{identity('element', talk.number, number)}/report-{number}.pdf"


def ours(*, sqlite: bool) -> Shape:
    """The tables of this project."""
    instant = _fixed_width if sqlite else _as_it_is

    def user(number: int) -> Row:
        return user_id(number), f"user-{number}", "{}", instant(datetime(2023, 1, 1, tzinfo=UTC))

    def thread(talk: Talk) -> Row:
        user = talk.user
        began, ended = instant(talk.began), instant(talk.ended)
        return talk.id, began, ended, talk.title, user_id(user), f"user-{user}", "{}"

    def step(talk: Talk, s: Step) -> Row:
        at = instant(s.at)
        mine = (talk.id, s.id, s.name, s.type, s.parent, False, False, "{}", s.input, s.output)
        return *mine, at, at, at, _shown(s, '"json"', "false"), _ordinal(talk, s.number)

    def element(talk: Talk, number: int, s: Step) -> Row:
        id, name = identity("element", talk.number, number), f"report-{number}.pdf"
        key = object_key(talk, number)
        mine = (talk.id, id, "file", key, name, "inline", _BLOB_SIZE, s.id, "application/pdf")
        return *mine, instant(s.at), _ordinal(talk, number)

    columns = {
        "users": "id identifier metadata createdAt",
        "threads": "id createdAt updatedAt name userId userIdentifier metadata",
        "steps": "threadId id name type parentId streaming isError metadata input output "
        "createdAt start end showInput ordinal",
        "elements": "threadId id type objectKey name display byteSize forId mime createdAt ordinal",
    }
    return Shape(_split(columns), user, thread, step, element)


def sqlalchemy(*, sqlite: bool) -> Shape:
    """The tables of Chainlit's SQLAlchemy layer, as its documentation has them."""
    tags: Any = None if sqlite else []

    def user(number: int) -> Row:
        return user_id(number), f"user-{number}", "{}", _iso(datetime(2023, 1, 1, tzinfo=UTC))

    def thread(talk: Talk) -> Row:
        user = talk.user
        return talk.id, _iso(talk.began), talk.title, user_id(user), f"user-{user}", tags, "{}"

    def step(talk: Talk, s: Step) -> Row:
        at = _iso(s.at)
        mine = (s.id, s.name, s.type, talk.id, s.parent, False, False, "{}", s.input, s.output)
        return *mine, at, at, at, "{}", _shown(s, "json", "false")

    def element(talk: Talk, number: int, s: Step) -> Row:
        id, name = identity("element", talk.number, number), f"report-{number}.pdf"
        key = object_key(talk, number)
        return id, talk.id, "file", name, "inline", key, s.id, "application/pdf", "{}"

    columns = {
        "users": "id identifier metadata createdAt",
        "threads": "id createdAt name userId userIdentifier tags metadata",
        "steps": "id name type threadId parentId streaming isError metadata input output "
        "createdAt start end generation showInput",
        "elements": "id threadId type name display objectKey forId mime props",
    }
    return Shape(_split(columns), user, thread, step, element)


def prisma() -> Shape:
    """The tables of Chainlit's asyncpg layer."""

    def user(number: int) -> Row:
        return user_id(number), f"user-{number}", "{}"

    def thread(talk: Talk) -> Row:
        # It cuts a title to 255 characters.
        times = _naive(talk.began), _naive(talk.ended)
        return talk.id, *times, talk.title[:255], user_id(talk.user), "{}"

    def step(talk: Talk, s: Step) -> Row:
        at = _naive(s.at)
        mine = (s.id, talk.id, s.parent, s.input, "{}", s.name, s.output, s.type)
        return *mine, at, at, at, at, _shown(s, "json", "false"), False

    def element(talk: Talk, number: int, s: Step) -> Row:
        id, name = identity("element", talk.number, number), f"report-{number}.pdf"
        key = object_key(talk, number)
        about = '{"type": "file", "display": "inline"}'
        return id, talk.id, s.id, about, "application/pdf", name, key, "inline", "{}"

    columns = {
        "User": "id identifier metadata",
        "Thread": "id createdAt updatedAt name userId metadata",
        "Step": "id threadId parentId input metadata name output type "
        "startTime endTime createdAt updatedAt showInput isError",
        "Element": "id threadId stepId metadata mime name objectKey display props",
    }
    return Shape(_split(columns), user, thread, step, element)


def _split(columns: dict[str, str]) -> dict[str, tuple[str, ...]]:
    return {table: tuple(names.split()) for table, names in columns.items()}


def _ordinal(talk: Talk, number: int) -> int:
    return talk.number * 100_000 + number


def _shown(step: Step, yes: str, no: str) -> str:
    return yes if step.type == "tool" else no


def _as_it_is(at: datetime) -> Any:
    return at


def _fixed_width(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S.%f}Z"


def _iso(at: datetime) -> str:
    return at.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _naive(at: datetime) -> datetime:
    return at.replace(tzinfo=None)
