"""`Conversations`: one conversation after the other, each with its steps in order.

Small conversations are read together, a few hundred steps at a time; of a large one the tree
is read first, and then its steps a few at a time. What is large is told by the number of steps and
by their texts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, exists, func, literal, not_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ...models import elements, feedbacks, steps, threads, users
from ..importing import OurSource
from ..records import Record
from .step_tree import Node, Place, is_wrapper, outline

ROWS = 200
"""Steps that are held at once."""
WEIGHT = 4_000_000
"""Characters of their texts that are held at once; one step may have more."""
_SHOWN = {
    "user": ("id", "identifier", "displayName"),
    "thread": ("id", "createdAt", "updatedAt", "name", "userId", "userIdentifier", "tags"),
    "step": (
        *("threadId", "id", "parentId", "type", "name", "input", "output", "isError"),
        *("createdAt", "start", "end", "showInput", "language", "ordinal"),
    ),
    "element": (
        *("threadId", "id", "forId", "type", "name", "url", "mime", "byteSize", "ordinal"),
    ),
    "feedback": ("threadId", "forId", "id", "value", "comment"),
}
"""The columns that a form shows: others, such as metadata, may be large."""
_THREADS = 100
_FETCH = 1_000


@dataclass(frozen=True, slots=True)
class Entry:
    """A step, and what belongs to it.

    Args:
        step: None: the elements belong to no step that is shown.
        depth: How many steps it is shown in.
        in_tool: Whether one of these is a tool.
        elements: By arrival.
        feedback: For it, or for the run that it ends.
    """

    step: Record | None
    depth: int = 0
    in_tool: bool = False
    elements: Sequence[Record] = ()
    feedback: Sequence[Record] = ()


@dataclass(frozen=True, slots=True)
class Conversation:
    """A thread.

    Args:
        thread: Its row.
        owner: Its user's, where there is one.
        size: How many steps it has.
        entries: Its steps; to be read before the next conversation.
    """

    thread: Record
    owner: Record | None
    size: int
    entries: AsyncIterator[Entry]


class _Size(NamedTuple):
    """How large a conversation is: its steps, and the characters of their texts."""

    steps: int = 0
    weight: int = 0

    @property
    def fits(self) -> bool:
        """Whether it can be held."""
        return self.steps <= ROWS and self.weight <= WEIGHT

    def __add__(self, other: Any) -> _Size:
        return _Size(self.steps + other.steps, self.weight + other.weight)


@dataclass(slots=True)
class _Group:
    """What is read together."""

    ids: list[str] = field(default_factory=list)
    size: _Size = _Size()  # noqa: RUF009 - it does not change


class Conversations:
    """Reads conversations, those that began first at first.

    Args:
        connection: In a transaction that sees one state of the database.
        source: Reads the same database.
        where: Which threads; None: all.

    Example:
        ``async for conversation in Conversations(connection, source).read(): ...``
    """

    def __init__(
        self,
        connection: AsyncConnection,
        source: OurSource,
        where: ColumnElement[bool] | None = None,
    ) -> None:
        self._connection = connection
        self._source = source
        self._where = where

    async def read(self) -> AsyncGenerator[Conversation, None]:
        """All of them; the ids of the threads are held."""
        query = select(threads.c.id).order_by(threads.c.createdAt, threads.c.id)
        if self._where is not None:
            query = query.where(self._where)
        ids = (await self._connection.scalars(query)).all()
        for start in range(0, len(ids), _THREADS):
            async for conversation in self._batch(ids[start : start + _THREADS]):
                yield conversation

    async def _batch(self, ids: Sequence[str]) -> AsyncGenerator[Conversation, None]:
        found = {r.values["id"]: r async for r in self._records("thread", threads.c.id.in_(ids))}
        owner_ids = {r.values["userId"] for r in found.values()} - {None}
        owners = {
            record.values["id"]: record
            async for record in self._records("user", users.c.id.in_(owner_ids))
        }
        sizes = await self._sizes(ids)
        for group in _groups(ids, sizes):
            entries = await (self._small if group.size.fits else self._large)(group.ids)
            for id in group.ids:
                thread = found[id]
                owner = owners.get(thread.values["userId"])
                yield Conversation(thread, owner, sizes.get(id, _Size()).steps, entries[id])

    def _records(self, kind: str, where: ColumnElement[bool]) -> AsyncGenerator[Record, None]:
        return self._source.records(kind, where, only=_SHOWN[kind])

    async def _sizes(self, ids: Sequence[str]) -> Mapping[str, _Size]:
        numbers = func.count().label("number"), func.sum(_weight()).label("weight")
        query = select(steps.c.threadId, *numbers).where(steps.c.threadId.in_(ids))
        rows = await self._connection.execute(query.group_by(steps.c.threadId))
        return {row.threadId: _Size(row.number, int(row.weight)) for row in rows}

    async def _small(self, ids: Sequence[str]) -> Mapping[str, AsyncIterator[Entry]]:
        """All steps of a few threads at once."""
        said: dict[str, list[Record]] = defaultdict(list)
        async for step in self._records("step", steps.c.threadId.in_(ids)):
            said[step.values["threadId"]].append(step)
        files = await self._elements(elements.c.threadId.in_(ids))
        feedback = await self._feedback(ids)
        return {id: _entries_of(said[id], files[id], feedback[id]) for id in ids}

    async def _large(self, ids: Sequence[str]) -> Mapping[str, AsyncIterator[Entry]]:
        """One thread; its steps are read a few at a time."""
        [id] = ids
        feedback = (await self._feedback(ids))[id]
        nodes = await self._nodes(id)
        places = outline(nodes, feedback)
        weights = {node.id: node.weight for node in nodes}
        hidden = weights.keys() - {place.id for place in places}
        parts = _parts(places, weights)
        return {id: self._entries(id, parts, sorted(hidden), feedback)}

    async def _nodes(self, id: str) -> list[Node]:
        async with self._connection.stream(
            _tree().where(steps.c.threadId == id), execution_options={"yield_per": _FETCH}
        ) as rows:
            return [
                Node(
                    row.id,
                    row.parentId,
                    row.type,
                    is_wrapper(row.type, row.name, row.head),
                    bool(row.isError),
                    row.weight,
                )
                async for row in rows
            ]

    async def _entries(
        self,
        id: str,
        parts: Iterable[Sequence[Place]],
        hidden: Sequence[str],
        feedback: Mapping[str, Record],
    ) -> AsyncIterator[Entry]:
        for part in parts:
            ids = [place.id for place in part]
            of_part = and_(steps.c.threadId == id, steps.c.id.in_(ids))
            found = {r.values["id"]: r async for r in self._records("step", of_part)}
            files = await self._elements(and_(elements.c.threadId == id, elements.c.forId.in_(ids)))
            for place in part:
                yield _entry(found[place.id], place, files[id], feedback)
        known = exists().where(steps.c.threadId == id, steps.c.id == elements.c.forId)
        loose = [not_(known)]
        for start in range(0, len(hidden), ROWS):
            loose.append(elements.c.forId.in_(hidden[start : start + ROWS]))
        for where in loose:
            rest = (await self._elements(and_(elements.c.threadId == id, where)))[id]
            if rest:
                yield Entry(None, elements=[e for several in rest.values() for e in several])

    async def _elements(
        self, where: ColumnElement[bool]
    ) -> Mapping[str, Mapping[str | None, list[Record]]]:
        """By thread and step."""
        found = [record async for record in self._records("element", where)]
        found.sort(key=lambda record: (record.values["ordinal"], record.values["id"]))
        files: dict[str, dict[str | None, list[Record]]] = defaultdict(lambda: defaultdict(list))
        for record in found:
            files[record.values["threadId"]][record.values["forId"]].append(record)
        return files

    async def _feedback(self, ids: Sequence[str]) -> Mapping[str, Mapping[str, Record]]:
        found: dict[str, dict[str, Record]] = defaultdict(dict)
        async for record in self._records("feedback", feedbacks.c.threadId.in_(ids)):
            found[record.values["threadId"]][record.values["forId"]] = record
        return found


async def _entries_of(
    said: list[Record],
    files: Mapping[str | None, list[Record]],
    feedback: Mapping[str, Record],
) -> AsyncIterator[Entry]:
    said.sort(key=lambda r: (r.values["createdAt"], r.values["ordinal"], r.values["id"]))
    found = {record.values["id"]: record for record in said}
    places = outline([_node(record) for record in said], feedback)
    for place in places:
        yield _entry(found[place.id], place, files, feedback)
    shown = {place.id for place in places}
    if rest := [e for id, several in files.items() if id not in shown for e in several]:
        yield Entry(None, elements=rest)


def _entry(
    step: Record,
    place: Place,
    files: Mapping[str | None, list[Record]],
    feedback: Mapping[str, Record],
) -> Entry:
    judged = [feedback[id] for id in place.judged if id in feedback]
    return Entry(step, place.depth, place.in_tool, files.get(place.id, ()), judged)


def _node(step: Record) -> Node:
    values = step.values
    empty = is_wrapper(values["type"], values["name"], values["output"])
    return Node(values["id"], values["parentId"], values["type"], empty, bool(values["isError"]))


def _tree() -> Select[Any]:
    head = func.substr(steps.c.output, 1, 1).label("head")
    of_step = steps.c
    names = of_step.id, of_step.parentId, of_step.type, of_step.name, of_step.isError
    query = select(*names, head, _weight().label("weight"))
    return query.order_by(of_step.createdAt, of_step.ordinal, of_step.id)


def _weight() -> ColumnElement[int]:
    """How much text a step has: characters, on MySQL and MariaDB bytes."""
    texts = steps.c.input, steps.c.output
    return sum((func.coalesce(func.length(text), 0) for text in texts), start=literal(0))


def _groups(ids: Sequence[str], sizes: Mapping[str, _Size]) -> list[_Group]:
    """Small neighbours together, a large one alone."""
    groups = [_Group()]
    for id in ids:
        size = sizes.get(id, _Size())
        if groups[-1].ids and not (groups[-1].size + size).fits:
            groups.append(_Group())
        groups[-1].ids.append(id)
        groups[-1].size += size
    return groups


def _parts(places: Sequence[Place], weights: Mapping[str, int]) -> Iterator[Sequence[Place]]:
    """What of a large conversation is held together."""
    part: list[Place] = []
    size = _Size()
    for place in places:
        more = size + _Size(1, weights[place.id])
        if part and not more.fits:
            yield part
            part, more = [], _Size(1, weights[place.id])
        part.append(place)
        size = more
    if part:
        yield part
