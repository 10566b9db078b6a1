"""Reads conversations for transcripts, each with its steps in display order.

Small conversations are read together, a few hundred steps per query. Of a large one, the tree of
ids is read first and the steps after it in portions, so that memory does not grow with the texts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, and_, exists, func, literal, not_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ...models import elements, feedbacks, steps, threads, users
from ..records import Record
from ..sources import NativeSource
from .step_tree import StepNode, StepPosition, is_wrapper, order_steps

T = TypeVar("T")

MAX_STEPS = 200
"""Steps that are held in memory together."""
MAX_CHARACTERS = 4_000_000
"""Characters of their texts that are held together; a single step may have more."""

# Columns that transcripts show: others, such as metadata, may be large.
_COLUMNS = {
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
_THREADS_PER_QUERY = 100
_ROWS_PER_FETCH = 1_000

_Elements = Mapping[str | None, Sequence[Record]]
_Feedback = Mapping[str, Record]


@dataclass(frozen=True, slots=True)
class TranscriptEntry:
    """A step with the elements and the feedback that are shown with it.

    Args:
        step: The step; None: the elements belong to no step that is shown.
        depth: The number of steps that it is shown inside of.
        in_tool: Whether one of these is a tool.
        elements: The step's elements in the order of their arrival.
        feedback: The feedback for the step, or for the run that it ends.
    """

    step: Record | None
    depth: int = 0
    in_tool: bool = False
    elements: Sequence[Record] = ()
    feedback: Sequence[Record] = ()


@dataclass(frozen=True, slots=True)
class Conversation:
    """A thread with its owner and its entries.

    Args:
        thread: The thread's row.
        owner: The row of its user, if it has one.
        entries: Its steps; must be read before the next conversation.
    """

    thread: Record
    owner: Record | None
    entries: AsyncIterator[TranscriptEntry]


class _Size(NamedTuple):
    """The number of steps, and of characters in their texts."""

    steps: int = 0
    characters: int = 0

    @property
    def fits(self) -> bool:
        """Whether this much can be held in memory."""
        return self.steps <= MAX_STEPS and self.characters <= MAX_CHARACTERS

    def __add__(self, other: Any) -> _Size:
        return _Size(self.steps + other.steps, self.characters + other.characters)


class ConversationReader:
    """Reads conversations in the order in which they began.

    Args:
        connection: In a transaction that sees one state of the database.
        source: Reads the same database.
        where: Selects rows of ``threads``; None: all.
        report: Receives the number of steps that were read since its last call.

    Example:
        ``async for conversation in ConversationReader(connection, source).read(): ...``
    """

    def __init__(
        self,
        connection: AsyncConnection,
        source: NativeSource,
        where: ColumnElement[bool] | None = None,
        report: Callable[[int], object] = bool,
    ) -> None:
        self._connection = connection
        self._source = source
        self._where = where
        self._report = report

    async def read(self) -> AsyncGenerator[Conversation, None]:
        """Yield all selected conversations; their ids are held in memory."""
        query = select(threads.c.id).order_by(threads.c.createdAt, threads.c.id)
        if self._where is not None:
            query = query.where(self._where)
        thread_ids = (await self._connection.scalars(query)).all()
        for start in range(0, len(thread_ids), _THREADS_PER_QUERY):
            async for conversation in self._batch(thread_ids[start : start + _THREADS_PER_QUERY]):
                yield conversation

    async def _batch(self, ids: Sequence[str]) -> AsyncGenerator[Conversation, None]:
        thread_rows = await self._by_id("thread", threads.c.id.in_(ids))
        owner_ids = {row.values["userId"] for row in thread_rows.values()} - {None}
        owners = await self._by_id("user", users.c.id.in_(owner_ids))
        sizes = await self._sizes(ids)
        for group in _portions(ids, sizes.__getitem__):
            feedback = await self._feedback(group)
            if sizes[group[0]].fits:
                entries = await self._small(group, feedback)
            else:
                entries = {group[0]: await self._large(group[0], feedback[group[0]])}
            for id in group:
                owner = owners.get(thread_rows[id].values["userId"])
                yield Conversation(thread_rows[id], owner, entries[id])

    def _records(self, kind: str, where: ColumnElement[bool]) -> AsyncGenerator[Record, None]:
        return self._source.records(kind, where, only=_COLUMNS[kind])

    async def _by_id(self, kind: str, where: ColumnElement[bool]) -> Mapping[str, Record]:
        return {record.values["id"]: record async for record in self._records(kind, where)}

    async def _sizes(self, ids: Sequence[str]) -> Mapping[str, _Size]:
        sums = func.count().label("steps"), func.sum(_characters()).label("characters")
        query = select(steps.c.threadId, *sums).where(steps.c.threadId.in_(ids))
        rows = await self._connection.execute(query.group_by(steps.c.threadId))
        sizes = {row.threadId: _Size(row.steps, int(row.characters)) for row in rows}
        return dict.fromkeys(ids, _Size()) | sizes

    async def _small(
        self, ids: Sequence[str], feedback: Mapping[str, _Feedback]
    ) -> Mapping[str, AsyncIterator[TranscriptEntry]]:
        """Read all steps of a few threads together."""
        thread_steps: dict[str, list[Record]] = defaultdict(list)
        async for step in self._records("step", steps.c.threadId.in_(ids)):
            thread_steps[step.values["threadId"]].append(step)
        step_elements = await self._elements(elements.c.threadId.in_(ids))
        self._report(sum(map(len, thread_steps.values())))
        return {id: _small_entries(thread_steps[id], step_elements[id], feedback[id]) for id in ids}

    async def _large(self, id: str, feedback: _Feedback) -> AsyncIterator[TranscriptEntry]:
        """Read the tree of one thread; the iterator reads its steps in portions."""
        nodes = await self._nodes(id)
        positions = order_steps(nodes, feedback)
        sizes = {node.id: _Size(1, node.characters) for node in nodes}
        portions = _portions(positions, lambda position: sizes[position.id])
        hidden_ids = sorted(sizes.keys() - {position.id for position in positions})
        return self._large_entries(id, portions, hidden_ids, feedback)

    async def _nodes(self, id: str) -> list[StepNode]:
        columns = steps.c
        first_character = func.substr(columns.output, 1, 1).label("first_character")
        query = (
            select(
                *(columns.id, columns.parentId, columns.type, columns.name, columns.isError),
                *(first_character, _characters().label("characters")),
            )
            .where(columns.threadId == id)
            .order_by(columns.createdAt, columns.ordinal, columns.id)
        )
        options = {"yield_per": _ROWS_PER_FETCH}
        async with self._connection.stream(query, execution_options=options) as rows:
            return [
                StepNode(
                    row.id,
                    row.parentId,
                    row.type,
                    is_wrapper(row.type, row.name, row.first_character),
                    bool(row.isError),
                    row.characters,
                )
                async for row in rows
            ]

    async def _large_entries(
        self,
        id: str,
        portions: Iterable[Sequence[StepPosition]],
        hidden_ids: Sequence[str],
        feedback: _Feedback,
    ) -> AsyncIterator[TranscriptEntry]:
        in_thread = elements.c.threadId == id
        for portion in portions:
            ids = [position.id for position in portion]
            step_rows = await self._by_id("step", and_(steps.c.threadId == id, steps.c.id.in_(ids)))
            step_elements = await self._elements(and_(in_thread, elements.c.forId.in_(ids)))
            for position in portion:
                yield _entry(step_rows[position.id], position, step_elements[id], feedback)
            self._report(len(portion))
        has_step = exists().where(steps.c.threadId == id, steps.c.id == elements.c.forId)
        conditions = [not_(has_step)]
        for start in range(0, len(hidden_ids), MAX_STEPS):
            conditions.append(elements.c.forId.in_(hidden_ids[start : start + MAX_STEPS]))
        for condition in conditions:
            others = (await self._elements(and_(in_thread, condition)))[id]
            if others:
                yield _entry_without_step(others, ())

    async def _elements(self, where: ColumnElement[bool]) -> Mapping[str, _Elements]:
        """Read elements by thread and step, in the order of their arrival."""
        records = [record async for record in self._records("element", where)]
        records.sort(key=lambda record: (record.values["ordinal"], record.values["id"]))
        grouped: dict[str, dict[str | None, list[Record]]] = defaultdict(lambda: defaultdict(list))
        for record in records:
            grouped[record.values["threadId"]][record.values["forId"]].append(record)
        return grouped

    async def _feedback(self, ids: Sequence[str]) -> Mapping[str, _Feedback]:
        """Read feedback by thread and step."""
        grouped: dict[str, dict[str, Record]] = defaultdict(dict)
        async for record in self._records("feedback", feedbacks.c.threadId.in_(ids)):
            grouped[record.values["threadId"]][record.values["forId"]] = record
        return grouped


async def _small_entries(
    step_rows: list[Record], step_elements: _Elements, feedback: _Feedback
) -> AsyncIterator[TranscriptEntry]:
    step_rows.sort(key=lambda r: (r.values["createdAt"], r.values["ordinal"], r.values["id"]))
    by_id = {record.values["id"]: record for record in step_rows}
    positions = order_steps([_node(record) for record in step_rows], feedback)
    for position in positions:
        yield _entry(by_id[position.id], position, step_elements, feedback)
    entry = _entry_without_step(step_elements, {position.id for position in positions})
    if entry.elements:
        yield entry


def _entry(
    step: Record, position: StepPosition, step_elements: _Elements, feedback: _Feedback
) -> TranscriptEntry:
    of_step = [feedback[id] for id in position.feedback_ids if id in feedback]
    own_elements = step_elements.get(position.id, ())
    return TranscriptEntry(step, position.depth, position.in_tool, own_elements, of_step)


def _entry_without_step(step_elements: _Elements, shown_ids: Iterable[str]) -> TranscriptEntry:
    shown = set(shown_ids)
    groups = (group for id, group in step_elements.items() if id not in shown)
    return TranscriptEntry(None, elements=[element for group in groups for element in group])


def _node(step: Record) -> StepNode:
    values = step.values
    wrapper = is_wrapper(values["type"], values["name"], values["output"])
    return StepNode(
        values["id"], values["parentId"], values["type"], wrapper, bool(values["isError"])
    )


def _characters() -> ColumnElement[int]:
    """The length of a step's texts: in characters, on MySQL and MariaDB in bytes."""
    texts = steps.c.input, steps.c.output
    return sum((func.coalesce(func.length(text), 0) for text in texts), start=literal(0))


def _portions(items: Iterable[T], size_of: Callable[[T], _Size]) -> Iterable[list[T]]:
    """Cut a sequence into portions that fit in memory; an item that is too large stands alone."""
    portion: list[T] = []
    total = _Size()
    for item in items:
        size = size_of(item)
        if portion and not (total + size).fits:
            yield portion
            portion, total = [], _Size()
        portion.append(item)
        total += size
    if portion:
        yield portion
