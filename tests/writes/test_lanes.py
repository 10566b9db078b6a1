"""Lanes: what is executed next, without a database."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainlit_sqla.writes.lanes import Lanes, QueuedOp
from chainlit_sqla.writes.operations import (
    DeleteElement,
    DeleteFeedback,
    DeleteStep,
    DeleteThread,
    Op,
    SaveElement,
    SaveFeedback,
    SaveStep,
    SaveThread,
    SaveUser,
    Scope,
)

MANY = 1_000_000


@pytest.fixture(scope="module")
def future() -> Iterator[asyncio.Future[Any]]:
    loop = asyncio.new_event_loop()
    yield loop.create_future()
    loop.close()


def queue_all(
    lanes: Lanes, future: asyncio.Future[Any], ops: Sequence[Op], size: int = 1
) -> list[QueuedOp]:
    return [lanes.add(op, size, future) for op in ops]


def finish(lanes: Lanes, batch: Sequence[QueuedOp]) -> list[Op]:
    for queued in batch:
        lanes.end(queued)
    lanes.settle(batch)
    return [queued.op for queued in batch]


def step(thread_id: str, id: str = "s", **values: Any) -> SaveStep:
    return SaveStep(thread_id, id, values)


def test_after_a_flood_another_session_is_in_the_next_batch(future: asyncio.Future[Any]) -> None:
    lanes = Lanes()
    queue_all(lanes, future, [step("flood", f"s{n}") for n in range(20_000)])
    first = lanes.take(500, MANY)
    queue_all(lanes, future, [step("other")])
    finish(lanes, first)
    assert len(first) < 500, "the other session does not wait for a full batch"
    assert step("other").thread_id in {queued.op.thread_id for queued in lanes.take(500, MANY)}


def test_a_flood_gives_the_rest_of_a_batch_to_the_others(future: asyncio.Future[Any]) -> None:
    lanes = Lanes()
    queue_all(lanes, future, [step("flood", f"s{n}") for n in range(1_000)])
    others = queue_all(lanes, future, [step(f"t{n}", f"s{m}") for n in range(20) for m in range(5)])
    assert set(others) <= set(lanes.take(500, MANY))


def test_a_batch_is_bounded_by_bytes_and_no_smaller_operation_overtakes(
    future: asyncio.Future[Any],
) -> None:
    lanes = Lanes()
    small, large, last = (
        queue_all(lanes, future, [step(thread_id)], size)[0]
        for thread_id, size in (("a", 10), ("b", 95), ("c", 10))
    )
    huge = queue_all(lanes, future, [step("d")], 1_000)[0]
    batches = []
    while batch := lanes.take(500, 100):
        batches.append(batch)
        finish(lanes, batch)
    assert batches == [[small], [large], [last], [huge]]
    assert (lanes.operations, lanes.bytes) == (0, 0)


def test_large_operations_of_one_session_take_turns_with_others(
    future: asyncio.Future[Any],
) -> None:
    lanes = Lanes()
    large = queue_all(lanes, future, [step("large", f"s{n}") for n in range(10)], 90)
    others = queue_all(lanes, future, [step(f"t{n}") for n in range(5)], 10)
    batches = []
    for _ in range(3):
        batches.append(lanes.take(500, 100))
        finish(lanes, batches[-1])
    assert batches == [large[:1], others, large[1:2]]


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        (SaveUser("ann", {"id": "u"}), SaveThread("t", {"userId": "u"})),
        (step("t", "s"), DeleteStep("s", Scope("own", "u"))),
        (step("t", "child", parentId="s"), DeleteStep("s", Scope("own", "u"))),
        (SaveElement("t", "e", {"forId": "s"}), DeleteStep("s")),
        (SaveElement("t", "e", {}), DeleteElement("e", None, Scope("own"))),
        (SaveFeedback("t", "s", "f", 1), DeleteFeedback("f")),
        (DeleteStep("s", Scope("own", "u")), step("t", "s")),
        (DeleteThread("t"), step("t", "s")),
    ],
)
def test_an_operation_waits_for_a_held_one_that_it_depends_on(
    future: asyncio.Future[Any], earlier: Op, later: Op
) -> None:
    lanes = Lanes()
    first, second, free = queue_all(lanes, future, [earlier, later, step("free", "free")])
    batch = lanes.take(500, MANY)
    assert batch.index(first) < batch.index(second)
    lanes.hold(first.lane)
    assert lanes.executable(batch) == [free]
    finish(lanes, [free])
    lanes.settle(batch)
    assert lanes.take(500, MANY) == []
    assert set(lanes.last("t")) >= {second}, "a reader of the thread waits, too"
    assert lanes.next_of(first.lane) is first
    lanes.end(first)
    lanes.release(first.lane)
    assert finish(lanes, lanes.take(500, MANY)) == [later]


def test_saves_of_one_id_in_two_threads_do_not_wait_for_each_other(
    future: asyncio.Future[Any],
) -> None:
    lanes = Lanes()
    first, second = queue_all(lanes, future, [step("a"), step("b")])
    lanes.hold(first.lane)
    assert lanes.take(500, MANY) == [second]


threads = st.sampled_from("abc")
ids = st.sampled_from("xyz")
operations = st.one_of(
    st.builds(step, threads, ids),
    st.builds(lambda t, i, p: step(t, i, parentId=p), threads, ids, ids),
    st.builds(lambda t, u: SaveThread(t, {"userId": u}), threads, ids),
    st.builds(lambda u: SaveUser(u, {"id": u}), ids),
    st.builds(SaveFeedback, threads, ids, ids, st.just(1)),
    st.builds(DeleteThread, threads),
    st.builds(lambda i, t: DeleteStep(i, Scope(t)), ids, st.none() | threads),
    st.builds(DeleteFeedback, ids),
)


@given(ops=st.lists(operations, max_size=40), data=st.data())
def test_the_order_holds_whatever_is_held_or_fails(
    future: asyncio.Future[Any], ops: list[Op], data: st.DataObject
) -> None:
    """Batches are halved, lanes held and released, as the committer and its tasks do."""
    lanes, done = Lanes(), list[QueuedOp]()
    queued_ops = queue_all(lanes, future, ops)
    held: list[QueuedOp] = []

    def end(queued: QueuedOp) -> None:
        lanes.end(queued)
        done.append(queued)

    def release_one() -> None:
        queued = held.pop(0)
        if lanes.next_of(queued.lane):
            end(queued.lane.ops[0])
        lanes.release(queued.lane)

    while lanes.operations:
        batch = lanes.take(data.draw(st.integers(1, 10)), MANY)
        middle = data.draw(st.integers(0, len(batch)))
        for part in (batch[:middle], batch[middle:]):
            executable = lanes.executable(part)
            if executable and data.draw(st.booleans()):
                lanes.hold(executable[0].lane)
                held.append(executable[0])
            else:
                for queued in executable:
                    end(queued)
            if held and data.draw(st.booleans()):
                release_one()
        lanes.settle(batch)
        if held and not batch:
            release_one()
        assert all(lanes._saves_by_id.values()), "no id is kept without its saves"
    position = {queued: number for number, queued in enumerate(done)}
    assert len(position) == len(queued_ops) == len(done)
    for number, queued in enumerate(queued_ops):
        for earlier in queued_ops[:number]:
            if earlier.lane.key == queued.lane.key or earlier in queued.follows:
                assert position[earlier] < position[queued]
    left = (lanes._lanes, lanes._logins, lanes._saves_by_id, lanes._deletion_by_id)
    left += (lanes._deletion_by_lane, lanes._blocked)
    assert not any(left), "nothing grows"
