"""The law of the plan: a batch leaves the same rows as its operations one by one."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from chainlit_sqla.database import Database
from chainlit_sqla.models import Base, User
from chainlit_sqla.settings import Settings
from chainlit_sqla.writes.execute_batch import execute_segments
from chainlit_sqla.writes.merge_operations import plan
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

START = datetime(2026, 1, 1, tzinfo=UTC)
USERS = [{"id": "u1", "identifier": "ann"}, {"id": "u2", "identifier": "bob"}]
CLOCKS = {
    ("chainlit_sqla_tombstones", "deletedAt"),
    ("chainlit_sqla_blob_deletions", "createdAt"),
    ("users", "createdAt"),
}
"""Columns that hold the time of carrying out."""

threads = st.sampled_from(["t1", "t2"])
steps = st.sampled_from(["s1", "s2", "s3"])
elements = st.sampled_from(["e1", "e2"])
actors = st.sampled_from([None, None, "ann", "bob"])
texts = st.sampled_from(["", "a", "b"])
moments = st.integers(0, 5).map(lambda n: START + timedelta(seconds=n))
extras = st.dictionaries(st.sampled_from(["k", "l"]), st.integers(0, 2), max_size=2)
thread_values = st.fixed_dictionaries(
    {}, optional={"name": texts, "userId": st.sampled_from(["u1", "u2"])}
)
metadata = st.dictionaries(st.sampled_from(["k", "l"]), st.none() | st.integers(0, 2), max_size=2)
step_values = st.fixed_dictionaries(
    {},
    optional={
        "name": texts,
        "type": st.sampled_from(["user_message", "tool"]),
        "output": st.none() | texts,
        "parentId": st.none() | steps,
        "isError": st.booleans(),
        "createdAt": moments,
    },
)
element_values = st.fixed_dictionaries(
    {"objectKey": st.none() | st.just("a new one")},
    optional={"forId": st.none() | steps, "name": texts},
)
scopes = st.builds(Scope, st.none() | threads, st.none() | st.sampled_from(["ann", "bob"]))
ops = st.one_of(
    st.builds(SaveThread, threads, thread_values, metadata, at=moments),
    st.builds(
        lambda id, owner, actor: SaveThread(id, {"userId": owner}, {}, actor and actor[owner]),
        threads,
        st.sampled_from(["u1", "u2"]),
        st.none() | st.just({user["id"]: user["identifier"] for user in USERS}),
    ),
    st.builds(
        SaveStep, threads, steps, step_values, extras, st.none() | moments, actors, at=moments
    ),
    st.builds(SaveElement, threads, elements, element_values, extras, actors, at=moments),
    st.builds(
        SaveFeedback,
        threads,
        steps,
        st.sampled_from(["f1", "f2"]),
        st.integers(0, 1),
        actor=actors,
        at=moments,
    ),
    st.builds(
        lambda name, id, at: SaveUser(name, {"id": id, "metadata": {}}, at),
        st.sampled_from(["ann", "new"]),
        st.sampled_from(["n1", "n2"]),
        moments,
    ),
    st.builds(DeleteThread, threads, actor=actors),
    st.builds(DeleteStep, steps, scopes),
    st.builds(DeleteElement, elements, st.none() | threads, scopes),
    st.builds(DeleteFeedback, st.sampled_from(["f1", "f2"]), actors),
)


@settings(max_examples=60)
@given(st.lists(st.lists(ops, min_size=1, max_size=7), min_size=1, max_size=3))
def test_a_batch_equals_its_operations_one_by_one(batches: list[list[Op]]) -> None:
    numbers = itertools.count()
    asyncio.run(compare([[with_own_key(op, next(numbers)) for op in ops] for ops in batches]))


def with_own_key(op: Op, number: int) -> Op:
    """No key is used twice."""
    if isinstance(op, SaveElement) and op.values.get("objectKey"):
        return replace(op, values={**op.values, "objectKey": f"k{number}"})
    return op


async def compare(batches: list[list[Op]]) -> None:
    together, singly = await database(), await database()
    try:
        for batch in batches:
            results = await carry_out(together, batch)
            expected = [
                result for op in batch for result in (await carry_out(singly, [op])).values()
            ]
            assert list(results.values()) == expected
            assert await rows(together) == await rows(singly)
    finally:
        await together.close()
        await singly.close()


async def database() -> Database:
    made = Database("sqlite://", settings=Settings.load())
    async with made.write() as connection:
        await connection.run_sync(Base.metadata.create_all)
        await connection.execute(insert(User), USERS)
    return made


async def carry_out(target: Database, batch: Sequence[Op]) -> dict[int, Any]:
    async with target.write() as connection:
        return await execute(connection, target, batch)


async def execute(
    connection: AsyncConnection, target: Database, batch: Sequence[Op]
) -> dict[int, Any]:
    """Return the results of deletions, and the class of an error, by position."""
    outcome = await connection.run_sync(execute_segments, target.dialect, plan(batch))
    return {
        position: result if isinstance(result, bool) else type(result)
        for position, result in sorted(outcome.results.items())
    }


async def rows(source: Database) -> dict[str, Any]:
    async with source.connect() as connection:
        return {
            table.name: [
                tuple(v for k, v in row.items() if (table.name, k) not in CLOCKS)
                for row in (
                    await connection.execute(select(table).order_by(*table.primary_key.columns))
                ).mappings()
            ]
            for table in Base.metadata.sorted_tables
        }


def segments_of(batch: Sequence[Op]) -> list[tuple[int, int]]:
    return [(len(segment.steps), len(segment.deletes)) for segment in plan(batch)]


def test_saves_of_a_thread_are_one_segment() -> None:
    saves: list[Op] = [SaveThread("t", {"name": "n"})]
    saves += [SaveStep("t", f"s{n % 50}", {"output": str(n)}) for n in range(200)]
    assert segments_of(saves) == [(50, 0)]


def test_deletions_close_a_segment_and_stay_in_order() -> None:
    batch: list[Op] = [
        SaveStep("t", "s", {}),
        DeleteStep("s"),
        DeleteThread("u"),
        SaveStep("t", "s", {}),
    ]
    assert segments_of(batch) == [(1, 2), (1, 0)]
