"""Reads conversations for transcripts, each with its steps in display order.

Chainlit stores a tree: a run below the message that it answers, tools and answers below the run.
The tree is read first (ids and parents) and put in order, then the steps in portions, so that
memory does not grow with the texts.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Container,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ...models import elements, feedbacks, steps, threads, users
from ..records import Record
from ..sources import NativeSource

T = TypeVar("T")
Write = Callable[[bytes], object]
"""Writes bytes to the output."""

MESSAGE_TYPES = frozenset({"user_message", "assistant_message", "system_message"})
MAX_STEPS = 200
"""Steps that are held in memory together."""
_MAX_CHARACTERS = 4_000_000  # Of their texts; a single step may have more.
_MAX_NODES = 20_000  # Steps whose ids are held together; a single conversation may have more.
_THREADS_PER_QUERY = 100
_ROWS_PER_FETCH = 1_000
_ANSWER = "assistant_message"
_WRAPPERS = frozenset({"on_chat_start", "on_message", "on_audio_end"})

# Columns that transcripts show: others, such as metadata, may be large.
_COLUMNS = {
    "user": ("id", "identifier", "displayName"),
    "thread": ("id", "createdAt", "updatedAt", "name", "userId", "userIdentifier", "tags"),
    "step": (
        *("threadId", "id", "type", "name", "input", "output", "isError"),
        *("createdAt", "start", "end", "showInput", "language"),
    ),
    "element": (
        *("threadId", "id", "forId", "type", "name", "url", "mime", "byteSize", "ordinal"),
    ),
    "feedback": ("threadId", "forId", "id", "value", "comment"),
}

_Elements = dict[str | None, list[Record]]
_Feedback = dict[str, Record]


@dataclass(frozen=True, slots=True)
class TranscriptEntry:
    """A step with its elements, and the feedback for it or for the run that it ends.

    Without a step, the elements belong to no step that is shown. See `StepPosition`.
    """

    step: Record | None
    depth: int = 0
    in_tool: bool = False
    elements: Sequence[Record] = ()
    feedback: Sequence[Record] = ()


@dataclass(frozen=True, slots=True)
class Conversation:
    """A thread with its owner; its entries must be read before the next conversation."""

    thread: Record
    owner: Record | None
    entries: AsyncIterator[TranscriptEntry]


class Document:
    """A file of conversations that is written step by step."""

    def __init__(self, write: Write) -> None:
        self._write = write

    def _text(self, text: str) -> None:
        # UTF-8 cannot encode half a surrogate pair, which Python may hold.
        self._write(text.encode("utf-8", "replace"))

    def begin(self, count: int) -> None:
        """Write what stands before the conversations."""

    async def add(self, conversation: Conversation) -> bool:
        """Write a conversation; False: the format leaves it out."""
        raise NotImplementedError

    def end(self) -> None:
        """Write what stands after all conversations."""


class ConversationReader:
    """Reads selected conversations, or all, in the order in which they began.

    `report` receives the number of steps that were read since its last call.
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
            ids = thread_ids[start : start + _THREADS_PER_QUERY]
            counting = select(steps.c.threadId, func.count()).where(steps.c.threadId.in_(ids))
            rows = await self._connection.execute(counting.group_by(steps.c.threadId))
            counts = Counter({row[0]: row[1] for row in rows})
            for group in _portions(ids, counts.__getitem__, _MAX_NODES):
                async for conversation in self._group(group):
                    yield conversation

    async def _group(self, ids: Sequence[str]) -> AsyncGenerator[Conversation, None]:
        """Read a few threads together; their steps are read while the entries are."""
        thread_rows = await self._by_id("thread", threads.c.id.in_(ids))
        owner_ids = {row.values["userId"] for row in thread_rows.values()} - {None}
        owners = await self._by_id("user", users.c.id.in_(owner_ids))
        step_elements = await self._elements(ids)
        feedback: dict[str, _Feedback] = defaultdict(dict)
        async for record in self._records("feedback", feedbacks.c.threadId.in_(ids)):
            feedback[record.values["threadId"]][record.values["forId"]] = record
        nodes = await self._nodes(ids)
        positions = {id: order_steps(nodes[id], feedback[id]) for id in ids}
        characters = {(id, node.id): node.characters for id in ids for node in nodes[id]}
        keys = [(id, position.id) for id in ids for position in positions[id]]
        step_rows = self._steps(keys, characters)
        for id in ids:
            entries = _entries(positions[id], step_rows, step_elements[id], feedback[id])
            owner = owners.get(thread_rows[id].values["userId"])
            yield Conversation(thread_rows[id], owner, entries)

    def _records(self, kind: str, where: ColumnElement[bool]) -> AsyncGenerator[Record, None]:
        return self._source.records(kind, where, only=_COLUMNS[kind])

    async def _by_id(self, kind: str, where: ColumnElement[bool]) -> Mapping[str, Record]:
        return {record.values["id"]: record async for record in self._records(kind, where)}

    async def _nodes(self, ids: Sequence[str]) -> Mapping[str, list[StepNode]]:
        columns = steps.c
        texts = columns.input, columns.output
        # In characters, on MySQL and MariaDB in bytes.
        lengths = [func.coalesce(func.length(text), 0) for text in texts]
        query = select(
            *(columns.threadId, columns.id, columns.parentId, columns.type, columns.name),
            *(func.substr(columns.output, 1, 1), columns.isError, lengths[0] + lengths[1]),
        )
        query = query.where(columns.threadId.in_(ids))
        query = query.order_by(columns.createdAt, columns.ordinal, columns.id)
        nodes: dict[str, list[StepNode]] = defaultdict(list)
        options = {"yield_per": _ROWS_PER_FETCH}
        async with self._connection.stream(query, execution_options=options) as rows:
            async for row in rows:
                thread_id, id, parent_id, type_, name, first_character, is_error, size = row
                is_wrapper = type_ == "run" and name in _WRAPPERS and not first_character
                node = StepNode(id, parent_id, type_, is_wrapper, bool(is_error), size)
                nodes[thread_id].append(node)
        return nodes

    async def _steps(
        self, keys: Iterable[tuple[str, str]], characters: Mapping[tuple[str, str], int]
    ) -> AsyncGenerator[Record, None]:

        def size(key: tuple[str, str]) -> int:
            return characters[key] + _MAX_CHARACTERS // MAX_STEPS

        for portion in _portions(keys, size, _MAX_CHARACTERS):
            in_threads = steps.c.threadId.in_({thread_id for thread_id, _ in portion})
            ids = {id for _, id in portion}
            records = self._records("step", and_(in_threads, steps.c.id.in_(ids)))
            step_rows = {record.key[1:]: record async for record in records}
            self._report(len(portion))
            for key in portion:
                yield step_rows[key]

    async def _elements(self, ids: Sequence[str]) -> Mapping[str, _Elements]:
        """Read elements by thread and step, in the order of their arrival."""
        records = [r async for r in self._records("element", elements.c.threadId.in_(ids))]
        records.sort(key=lambda record: (record.values["ordinal"], record.values["id"]))
        grouped: dict[str, _Elements] = defaultdict(lambda: defaultdict(list))
        for record in records:
            grouped[record.values["threadId"]][record.values["forId"]].append(record)
        return grouped


async def _entries(
    positions: Iterable[StepPosition],
    step_rows: AsyncIterator[Record],
    step_elements: _Elements,
    feedback: _Feedback,
) -> AsyncIterator[TranscriptEntry]:
    for position in positions:
        step = await anext(step_rows)
        own_elements = step_elements.pop(position.id, [])
        own_feedback = [feedback[id] for id in position.feedback_ids if id in feedback]
        yield TranscriptEntry(step, position.depth, position.in_tool, own_elements, own_feedback)
    if step_elements:
        groups = step_elements.values()
        yield TranscriptEntry(None, elements=[element for group in groups for element in group])


def _portions(items: Iterable[T], size_of: Callable[[T], int], limit: int) -> Iterator[list[T]]:
    """Cut a sequence into portions of a total size; an item that is too large stands alone."""
    portion: list[T] = []
    total = 0
    for item in items:
        size = size_of(item)
        if portion and total + size > limit:
            yield portion
            portion, total = [], 0
        portion.append(item)
        total += size
    if portion:
        yield portion


def message_text(step: Record) -> str:
    """The text of a message; early releases of Chainlit stored it as the input."""
    return str(step.values["output"] or step.values["input"] or "")


def thumb(feedback: Record) -> str:
    """``up`` or ``down``."""
    return "up" if feedback.values["value"] > 0 else "down"


class StepNode(NamedTuple):
    """What the order of a step depends on, and the length of its texts.

    A wrapper is a run around the application's functions that has no output: it is not shown.
    """

    id: str
    parent_id: str | None
    type: str
    is_wrapper: bool
    is_error: bool = False
    characters: int = 0


class StepPosition(NamedTuple):
    """Where a step is shown: inside how many steps (0 for messages), and whether one is a tool.

    Its feedback is its own and that of the runs that end with it, since Chainlit stores feedback
    for an answer at its run.
    """

    id: str
    depth: int
    in_tool: bool
    feedback_ids: tuple[str, ...]


def order_steps(nodes: Sequence[StepNode], rated: Container[str] = ()) -> list[StepPosition]:
    """Put the steps that are shown in order: children after their parent, else by time.

    A step inside itself or inside a step that does not exist is shown at the top level. Wrappers
    are shown only where feedback (`rated`) needs them.
    """
    visits = list(_walk(nodes))
    last_answers: dict[str, str] = {}
    for node, _, _, run_id in visits:
        if node.type == _ANSWER and run_id is not None:
            if node.is_error and run_id in last_answers:
                continue  # An error ends a run only where it has no other answer.
            last_answers[run_id] = node.id
    rated_runs: dict[str, list[str]] = defaultdict(list)
    for run_id, answer_id in last_answers.items():
        if run_id in rated:
            rated_runs[answer_id].append(run_id)
    positions = []
    for node, depth, in_tool, _ in visits:
        is_answered_run = node.id in last_answers
        if node.is_wrapper and (is_answered_run or node.id not in rated):
            continue
        own = () if is_answered_run else (node.id,)
        shown_depth = 0 if node.type in MESSAGE_TYPES else depth
        feedback_ids = (*own, *rated_runs.get(node.id, ()))
        positions.append(StepPosition(node.id, shown_depth, in_tool, feedback_ids))
    return positions


_Visit = tuple[StepNode, int, bool, str | None]


def _walk(nodes: Sequence[StepNode]) -> Iterator[_Visit]:
    """Yield each node with its depth, whether it is inside a tool, and its innermost run."""
    children: dict[str, list[StepNode]] = {}
    ids = {node.id for node in nodes}
    roots = []
    for node in nodes:
        if node.parent_id and node.parent_id in ids and node.parent_id != node.id:
            children.setdefault(node.parent_id, []).append(node)
        else:
            roots.append(node)
    visited: set[str] = set()
    for start in (*roots, *nodes):  # The nodes after the roots: cycles are reached from no root.
        stack: list[_Visit] = [(start, 0, False, None)]
        while stack:
            node, depth, in_tool, run_id = visit = stack.pop()
            if node.id in visited:
                continue
            visited.add(node.id)
            yield visit
            inner_depth = depth if node.is_wrapper or node.type in MESSAGE_TYPES else depth + 1
            inside_tool = in_tool or node.type == "tool"
            inner_run = node.id if node.type == "run" else run_id
            stack += [
                (child, inner_depth, inside_tool, inner_run)
                for child in reversed(children.get(node.id, ()))
            ]
