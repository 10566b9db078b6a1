"""Lanes: which operations of the write queue may be executed next; without I/O.

A lane is a thread, or the user or the id of an operation without a thread. Invariants:

1. Operations of a lane are executed in the order in which they were queued.
2. An operation follows earlier ones of other lanes that it depends on: a deletion by id follows
   saves with this id and what refers to it, these follow the deletion, and a thread's new owner
   follows the login of that user. It is taken once they are over, or after them in one batch.
3. Lanes take turns, a few operations at a time, so that a turn of a chat stays together. One lane
   has a limited share of a batch, so that whoever comes next waits for a short batch.
4. A batch has at most a number of operations and of bytes; one larger operation is a batch by
   itself. No smaller operation overtakes one for which a batch has no room left.
5. The operations of a held lane stay where they are, and so does what depends on them.
6. The cost of an operation does not depend on how many are queued: a lane that waits for another
   one leaves the turns until that one wakes it. Only the first of the deletions by id that are
   queued looks at all operations; from then on they are found by their ids.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeAlias

from .operations import (
    DeleteElement,
    DeleteFeedback,
    DeleteStep,
    Op,
    SaveElement,
    SaveFeedback,
    SaveStep,
    SaveThread,
    SaveUser,
)

_QUANTUM = 20
"""Operations of a lane in one turn."""
SHARE = 25
"""Operations of one lane in a batch, unless a round trip takes longer than writing them."""

_BY_ID = (DeleteStep, DeleteElement, DeleteFeedback)
_Key: TypeAlias = str | tuple[str, str]
"""The id of a thread, which clients choose; a tuple for other lanes."""


@dataclass(slots=True, eq=False)
class Lane:
    """Operations that are executed in order."""

    key: _Key
    ops: deque[QueuedOp] = field(default_factory=deque)
    taken: int = 0
    """How many of the first operations are in the batch that is being written."""
    in_turn: bool = False
    is_held: bool = False


@dataclass(slots=True, eq=False)
class QueuedOp:
    """An operation in the queue."""

    op: Op
    size: int
    """Its approximate size in bytes."""
    future: asyncio.Future[Any]
    """The future of its caller, who may cancel it."""
    number: int
    lane: Lane
    follows: Sequence[QueuedOp] = ()
    """Operations of other lanes that it follows."""
    deadline: float | None = None
    """The end of its retries, from its first attempt on."""
    result: Any = None
    is_taken: bool = False
    is_over: bool = False
    """Whether it is committed or has failed."""


class Lanes:
    """The operations of a write queue that are not over."""

    def __init__(self) -> None:
        self.operations = 0
        self.bytes = 0
        self._lanes: dict[_Key, Lane] = {}
        self._turns: deque[Lane] = deque()
        self._logins: dict[str, QueuedOp] = {}
        """The last saves of users, by their ids."""
        self._saves_by_id: dict[str, dict[Lane, QueuedOp]] = {}
        """The last saves with an id, one of each lane; empty while nothing is deleted by id."""
        self._deletion_by_id: dict[str, QueuedOp] = {}
        """The last deletion of an id, which follows all before it."""
        self._deletion_by_lane: dict[Lane, QueuedOp] = {}
        """The last deletion by id in a lane."""
        self._blocked: dict[QueuedOp, list[Lane]] = {}
        """Lanes whose next operation follows one that is not taken yet."""
        self._numbers = count()

    @property
    def has_turns(self) -> bool:
        """Whether a lane may have operations to take."""
        return bool(self._turns)

    def __iter__(self) -> Iterator[QueuedOp]:
        """All operations in the order in which they were queued."""
        ops = (queued for lane in self._lanes.values() for queued in lane.ops)
        return iter(sorted(ops, key=lambda queued: queued.number))

    def last(self, thread_id: str | None) -> list[QueuedOp]:
        """Return the last operations that may touch a thread; None: of all lanes."""
        if thread_id is None:
            return [lane.ops[-1] for lane in self._lanes.values() if lane.ops]
        lane = self._lanes.get(thread_id)
        # A deletion by id may touch several threads.
        ops = dict.fromkeys(self._deletion_by_lane.values())
        if lane and lane.ops:
            ops[lane.ops[-1]] = None
        return list(ops)

    def add(self, op: Op, size: int, future: asyncio.Future[Any]) -> QueuedOp:
        """Append an operation to its lane."""
        is_deletion = isinstance(op, _BY_ID)
        if is_deletion and not self._deletion_by_id:
            for earlier in self:
                self._follow(earlier)
        key = self._key_of(op)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(key)
        queued = QueuedOp(op, size, future, next(self._numbers), lane)
        follows: Sequence[QueuedOp] = ()
        if isinstance(op, SaveUser):
            if "id" in op.values:
                self._logins[op.values["id"]] = queued
        elif isinstance(op, SaveThread):
            if login := self._logins.get(op.values.get("userId", "")):
                follows = [login]
        elif is_deletion or self._deletion_by_id:
            follows = self._follow(queued)
        if follows:
            queued.follows = [earlier for earlier in follows if earlier.lane is not lane]
        lane.ops.append(queued)
        self.operations += 1
        self.bytes += size
        self._offer(lane)
        return queued

    def take(self, most_operations: int, most_bytes: int, share: int = SHARE) -> list[QueuedOp]:
        """Return the next batch; `settle` it when it has been written."""
        batch: list[QueuedOp] = []
        size, turns = 0, self._turns
        had_their_share: list[Lane] = []
        while turns and len(batch) < most_operations:
            lane = turns[0]
            if lane.is_held:
                turns.popleft().in_turn = False
                continue
            if (end := len(lane.ops)) > 1:
                most = min(_QUANTUM, most_operations - len(batch))
                end = min(lane.taken + most, end, share)
            is_blocked, begin = False, lane.taken
            while lane.taken < end:
                queued = lane.ops[lane.taken]
                if queued.follows and (blocker := _blocker_of(queued)):
                    self._blocked.setdefault(blocker, []).append(lane)
                    is_blocked = True
                    break
                if batch and size + queued.size > most_bytes:
                    if lane.taken > begin:  # It had its turn.
                        turns.rotate(-1)
                    turns.extend(had_their_share)
                    return batch  # Otherwise this lane is the first of the next batch.
                batch.append(queued)
                size += queued.size
                lane.taken += 1
                queued.is_taken = True
                if self._blocked:
                    self._wake(queued)
            turns.popleft()
            if is_blocked or lane.taken == len(lane.ops):
                lane.in_turn = False
            elif lane.taken >= share:
                had_their_share.append(lane)
            else:
                turns.append(lane)
        turns.extend(had_their_share)
        return batch

    def executable(self, part: Iterable[QueuedOp]) -> list[QueuedOp]:
        """Return the operations of a part of a batch that need not wait for held ones."""
        accepted: dict[QueuedOp, None] = {}
        open_lanes: dict[Lane, bool] = {}
        for queued in part:
            if queued.is_over:
                continue
            lane = queued.lane
            is_open = open_lanes.get(lane, not lane.is_held and lane.ops[0] is queued)
            is_open = is_open and all(q.is_over or q in accepted for q in queued.follows)
            open_lanes[lane] = is_open
            if is_open:
                accepted[queued] = None
        return list(accepted)

    def settle(self, batch: Iterable[QueuedOp]) -> None:
        """Return the operations of a batch that are not over to their lanes."""
        for queued in batch:
            if queued.is_over:  # `end` has moved its lane on.
                continue
            queued.lane.taken, queued.is_taken = 0, False
            self._offer(queued.lane)

    def end(self, queued: QueuedOp) -> None:
        """Remove an operation that is committed or has failed."""
        queued.is_over = True
        self.operations -= 1
        self.bytes -= queued.size
        lane = queued.lane
        ops = lane.ops
        while ops and ops[0].is_over:
            ops.popleft()
            if lane.taken:
                lane.taken -= 1
        if not ops and not lane.is_held:
            self._lanes.pop(lane.key, None)
        if self._deletion_by_id:
            self._forget(queued)
        if self._logins and isinstance(queued.op, SaveUser):
            id = queued.op.values.get("id", "")
            if self._logins.get(id) is queued:
                del self._logins[id]
        if self._blocked:
            self._wake(queued)

    def hold(self, lane: Lane) -> None:
        """Pass over a lane until it is released."""
        lane.is_held = True

    def next_of(self, lane: Lane) -> QueuedOp | None:
        """Return the next operation of a held lane; None where it must wait for another lane."""
        if lane.ops and all(queued.is_over for queued in lane.ops[0].follows):
            return lane.ops[0]
        return None

    def release(self, lane: Lane) -> None:
        """Let a lane take its turns again."""
        lane.is_held = False
        if lane.ops:
            self._offer(lane)
        else:
            self._lanes.pop(lane.key, None)

    def _offer(self, lane: Lane) -> None:
        if lane.ops and not lane.in_turn and not lane.is_held:
            lane.in_turn = True
            self._turns.append(lane)

    def _wake(self, queued: QueuedOp) -> None:
        for lane in self._blocked.pop(queued, ()):
            self._offer(lane)

    def _key_of(self, op: Op) -> _Key:
        """Return the key of an operation's lane."""
        if isinstance(op, SaveUser):
            return "identifier", op.identifier
        if not isinstance(op, _BY_ID):
            return op.thread_id
        thread_id = op.thread_id
        if thread_id is None and not isinstance(op, DeleteFeedback):
            thread_id = op.scope.thread_id
        if thread_id is None:  # Where its row is about to be written, if it is.
            saves = self._saves_by_id.get(op.id)
            return next(iter(saves)).key if saves else ("id", op.id)
        return thread_id

    def _follow(self, queued: QueuedOp) -> list[QueuedOp]:
        """Register an operation while deletions by id are queued; return what it follows."""
        ids, lane = _ids_of(queued.op), queued.lane
        follows = [deletion for id in ids if (deletion := self._deletion_by_id.get(id))]
        if isinstance(queued.op, _BY_ID):
            follows += self._saves_by_id.pop(queued.op.id, {}).values()
            self._deletion_by_id[queued.op.id] = self._deletion_by_lane[lane] = queued
        else:
            for id in ids:  # Saves with one id in two threads are two rows, in any order.
                self._saves_by_id.setdefault(id, {})[lane] = queued
        return follows

    def _forget(self, queued: QueuedOp) -> None:
        """Remove what `_follow` registered."""
        for id in _ids_of(queued.op):
            if (saves := self._saves_by_id.get(id)) and saves.get(queued.lane) is queued:
                del saves[queued.lane]
                if not saves:
                    del self._saves_by_id[id]
            if self._deletion_by_id.get(id) is queued:
                del self._deletion_by_id[id]
        if self._deletion_by_lane.get(queued.lane) is queued:
            del self._deletion_by_lane[queued.lane]
        if not self._deletion_by_id:
            self._saves_by_id.clear()


def _ids_of(op: Op) -> Sequence[str]:
    """Return the ids that an operation saves, refers to or deletes."""
    match op:
        case SaveStep() | SaveElement():
            parent = op.values.get("parentId" if isinstance(op, SaveStep) else "forId")
            return (op.id, parent) if parent else (op.id,)
        case SaveFeedback():
            return op.id, op.for_id
        case DeleteStep() | DeleteElement() | DeleteFeedback():
            return (op.id,)
    return ()


def _blocker_of(queued: QueuedOp) -> QueuedOp | None:
    """Return an operation that must be taken first."""
    return next((q for q in queued.follows if not (q.is_over or q.is_taken)), None)
