"""The fast batch: the same rows as statement by statement, also beside other processes."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, insert, select, text

from chainlit_sqla._internal.json import JsonText
from chainlit_sqla.database import Database
from chainlit_sqla.database import migrator as migrations
from chainlit_sqla.dialects.fast_batch import FastBatchResult
from chainlit_sqla.dialects.postgresql import fast_batch as postgresql_fast_batch
from chainlit_sqla.errors import NotTheAuthor, ThreadDeleted
from chainlit_sqla.models import Base, BlobDeletion, Element, Feedback, Step, Thread, User
from chainlit_sqla.settings import Settings
from chainlit_sqla.writes.fast_batch import fast_batch_of
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
from chainlit_sqla.writes.queue import WriteQueue
from chainlit_sqla.writes.tombstones import lock_threads
from tests.servers.postgres import PostgresServer
from tests.until import PATIENCE
from tests.writes.test_failures import waits_for_a_lock
from tests.writes.test_merge_operations import (
    USERS,
    carry_out,
    element_values,
    execute,
    extras,
    metadata,
    moments,
    rows,
    step_values,
    with_own_key,
)

ids = st.sampled_from(["a", "b", "ü'\"\\"])
owned = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["", "n"]),
        "userId": st.sampled_from(["u1", "u2", "nobody"]),
        "tags": st.sampled_from([JsonText('["x"]'), JsonText("[]")]),
    },
)
actors = st.sampled_from([None, None, "ann", "bob"])
saves = st.one_of(
    st.builds(SaveThread, ids, owned, metadata, actors, at=moments),
    st.builds(SaveStep, ids, ids, step_values, extras, st.none() | moments, actors, at=moments),
)
users = st.builds(
    lambda name, values, at: SaveUser(name, {"id": f"id of {name}", "metadata": {}} | values, at),
    st.sampled_from(["ann", "new"]),
    st.just({}) | st.just({"displayName": "d"}),
    moments,
)
scopes = st.builds(Scope, st.none() | ids, st.none() | st.sampled_from(["ann", "bob"]))
everything = st.one_of(
    saves,
    users,
    st.builds(SaveElement, ids, ids, element_values, extras, actors, at=moments),
    st.builds(SaveFeedback, ids, ids, ids, st.integers(0, 1), st.none() | ids, actors, moments),
    st.builds(DeleteThread, ids, actor=actors),
    st.builds(DeleteStep, ids, scopes),
    st.builds(DeleteElement, ids, st.none() | ids, scopes),
    st.builds(DeleteFeedback, ids, actors),
)
befores = everything


@pytest.fixture(
    params=["postgresql", pytest.param("postgresql behind a pooler", marks=pytest.mark.full)]
)
async def pair(
    request: pytest.FixtureRequest, postgres: PostgresServer
) -> AsyncIterator[tuple[Database, Database]]:
    made = []
    for _ in ("fast", "long"):
        url = postgres.create_database()
        choices = Settings.load(prepared_statements="pooler" not in request.param)
        made.append(Database(url, settings=choices))
        await migrations.upgrade(made[-1])
    yield made[0], made[1]
    for database in made:
        await database.close()
        postgres.drop_database(str(database.given_url.render_as_string(hide_password=False)))


async def reset(database: Database) -> None:
    async with database.write() as connection:
        for table in reversed(Base.metadata.sorted_tables):
            await connection.execute(delete(table))
        await connection.execute(insert(User), USERS)


async def write_by_statements(database: Database, batch: Sequence[Op]) -> list[Any]:
    return list((await carry_out(database, batch)).values())


async def test_a_fast_batch_leaves_the_same_rows_as_single_statements(
    pair: tuple[Database, Database],
) -> None:
    fast, slow = pair
    loop = asyncio.get_running_loop()
    taken: list[tuple[str, str]] = []

    async def compare(before: list[Op], batches: list[list[Op]]) -> None:
        for database in pair:
            await reset(database)
            for op in before:
                await write_by_statements(database, [op])
        for batch in batches:
            fast_batch = fast_batch_of(plan(batch))
            expected = await rows(fast)
            if fast_batch is None:
                taken.append(("none", ""))
                for database in pair:
                    await write_by_statements(database, batch)
                continue
            result = await fast.write_fast_batch(fast_batch)
            taken.append(("turn" if fast_batch.is_turn else "any", outcome_of(result)))
            if outcome_of(result) != "written":
                found = await rows(fast)
                found["users"] = expected["users"]  # They come first, and are saved again.
                assert found == expected, "nothing may be written"
                for database in pair:
                    await write_by_statements(database, batch)
                continue
            answers = await write_by_statements(slow, batch)
            written, expected = await rows(fast), await rows(slow)
            for table in written:
                assert written[table] == expected[table], table
            assert result is not None
            late = [answer for answer in answers if answer is ThreadDeleted]
            assert bool(late) == bool(result.late)
            answers = [answer for answer in answers if answer is not ThreadDeleted]
            assert answers == [NotTheAuthor if one is None else one for one in result.deleted]

    @settings(max_examples=60)
    @given(
        st.lists(befores, max_size=6),
        st.lists(st.lists(everything, min_size=1, max_size=8), min_size=1, max_size=3)
        | st.lists(st.lists(saves, min_size=1, max_size=6), min_size=1, max_size=2),
    )
    def examples(before: list[Op], batches: list[list[Op]]) -> None:
        numbers = itertools.count()
        before = [with_own_key(op, next(numbers)) for op in before]
        batches = [[with_own_key(op, next(numbers)) for op in batch] for batch in batches]
        asyncio.run_coroutine_threadsafe(compare(before, batches), loop).result(PATIENCE)

    await asyncio.to_thread(examples)
    assert set(taken) >= {("turn", "written"), ("any", "written")}, "both must have been taken"


def outcome_of(result: FastBatchResult | None) -> str:
    return "none" if result is None else result.outcome.value


# Beside another process: its own Database on the same server.


@pytest.fixture
async def two(postgres_url: str) -> AsyncIterator[tuple[Database, Database]]:
    made = Database(postgres_url), Database(postgres_url)
    await migrations.upgrade(made[0])
    await reset(made[0])
    yield made
    for database in made:
        await database.close()


async def beside(two: tuple[Database, Database], theirs: Sequence[Op], ours: Sequence[Op]) -> Any:
    """Carry ours out while theirs are written and not committed yet; return our answers."""
    here, other = two
    write_queue = WriteQueue(here)
    async with other.write() as connection:
        await execute(connection, other, theirs)
        tasks = [asyncio.ensure_future(write_queue.submit(op)) for op in ours]
        await waits_for_a_lock(here)
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    await write_queue.close()
    return answers


async def stored(database: Database, column: Any) -> list[Any]:
    async with database.connect() as connection:
        return list(await connection.scalars(select(column).order_by(column)))


@pytest.fixture
def write_queue(two: tuple[Database, Database]) -> WriteQueue:
    return WriteQueue(two[0])


@pytest.mark.parametrize(
    ("theirs", "threads"), [(DeleteStep("s"), ["t", "u"]), (DeleteThread("t"), ["u"])]
)
async def test_what_is_deleted_meanwhile_stays_deleted(
    two: tuple[Database, Database], write_queue: WriteQueue, theirs: Op, threads: list[str]
) -> None:
    await write_queue.submit(SaveStep("t", "s", {"output": "old"}))
    ours = [SaveStep("t", "s", {"output": "new"}), SaveStep("u", "other", {})]
    await beside(two, [theirs], ours)
    assert await stored(two[0], Thread.id) == threads
    assert await stored(two[0], Step.id) == ["other"]


@pytest.mark.parametrize(
    ("theirs", "elements", "feedbacks"),
    [
        (DeleteStep("s"), [], []),
        (DeleteThread("t"), [], []),
        (DeleteElement("e", "t", ordinal=2), [], ["f"]),
        (SaveStep("t", "s", {"name": "theirs"}), ["e"], ["f"]),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_contents_see_what_was_committed_before_their_lock(
    two: tuple[Database, Database],
    write_queue: WriteQueue,
    theirs: Op,
    elements: list[str],
    feedbacks: list[str],
) -> None:
    await write_queue.submit(SaveStep("t", "s", {}))
    ours = [
        SaveElement("t", "e", {"forId": "s", "objectKey": "k"}, ordinal=1),
        SaveFeedback("t", "s", "f", 1),
    ]
    late = isinstance(theirs, DeleteThread)
    answers = await beside(two, [theirs], ours)
    assert [isinstance(answer, ThreadDeleted) for answer in answers] == [late, late]
    assert await stored(two[0], Element.id) == elements
    assert await stored(two[0], Feedback.id) == feedbacks
    assert await stored(two[0], BlobDeletion.object_key) == ([] if elements else ["k"])


@pytest.mark.parametrize("ours", [DeleteStep("s"), DeleteThread("t")])
async def test_a_deletion_takes_what_was_committed_before_its_lock(
    two: tuple[Database, Database], write_queue: WriteQueue, ours: Op
) -> None:
    await write_queue.submit(SaveStep("t", "s", {}))
    theirs = [
        SaveStep("t", "child", {"parentId": "s"}),
        SaveElement("t", "e", {"forId": "child", "objectKey": "k"}),
        SaveFeedback("t", "child", "f", 1),
    ]
    assert await beside(two, theirs, [ours]) == [True]
    assert await stored(two[0], Step.id) == []
    assert await stored(two[0], Element.id) == []
    assert await stored(two[0], Feedback.id) == []
    assert await stored(two[0], BlobDeletion.object_key) == ["k"]


async def test_a_default_isolation_of_the_database_is_no_danger(
    two: tuple[Database, Database], write_queue: WriteQueue, caplog: pytest.LogCaptureFixture
) -> None:
    """The executions of a fast batch would share one snapshot, from before the locks."""
    here, other = two
    await write_queue.submit(SaveStep("t", "s", {}))
    async with here.write() as connection:
        name = await connection.scalar(select(func.current_database()))
        default = f"ALTER DATABASE \"{name}\" SET default_transaction_isolation = 'repeatable read'"
        await connection.execute(text(default))
    await here.close()
    theirs = [SaveStep("t", "child", {"parentId": "s"})]
    assert await beside((here, other), theirs, [DeleteStep("s")]) == [True]
    assert await stored(here, Step.id) == []


async def test_a_thread_that_is_made_meanwhile_gets_what_both_say(
    two: tuple[Database, Database],
) -> None:
    theirs = [SaveThread("t", {"userId": "u2"}, {"theirs": 1}), SaveStep("t", "a", {})]
    ours = [SaveThread("t", {"name": "n"}, {"ours": 2}), SaveStep("t", "b", {})]
    assert await beside(two, theirs, ours) == [None, None]
    async with two[0].connect() as connection:
        [row] = await connection.execute(
            select(Thread.name, Thread.user_identifier, Thread.metadata_)
        )
    assert tuple(row) == ("n", "bob", {"theirs": 1, "ours": 2})
    assert await stored(two[0], Step.id) == ["a", "b"]


async def test_what_is_deleted_before_it_is_there_stays_deleted(
    two: tuple[Database, Database], write_queue: WriteQueue
) -> None:
    """Another process makes and deletes it while this one waits for another thread."""
    await write_queue.submit(SaveThread("a"))
    here, other = two
    ours = WriteQueue(here)
    async with other.write() as connection:
        await connection.run_sync(lock_threads, ["a"], exclusive=True)
        ops = [SaveStep("a", "late", {}), SaveStep("b", "late", {}), SaveStep("c", "late", {})]
        tasks = [asyncio.ensure_future(ours.submit(op)) for op in ops]
        await waits_for_a_lock(here)
        theirs = WriteQueue(other)
        await theirs.submit(SaveStep("b", "s", {}))
        await theirs.submit(DeleteThread("b"))
        await theirs.submit(SaveThread("c"))
        await theirs.submit(DeleteStep("late", Scope("c")))
        await theirs.close()
    await asyncio.gather(*tasks)
    assert await stored(here, Thread.id) == ["a", "c"]
    assert await stored(here, Step.thread_id) == ["a"]
    await ours.close()


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("fast", [True, False])
async def test_nothing_is_written_into_a_thread_that_a_stranger_takes_meanwhile(
    two: tuple[Database, Database], write_queue: WriteQueue, fast: bool, exists: bool
) -> None:
    if exists:
        await write_queue.submit(SaveThread("t"))
    ours: list[Op] = [SaveStep("t", "evil", {}, actor="ann")]
    if not fast:
        ours.append(SaveFeedback("t", "evil", "f", 1))
    [answer, *_] = await beside(two, [SaveThread("t", {"userId": "u2"})], ours)
    assert isinstance(answer, NotTheAuthor)
    assert await stored(two[0], Step.id) == []


async def test_documents_that_are_null_are_replaced(database: Database) -> None:
    write_queue = WriteQueue(database)
    await write_queue.submit(SaveStep("t", "s", {"output": "a"}))
    async with database.write() as connection:
        for table, column in (("threads", "metadata"), ("steps", "extra")):
            await connection.execute(text(f"UPDATE {table} SET {column} = 'null'"))
    await write_queue.submit(SaveThread("t", {}, {"k": 1}))
    await write_queue.submit(SaveStep("t", "s", {}, {"x": 2}))
    assert await stored(database, Thread.metadata_) == [{"k": 1}]
    async with database.connect() as connection:
        assert await connection.scalar(select(Step.extra)) == {"x": 2}
    await write_queue.close()


async def test_a_schema_may_have_any_name(postgres_url: str) -> None:
    for name in ("50%", 'a"b', "{users}", "$1"):
        database = Database(postgres_url, settings=Settings.load(db_schema=name))
        await migrations.upgrade(database)
        batch = fast_batch_of(plan([SaveStep("t", "s", {"output": "a"})]))
        assert batch
        assert await database.write_fast_batch(batch), name
        [step_rows] = await database.fetch((select(Step.id), {}))
        assert [tuple(row) for row in step_rows] == [("s",)], "reads are made for the schema, too"
        await database.close()


async def test_the_metadata_of_two_processes_is_merged(
    two: tuple[Database, Database], write_queue: WriteQueue
) -> None:
    await write_queue.submit(SaveThread("t", {}, {"old": 0}))
    await beside(two, [SaveThread("t", {}, {"a": 1})], [SaveThread("t", {}, {"b": 2, "old": None})])
    assert await stored(two[0], Thread.metadata_) == [{"a": 1, "b": 2}]


async def test_processes_that_write_to_the_same_threads_do_not_stop_each_other(
    two: tuple[Database, Database],
) -> None:
    writers = [WriteQueue(database) for database in two]
    written = await asyncio.gather(
        *(
            writer.submit(SaveStep(f"t{n % 7}", f"{who}-{n}", {}, activity=datetime.now(UTC)))
            for n in range(300)
            for who, writer in enumerate(writers)
        )
    )
    assert written == [None] * 600
    assert len(await stored(two[0], Step.id)) == 600
    for writer in writers:
        await writer.close()


async def test_a_server_without_fast_batches_is_written_statement_by_statement(
    two: tuple[Database, Database],
    write_queue: WriteQueue,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "chainlit_sqla")
    for name in ("TOUCH", "TURN", "ANY"):
        foreign = getattr(postgresql_fast_batch, name).replace("xmin", "no_such_system_column")
        monkeypatch.setattr(postgresql_fast_batch, name, foreign)
    for number in range(3):
        await write_queue.submit(SaveStep("t", f"s{number}", {}))
    assert await stored(two[0], Step.id) == ["s0", "s1", "s2"]
    assert caplog.text.count("writing statement by statement") == 1
