"""What fails alone waits alone: a locked thread, a missing permission, a poisonous row."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import select, text

from chainlit_sqla.database import Database
from chainlit_sqla.dialects import CommandTimeout
from chainlit_sqla.errors import (
    DatabaseUnavailable,
    RejectedRow,
    RetriesExhausted,
    WriteError,
    WriteQueueFull,
)
from chainlit_sqla.models import Feedback, Step, Thread
from chainlit_sqla.writes import attempts, queue
from chainlit_sqla.writes.execute_batch import BatchOutcome
from chainlit_sqla.writes.operations import (
    DeleteElement,
    DeleteFeedback,
    DeleteStep,
    Op,
    SaveFeedback,
    SaveStep,
    SaveThread,
    SaveUser,
    Scope,
    describe,
    size_of,
)
from chainlit_sqla.writes.queue import WriteQueue
from tests.until import PATIENCE, until

postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)
FAULTY = """
CREATE SEQUENCE tries;
CREATE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF NEW.output = 'raise' THEN RAISE 'no'; END IF;
  IF NEW.output = 'break' THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;
  IF NEW.output = 'flaky' AND nextval('tries') % 4 <> 0 THEN RAISE 'not now'; END IF;
  RETURN NEW; END $$;
CREATE TRIGGER fault BEFORE INSERT OR UPDATE ON steps FOR EACH ROW EXECUTE FUNCTION fault();
"""


def step(thread_id: str, id: str = "s", output: str = "") -> Op:
    return SaveStep(thread_id, id, {"output": output})


def submit(write_queue: WriteQueue, ops: Sequence[Op]) -> list[asyncio.Task[Any]]:
    return [asyncio.create_task(write_queue.submit(op)) for op in ops]


async def run(database: Database, sql: str) -> None:
    """Run statements, which may contain semicolons, on the driver."""
    async with database.connect() as connection:
        await (await connection.get_raw_connection()).driver_connection.execute(sql)


async def written(database: Database) -> set[tuple[str, str]]:
    query = select(Step.thread_id, Step.id)
    async with database.connect() as connection:
        return {(row.threadId, row.id) for row in await connection.execute(query)}


@asynccontextmanager
async def queue_with(database: Database, **changes: Any) -> AsyncIterator[WriteQueue]:
    """A queue with settings of its own, on connections that wait shortly for locks."""
    settings = database.settings.model_copy(update={"lock_timeout": 0.3, **changes})
    other = Database(database.given_url, settings=settings)
    made = WriteQueue(other)
    yield made
    await made.close()
    await other.close()


@asynccontextmanager
async def locked_thread(database: Database, thread_id: str) -> AsyncIterator[None]:
    """Lock a thread's row until the end of the block."""
    async with database.engine.connect() as other, other.begin():
        await other.execute(
            select(Thread.id).where(Thread.id == thread_id).with_for_update(key_share=True)
        )
        yield


@pytest.mark.parametrize("database", ["postgresql", "mysql", "mariadb"], indirect=True)
async def test_a_locked_thread_holds_up_only_its_own_writes(database: Database) -> None:
    sessions = [f"t{number}" for number in range(50)]
    async with queue_with(database) as write_queue:
        await asyncio.gather(*submit(write_queue, [SaveThread(id) for id in sessions]))
    async with queue_with(database, queue_size=100) as write_queue:
        async with locked_thread(database, "t7"):
            tasks = {
                id: submit(
                    write_queue, [step(id, "a"), step(id, "b"), SaveThread(id, {"name": id})]
                )
                for id in sessions
            }
            own = tasks.pop("t7")
            async with asyncio.timeout(PATIENCE):
                await asyncio.gather(*(task for others in tasks.values() for task in others))
                await write_queue.flush("t8")
                await write_queue.submit(step("t8", "later"))
            assert not any(task.done() for task in own)
            assert write_queue.counters().held == 1
            more = submit(write_queue, [step("t7", "c")])
        await asyncio.gather(*own, *more)
        assert write_queue.counters().held == 0
    assert {id for thread_id, id in await written(database) if thread_id == "t7"} == set("abc")


@postgresql
async def test_what_waits_behind_a_held_write_has_one_deadline(database: Database) -> None:
    """Of a thread that stays locked, each would wait for its own after that of the one before."""
    async with queue_with(database, queue_size=100, retry_seconds=0.5) as write_queue:
        await write_queue.submit(SaveThread("t"))
        async with locked_thread(database, "t"):
            [first] = submit(write_queue, [step("t", "first")])
            await until(lambda: write_queue.counters().held == 1)
            behind = submit(write_queue, [step("t", f"s{number}") for number in range(20)])
            with pytest.raises(RetriesExhausted):
                await first
            began = time.monotonic()
            results = await asyncio.gather(*behind, return_exceptions=True)
            assert {type(result) for result in results} == {RetriesExhausted}
            assert time.monotonic() - began < 5  # Not 10.


@postgresql
async def test_a_locked_row_of_a_thread_holds_up_others_for_one_wait(database: Database) -> None:
    """To find it among 32 writes by halves would take six waits of a second."""
    ids = [f"t{number}" for number in range(32)]
    async with queue_with(database, queue_size=100, lock_timeout=1) as write_queue:
        await asyncio.gather(*submit(write_queue, [step(id) for id in ids]))
        async with database.engine.connect() as other, other.begin():
            is_locked = Step.thread_id == "t7"
            await other.execute(select(Step.id).where(is_locked).with_for_update())
            began, tasks = time.monotonic(), submit(write_queue, [step(id) for id in ids])
            own = tasks.pop(7)
            await asyncio.gather(*tasks)
            assert time.monotonic() - began < 3
            assert not own.done()
        await own


@postgresql
async def test_a_revoked_permission_is_ridden_out_and_others_get_in(database: Database) -> None:
    role = f"limited_{database.url.database}"
    await run(
        database,
        f"CREATE ROLE {role} LOGIN PASSWORD 'limited';\n"
        f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role};\n"
        f"REVOKE INSERT ON feedbacks FROM {role}",
    )
    limited = Database(
        database.given_url.set(username=role, password="limited"),
        settings=database.settings.model_copy(update={"queue_size": 100}),
    )
    write_queue = WriteQueue(limited)
    ops = [op for id in "abcd" for op in (step(id), SaveFeedback(id, "s", "f", 1), step(id, "z"))]
    tasks = submit(write_queue, [*ops, step("other")])
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(tasks[-1], *tasks[:12:3])
        assert not any(task.done() for task in tasks[1:12:3])
        await run(database, f"GRANT INSERT ON feedbacks TO {role}")
        await asyncio.gather(*tasks)
    async with database.connect() as connection:
        assert len(list(await connection.scalars(select(Feedback.thread_id)))) == 4
    await write_queue.close()
    await limited.close()
    await run(database, f"DROP OWNED BY {role};\nDROP ROLE {role}")


@postgresql
@pytest.mark.parametrize(("output", "number"), [("raise", 3), ("break", 1)])
async def test_a_row_that_never_gets_in_takes_no_other_with_it(
    database: Database, output: str, number: int
) -> None:
    await run(database, FAULTY)
    async with queue_with(database, retry_seconds=2.0, queue_size=100) as write_queue:
        bad = submit(write_queue, [step(f"bad{n}", "s", output) for n in range(number)])
        good = [step(f"good{n % 10}", f"s{n}") for n in range(20)]
        tasks = submit(write_queue, [*good, step("bad0", "after")])
        assert set(await asyncio.gather(*tasks)) == {None}
        for task in bad:
            with pytest.raises(RetriesExhausted, match=r"step s of thread bad.*2 s of trying.*; "):
                await task
        assert write_queue.counters().held == 0


@postgresql
@pytest.mark.full
async def test_the_writes_of_one_session_with_large_texts_leave_memory_and_others_alone(
    database: Database,
) -> None:
    """All of them in one statement would block the loop, or fail with the writes of others."""
    text = "x" * 4_000_000  # One object: what is measured is what the queue adds.
    large = [step("large", f"s{n}", text) for n in range(100)]
    small = [step(f"small{n}") for n in range(20)]
    async with queue_with(database, queue_size=1_000) as write_queue:
        tracemalloc.start()
        try:
            tasks = submit(write_queue, [*large[:50], *small, *large[50:]])
            await asyncio.gather(*tasks[50:70])
            assert sum(task.done() for task in tasks) < 40, "others take their turns"
            await asyncio.gather(*tasks)
            assert tracemalloc.get_traced_memory()[1] < 60_000_000
        finally:
            tracemalloc.stop()
    assert len(await written(database)) == 120


@postgresql
async def test_the_halves_of_a_batch_share_its_deadline(database: Database) -> None:
    await run(database, FAULTY)
    async with queue_with(database, retry_seconds=2.0, queue_size=100) as write_queue:
        bad = submit(write_queue, [step(f"bad{number}", "s", "raise") for number in range(30)])
        async with asyncio.timeout(20):  # One after the other, they would take 60 s.
            results = await asyncio.gather(*bad, return_exceptions=True)
        assert {type(result) for result in results} == {RetriesExhausted}


@postgresql
async def test_the_writes_of_a_thread_keep_their_order_through_faults(database: Database) -> None:
    """Each row records its transaction; later transactions have higher numbers."""
    await run(database, FAULTY)
    await run(
        database,
        "CREATE TABLE log (thread text, number int, xid bigint);\n"
        "CREATE FUNCTION log() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        '  INSERT INTO log VALUES (NEW."threadId", NEW.id::int, txid_current());'
        "  RETURN NEW; END $$;\n"
        "CREATE TRIGGER log AFTER INSERT ON steps FOR EACH ROW EXECUTE FUNCTION log()",
    )
    ops = [
        step(f"t{number % 7}", str(number), "flaky" if number % 11 == 0 else "good")
        for number in range(300)
    ]
    async with queue_with(database, batch_size=20, queue_size=1_000) as write_queue:
        await asyncio.gather(*submit(write_queue, ops))
    async with database.connect() as connection:
        rows = list(await connection.execute(text("SELECT thread, number, xid FROM log")))
    assert len(rows) == 300
    for thread in {row.thread for row in rows}:
        xids = [row.xid for row in sorted(rows, key=lambda r: r.number) if row.thread == thread]
        assert xids == sorted(xids)


@postgresql
async def test_close_names_what_a_held_thread_could_not_write(database: Database) -> None:
    async with queue_with(database, close_seconds=1.0, retry_seconds=300) as write_queue:
        await write_queue.submit(SaveThread("t"))
        async with locked_thread(database, "t"):
            tasks = submit(write_queue, [step("t", "a"), step("t", "b"), step("other")])
            await until(lambda: write_queue.counters().held == 1)
            unwritten = await write_queue.close()
        assert [describe(op) for op in unwritten] == ["step a of thread t", "step b of thread t"]
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results] == [RetriesExhausted] * 2 + [type(None)]


@postgresql
async def test_a_write_that_gets_no_answer_takes_no_other_with_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each half with it would wait, until the deadline of all has passed."""

    async def execute(_database: Database, ops: Sequence[Op]) -> BatchOutcome:
        if any(op.thread_id == "bad" for op in ops):
            await asyncio.sleep(0.6)
            raise CommandTimeout
        return BatchOutcome()

    monkeypatch.setattr(attempts, "execute_batch", execute)
    async with queue_with(database, retry_seconds=2.5) as write_queue:
        bad, *good = submit(write_queue, [step("bad"), *(step(f"t{n}") for n in range(20))])
        await asyncio.gather(*good)
        with pytest.raises(RetriesExhausted):
            await bad


@postgresql
async def test_a_write_alone_is_acknowledged_while_others_wait(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    others_wait = False

    async def execute(_database: Database, ops: Sequence[Op]) -> BatchOutcome:
        nonlocal others_wait
        if ops[0].thread_id == "other":
            others_wait = True
            await asyncio.sleep(PATIENCE)
        if not others_wait:
            raise ArithmeticError
        return BatchOutcome()

    monkeypatch.setattr(attempts, "execute_batch", execute)
    async with queue_with(database, close_seconds=0.1) as write_queue:
        [alone] = submit(write_queue, [step("t")])
        await until(lambda: write_queue.counters().held == 1)
        [other] = submit(write_queue, [step("other")])
        async with asyncio.timeout(1):
            await alone
            await write_queue.flush("t")
        assert not other.done()
    await asyncio.gather(other, return_exceptions=True)


@postgresql
async def test_cancelled_reads_leave_nothing_in_the_queue(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def execute(_database: Database, _ops: Sequence[Op]) -> BatchOutcome:
        raise ConnectionResetError

    monkeypatch.setattr(attempts, "execute_batch", execute)
    async with queue_with(database, close_seconds=0.1) as write_queue:
        [task] = submit(write_queue, [step("t")])
        await asyncio.sleep(0)
        for _ in range(10):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(write_queue.flush("t"), 0.01)
        assert not any(write_queue._waiters.values())
    await asyncio.gather(task, return_exceptions=True)


@postgresql
async def test_nothing_is_written_after_closing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing ends what begins to be held while it waits, too."""
    sizes: list[int] = []

    async def execute(_database: Database, ops: Sequence[Op]) -> BatchOutcome:
        sizes.append(len(ops))
        if sizes == [4, 2, 1, 1, 2]:  # The first two are held by now.
            await asyncio.sleep(PATIENCE)
        raise ArithmeticError

    monkeypatch.setattr(attempts, "execute_batch", execute)
    async with queue_with(database) as write_queue:
        tasks = submit(write_queue, [step(id) for id in "abcd"])
        await asyncio.sleep(0)
        assert len(await write_queue.close(0.5)) == 4
        attempted = len(sizes)
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(2.5)
        assert len(sizes) == attempted


@postgresql
async def test_a_thread_waits_for_the_login_of_its_owner(database: Database) -> None:
    """Otherwise it would be refused, because there is no such user."""
    await run(
        database,
        "CREATE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE 'not now'; END $$;\n"
        "CREATE TRIGGER fault BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION fault()",
    )
    async with queue_with(database) as write_queue:
        owned = [SaveUser("ann", {"id": "u"}), SaveThread("t", {"userId": "u"})]
        tasks = submit(write_queue, [*owned, step("other")])
        await tasks[-1]
        assert not tasks[0].done()
        assert not tasks[1].done()
        await run(database, "DROP TRIGGER fault ON users")
        await asyncio.gather(*tasks)


async def test_large_texts_are_written_in_batches_of_a_few_megabytes(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[tuple[int, int]] = []

    async def record(database: Database, ops: Sequence[Op]) -> BatchOutcome:
        batches.append((len(ops), sum(map(size_of, ops))))
        return await execute_batch(database, ops)

    execute_batch = attempts.execute_batch
    monkeypatch.setattr(attempts, "execute_batch", record)
    large = [step("large", f"s{number}", "x" * 2_000_000) for number in range(8)]
    huge = step("huge", "s", "x" * 6_000_000)
    small = [step(f"small{number}") for number in range(20)]
    async with queue_with(database, queue_bytes=10_000_000) as write_queue:
        await asyncio.gather(*submit(write_queue, [*large, huge, *small]))
    assert len(await written(database)) == 29
    assert all(size < 4 * 2**20 or number == 1 for number, size in batches)


async def test_a_write_beyond_the_line_fails_at_once_and_the_others_get_in(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "_LINE_CALLERS", 6)
    opened = asyncio.Event()
    write_queue = WriteQueue(database, opened.wait)  # Its size is 4.
    tasks = submit(write_queue, [step("t", f"s{number}") for number in range(10)])
    await asyncio.sleep(0)
    with pytest.raises(WriteQueueFull, match=r"step late of thread t.*10 writes.*; check the data"):
        await write_queue.submit(step("t", "late"))
    opened.set()
    await asyncio.gather(*tasks)
    await write_queue.submit(step("t", "now"))
    await write_queue.close()


async def test_the_line_is_bounded_by_bytes_and_a_larger_write_gets_in_when_it_is_empty(
    database: Database,
) -> None:
    async with queue_with(database, queue_bytes=1_000) as write_queue:
        larger = step("t", "larger", "x" * 100_000)
        tasks = submit(write_queue, [larger, step("t", "late")])
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [type(None), WriteQueueFull]


@pytest.mark.parametrize(
    "op",
    [
        step("t", ""),
        step("", "s"),
        step("t", "x" * 10_000),
        step("t", "ü" * 1_000),
        step("t", None),  # type: ignore[arg-type]
        SaveThread(7),  # type: ignore[arg-type]
        SaveUser("x" * 10_000, {"id": "u"}),
        SaveFeedback("t", "s", "", 1),
        DeleteStep("", Scope("t")),
        DeleteFeedback(""),
        DeleteElement("x" * 10_000, "t"),
    ],
    ids=describe,
)
async def test_ids_that_cannot_be_stored_are_refused_before_the_queue(
    database: Database, op: Op
) -> None:
    async def prepare() -> None:
        raise AssertionError("it is in a batch")

    write_queue = WriteQueue(database, prepare)
    with pytest.raises(RejectedRow, match=r"; (pass a non-empty string|use a shorter one)$"):
        await write_queue.submit(op)
    assert write_queue.pending == 0
    await write_queue.close()


async def test_deleting_a_step_without_an_id_leaves_its_thread(database: Database) -> None:
    """The tombstone of a thread is that of the step with the empty id."""
    async with queue_with(database) as write_queue:
        await write_queue.submit(step("t", "a"))
        with pytest.raises(WriteError):
            await write_queue.submit(DeleteStep("", Scope("t")))
        await write_queue.submit(step("t", "b"))
    assert await written(database) == {("t", "a"), ("t", "b")}


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_far_from_the_database_a_flood_is_written_in_large_batches(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []

    async def take_a_round_trip(_database: Database, ops: Sequence[Op]) -> BatchOutcome:
        batches.append(len(ops))
        await asyncio.sleep(0.05)
        return BatchOutcome()

    monkeypatch.setattr(attempts, "execute_batch", take_a_round_trip)
    async with queue_with(database, queue_size=10_000) as write_queue:
        await write_queue.submit(step("t", "first"))
        await asyncio.gather(*submit(write_queue, [step("t", f"s{n}") for n in range(2_000)]))
    assert len(batches) < 20, "not 40 of a lane's usual share"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_an_outage_is_over_when_all_that_waited_is_written(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_down, outages = True, list[float | None]()

    async def execute(_database: Database, ops: Sequence[Op]) -> BatchOutcome:
        if is_down:
            raise DatabaseUnavailable("down")
        outages.append(write_queue.outage.seconds)
        return BatchOutcome()

    monkeypatch.setattr(attempts, "execute_batch", execute)
    async with queue_with(database, batch_size=10) as write_queue:
        tasks = submit(write_queue, [step(f"t{n}") for n in range(30)])
        await until(lambda: write_queue.outage.reason is not None)
        is_down = False
        await asyncio.gather(*tasks)
        assert len(outages) == 3
        assert None not in outages, "over before the last batch"
        assert write_queue.outage.seconds is None
