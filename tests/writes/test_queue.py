"""The write queue when all goes well, and when a row is refused."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from itertools import product
from threading import current_thread
from typing import Any

import pytest
from sqlalchemy import event, select, text

from chainlit_sqla._internal.json import JsonText
from chainlit_sqla.database import Database
from chainlit_sqla.dialects.postgresql import fast_batch, fast_batch_sql
from chainlit_sqla.errors import (
    NotTheAuthor,
    RejectedRow,
    SchemaOutdated,
    UnknownOwner,
    WriteError,
)
from chainlit_sqla.models import Step, Thread
from chainlit_sqla.writes import queue
from chainlit_sqla.writes.execute_batch import execute_batch
from chainlit_sqla.writes.operations import (
    DeleteFeedback,
    Op,
    SaveElement,
    SaveFeedback,
    SaveStep,
    SaveThread,
    SaveUser,
)
from chainlit_sqla.writes.queue import WriteQueue
from tests.until import PATIENCE


@pytest.fixture
async def write_queue(database: Database) -> AsyncIterator[WriteQueue]:
    made = WriteQueue(database)
    yield made
    await made.close()


async def outputs(database: Database, thread_id: str = "t") -> dict[str, str]:
    query = select(Step.id, Step.output).where(Step.thread_id == thread_id)
    async with database.connect() as connection:
        return {row.id: row.output for row in await connection.execute(query.order_by(Step.id))}


def bad(id: str = "bad") -> Op:
    """A row that every database refuses: the column is NOT NULL."""
    return SaveStep("t", id, {"name": None})


async def all_of(write_queue: WriteQueue, ops: list[Op]) -> list[Any]:
    return await asyncio.gather(*(write_queue.submit(op) for op in ops), return_exceptions=True)


async def test_callers_beyond_the_capacity_wait_in_order(
    write_queue: WriteQueue, database: Database
) -> None:
    ops: list[Op] = [SaveStep("t", "s", {"output": str(number)}) for number in range(50)]
    tasks = [asyncio.create_task(write_queue.submit(op)) for op in ops]
    await asyncio.sleep(0)
    assert write_queue.counters().in_line == 50 - database.settings.queue_size
    await asyncio.gather(*tasks)
    assert await outputs(database) == {"s": "49"}


async def test_a_refused_row_fails_alone_and_the_order_stays(
    write_queue: WriteQueue, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    before = [SaveStep("t", "s1", {"output": "kept"}), SaveStep("t", "s2", {"output": "first"})]
    results = await all_of(write_queue, [*before, bad(), SaveStep("t", "s2", {"output": "last"})])
    assert results[:2] + results[3:] == [None] * 3
    assert isinstance(results[2], RejectedRow)
    assert "step bad of thread t" in str(results[2])
    assert "Not written: step bad of thread t" in caplog.text
    assert await outputs(database) == {"s1": "kept", "s2": "last"}, "in the order of the calls"


async def test_many_refused_rows_take_no_good_one_with_them(database: Database) -> None:
    settings = database.settings.model_copy(update={"queue_size": 500})
    wide = WriteQueue(Database(database.given_url, settings=settings))
    ops: list[Op] = [
        bad(f"b{n}") if n % 7 == 3 else SaveStep("t", f"s{n}", {"output": str(n)})
        for n in range(60)
    ]
    results = await all_of(wide, ops)
    refused = [n for n, result in enumerate(results) if isinstance(result, RejectedRow)]
    assert refused == [n for n in range(60) if n % 7 == 3]
    assert set(await outputs(database)) == {f"s{n}" for n in range(60) if n % 7 != 3}
    await wide.close()
    await wide._database.close()


async def test_missing_tables_are_reported_once_for_each_write(
    write_queue: WriteQueue, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async with database.write() as connection:
        await connection.execute(text("ALTER TABLE steps RENAME TO gone"))
    with caplog.at_level(logging.ERROR):
        [result] = await all_of(write_queue, [SaveStep("t", "s", {})])
    assert isinstance(result, SchemaOutdated)
    assert "chainlit-sqla upgrade" in str(result)
    assert len(caplog.records) == 1
    async with database.write() as connection:
        await connection.execute(text("ALTER TABLE gone RENAME TO steps"))
    await write_queue.submit(SaveStep("t", "s", {"output": "now"}))
    assert await outputs(database) == {"s": "now"}


async def test_a_reader_waits_for_the_write_of_a_caller_that_was_cancelled(
    database: Database,
) -> None:
    opened = asyncio.Event()
    write_queue = WriteQueue(database, opened.wait)
    caller = asyncio.create_task(write_queue.submit(SaveStep("t", "s", {"output": "a"})))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.wait([caller])
    reader = asyncio.create_task(write_queue.flush("t"))
    await asyncio.sleep(0)
    assert not reader.done()
    opened.set()
    await reader
    assert await outputs(database) == {"s": "a"}
    await write_queue.close()


async def test_many_callers_that_keep_writing_get_every_result(database: Database) -> None:
    settings = database.settings.model_copy(update={"queue_size": 100})
    roomy = Database(database.given_url, settings=settings)
    write_queue = WriteQueue(roomy)

    async def caller(number: int) -> list[Any]:
        answers = []
        for turn in range(4):
            values = {"output": str(turn)}
            answers.append(await write_queue.submit(SaveStep("t", f"s{number:02}", values)))
            answers.append(await write_queue.submit(DeleteFeedback(f"none {number}")))
        return answers

    answers = await asyncio.gather(*(caller(number) for number in range(60)))
    assert answers == [[None, False] * 4] * 60
    assert await outputs(roomy) == {f"s{n:02}": "3" for n in range(60)}
    assert write_queue.pending == 0
    await write_queue.close()
    await roomy.close()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_a_committed_operation_is_resolved_while_the_rest_of_its_batch_waits(
    database: Database,
) -> None:
    away = asyncio.Event()
    prepared = 0

    async def prepare() -> None:
        nonlocal prepared
        prepared += 1
        if prepared == 3:  # The batch, its first half, and now the refused one.
            await away.wait()

    write_queue = WriteQueue(database, prepare)
    good = asyncio.create_task(write_queue.submit(SaveStep("t", "good", {})))
    refused = asyncio.create_task(write_queue.submit(bad()))
    async with asyncio.timeout(PATIENCE):
        await good
    assert not refused.done()
    away.set()
    with pytest.raises(RejectedRow):
        await refused
    await write_queue.close()


async def test_only_the_author_writes_into_a_thread(
    write_queue: WriteQueue, database: Database
) -> None:
    for name in ("ann", "bob"):
        await write_queue.submit(SaveUser(name, {"id": name, "metadata": {}}))
    await write_queue.submit(SaveThread("t", {"userId": "ann"}, actor="ann"))
    for op in (
        SaveThread("t", {"userId": "bob"}, actor="bob"),
        SaveStep("t", "s", {"output": "mine now"}, actor="bob"),
        SaveElement("t", "e", {"name": "bob's"}, actor="bob"),
        SaveFeedback("t", "s", "f", 0, actor="bob"),
    ):
        with pytest.raises(NotTheAuthor, match="'bob' is not the author of thread t"):
            await write_queue.submit(op)
    await write_queue.submit(SaveFeedback("t", "s", "f", 1, actor="ann"))
    with pytest.raises(NotTheAuthor, match="'bob' is not the author of the thread of feedback f"):
        await write_queue.submit(DeleteFeedback("f", actor="bob"))
    assert await write_queue.submit(DeleteFeedback("f", actor="ann")) is True
    by_bob = SaveStep("t", "s", {"output": "bob's"}, actor="bob")
    by_ann = SaveStep("t", "s", {"output": "ann's"}, actor="ann")
    answers = await all_of(write_queue, [by_bob, by_ann])
    assert [type(answer) for answer in answers] == [NotTheAuthor, type(None)]
    assert await outputs(database) == {"s": "ann's"}


async def test_what_others_may_not_write_is_refused_in_the_transaction_of_the_rest(
    write_queue: WriteQueue, database: Database
) -> None:
    await write_queue.submit(SaveUser("ann", {"id": "ann", "metadata": {}}))
    await write_queue.submit(SaveThread("t", {"userId": "ann"}))
    await write_queue.submit(SaveFeedback("t", "s", "f", 1))
    endings: list[str] = []
    for engine, name in product(database.sync_engines, ("commit", "rollback")):
        event.listen(engine, name, lambda _, name=name: endings.append(name))
    ops: list[Op] = [SaveStep("t", f"s{n}", {"output": "ann's"}, actor="ann") for n in range(100)]
    ops[30] = SaveStep("t", "s0", {"output": "bob's"}, actor="bob")
    ops[60] = SaveThread("new", {"userId": "nobody"})
    ops[70] = DeleteFeedback("f", "bob")
    outcome = await execute_batch(database, ops)
    refused = {position: type(error) for position, error in outcome.results.items()}
    assert refused == {30: NotTheAuthor, 60: UnknownOwner, 70: NotTheAuthor}
    assert endings == ["commit"]
    assert await outputs(database) == {f"s{n}": "ann's" for n in range(100) if n not in refused}
    async with database.connect() as connection:
        assert await connection.scalar(select(Thread.id).where(Thread.id == "new")) is None
    answers = await all_of(write_queue, ops)
    assert [n for n, answer in enumerate(answers) if answer is not None] == [30, 60, 70]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_a_batch_on_sqlite_is_one_visit_to_the_writers_thread(
    write_queue: WriteQueue, database: Database
) -> None:
    threads: list[str] = []
    for engine in database.sync_engines:
        event.listen(engine, "checkout", lambda *_: threads.append(current_thread().name))
    ops: list[Op] = [SaveThread("t", {"name": "n"}), SaveStep("t", "s", {}), SaveStep("t", "u", {})]
    await all_of(write_queue, ops)
    assert [name.rpartition("_")[0] for name in threads] == ["chainlit-sqla-writer"]


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_a_step_on_postgresql_is_a_fast_batch(
    write_queue: WriteQueue, database: Database
) -> None:
    statements: list[str] = []
    event.listen(
        database.engine.sync_engine,
        "before_cursor_execute",
        lambda *arguments: statements.append(arguments[2]),
    )
    for values in ({"output": "new"}, {"output": "changed"}):
        await write_queue.submit(SaveStep("t", "s", values))
    assert statements == [], "the fast batch runs on the driver itself"
    assert await outputs(database) == {"s": "changed"}


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_steps_with_different_columns_are_one_statement_without_their_old_rows(
    write_queue: WriteQueue, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns: list[object] = []

    def statement_of(*arguments: Any) -> str:
        columns.append(arguments[-1])
        return fast_batch_sql.statement_of(*arguments)

    monkeypatch.setattr(fast_batch, "statement_of", statement_of)
    given = {"name": "n", "type": "tool", "streaming": False, "metadata": JsonText("{}")}
    both = [
        SaveStep("t", "s", given | {"output": "o"}),
        SaveStep("t", "u", given | {"input": "i", "output": "u"}),
    ]
    await all_of(write_queue, both)
    assert columns == [("input", "metadata", "name", "output", "streaming", "type")]
    await all_of(
        write_queue, [SaveStep("t", "s", given), SaveStep("t", "u", given | {"input": ""})]
    )
    assert columns[1:] == [("input", "metadata", "name", "streaming", "type")]
    assert await outputs(database) == {"s": "o", "u": "u"}


async def test_a_claim_in_the_batch_that_gives_the_thread_its_owner_is_checked(
    write_queue: WriteQueue, database: Database
) -> None:
    await write_queue.submit(SaveUser("alice", {"id": "a"}))
    answers = await all_of(
        write_queue,
        [
            SaveThread("t", {"userId": "a"}, actor="alice"),
            SaveStep("t", "hers", {"output": "hers"}, actor="alice"),
            SaveStep("t", "foreign", {"output": "foreign"}, actor="mallory"),
        ],
    )
    assert [type(answer) for answer in answers] == [type(None), type(None), NotTheAuthor]
    assert await outputs(database) == {"hers": "hers"}


@pytest.mark.parametrize(
    ("method", "times"), [("_end", 1), ("_end", 1_000), ("_isolate", 1), ("take", 1)]
)
async def test_a_mistake_in_the_queue_leaves_nobody_waiting(
    write_queue: WriteQueue,
    database: Database,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    times: int,
) -> None:
    monkeypatch.setattr(queue, "_AFTER_BUG", 0.01)
    owner: Any = write_queue._lanes if method == "take" else write_queue
    mistakes, right = iter(range(times)), getattr(owner, method)

    def wrong(*arguments: Any) -> Any:
        result = right(*arguments) if method == "take" else None
        if next(mistakes, None) is not None:
            raise KeyError("a mistake")
        return result or right(*arguments)

    good: list[Op] = [SaveStep("t", f"s{number}", {"output": "kept"}) for number in range(3)]
    with monkeypatch.context() as patch:
        patch.setattr(owner, method, wrong)
        async with asyncio.timeout(20):
            results = await all_of(write_queue, [*good, bad()])
    expected = [type(None) if times == 1 else WriteError] * 3
    assert [type(result) for result in results[:3]] == expected
    assert isinstance(results[3], WriteError)
    assert caplog.text.count("KeyError: 'a mistake'") == caplog.text.count("report it\n") == 1
    await write_queue.submit(SaveStep("t", "next", {}))
    assert set(await outputs(database)) == {"s0", "s1", "s2", "next"}
    assert write_queue.pending == 0
