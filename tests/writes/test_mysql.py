"""The write queue on MySQL and MariaDB: the server dies, conflicts and refuses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from functools import partial

import pytest
from sqlalchemy import select, text

from chainlit_sqla import SQLADataLayer
from chainlit_sqla.database import Database
from chainlit_sqla.database import migrator as migrations
from chainlit_sqla.errors import RejectedRow
from chainlit_sqla.models import BlobDeletion, Step, Thread
from chainlit_sqla.models import User as UserRow
from chainlit_sqla.settings import Settings
from chainlit_sqla.transfer.importing import ImportTarget
from chainlit_sqla.transfer.records import Record
from chainlit_sqla.transfer.sources import Chunk
from chainlit_sqla.writes import deletion_queue
from chainlit_sqla.writes.operations import Op, SaveFeedback, SaveStep, SaveThread, SaveUser
from chainlit_sqla.writes.queue import WriteQueue
from tests.servers.mysql import MySQLServer, start_mysql
from tests.servers.proxy import FlakyProxy
from tests.until import PATIENCE, until
from tests.writes.test_failures import (
    direct,
    ids,
    started_queue,
    step,
    write_beside_a_deletion,
    write_while_it_is_killed,
)

PACKET = 1_048_576


@pytest.fixture(scope="module", params=["mariadb", "mysql"])
def server(request: pytest.FixtureRequest) -> Iterator[MySQLServer]:
    made = start_mysql(request.param, own=True, max_allowed_packet=PACKET)
    yield made
    made.stop()


@pytest.fixture
def database(behind_proxy: Database) -> Database:
    return behind_proxy


@pytest.fixture
async def write_queue(database: Database) -> AsyncIterator[WriteQueue]:
    async with started_queue(database) as made:
        yield made


async def test_a_server_that_is_killed_and_started_again_costs_nothing(
    server: MySQLServer, database: Database, write_queue: WriteQueue
) -> None:
    await write_while_it_is_killed(server, write_queue)
    assert await ids(database) == [f"s{n:03}" for n in range(120)]


@pytest.mark.parametrize("deliver", [False, True])
@pytest.mark.parametrize("at", [b"COMMIT", b"s001"], ids=["the commit", "a row"])
async def test_a_connection_that_is_lost_costs_nothing(
    proxy: FlakyProxy, database: Database, write_queue: WriteQueue, deliver: bool, at: bytes
) -> None:
    proxy.cut_at(at, deliver=deliver)
    more: list[Op] = [step(1), SaveFeedback("t", "s000", "f", 1)]
    await asyncio.gather(*(write_queue.submit(op) for op in more))
    assert not proxy.cut_pending
    assert await ids(database) == ["s000", "s001"]


async def test_idle_connections_that_were_dropped_are_replaced(
    proxy: FlakyProxy, database: Database, write_queue: WriteQueue, caplog: pytest.LogCaptureFixture
) -> None:
    proxy.drop_all()
    await write_queue.submit(step(1))
    proxy.drop_all()
    assert await database.read(lambda c: c.scalar(select(Thread.id))) == "t"


async def waiting_for_a_lock(server: MySQLServer) -> None:
    """Return when a connection waits for somebody's lock."""
    query = "SELECT count(*) AS n FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"

    async def waits() -> bool:
        await asyncio.sleep(0.15)  # Asked within 0.1 s, it says the same once more.
        return bool((await asyncio.to_thread(server.execute, query))[0]["n"])

    await until(waits)


async def test_a_thread_that_another_process_is_deleting_stays_deleted(
    server: MySQLServer, database: Database, write_queue: WriteQueue
) -> None:
    await write_beside_a_deletion(database, write_queue, waiting_for_a_lock(server))


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(1213, id="deadlock"),
        pytest.param(1205, id="lock timeout"),
        pytest.param(1317, id="interrupted"),
        pytest.param(1114, id="disk full"),
        pytest.param(1290, id="read-only"),
        pytest.param(1047, id="a node without its cluster"),
    ],
)
async def test_transient_errors_are_retried(
    server: MySQLServer, database: Database, write_queue: WriteQueue, number: int
) -> None:
    for statement in (
        # What it counts up to is not rolled back, so the third attempt gets through.
        "CREATE TABLE tries (n INT AUTO_INCREMENT PRIMARY KEY)",
        f"""CREATE TRIGGER refuse BEFORE INSERT ON feedbacks FOR EACH ROW BEGIN
            INSERT INTO tries VALUES (NULL);
            IF LAST_INSERT_ID() < 3 THEN
              SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = {number}, MESSAGE_TEXT = 'not now';
            END IF; END""",
    ):
        await asyncio.to_thread(server.execute, statement, url=direct(server, database))
    await write_queue.submit(SaveFeedback("t", "s000", "f", 1))
    counted = "SELECT (SELECT max(n) FROM tries) AS n, (SELECT count(*) FROM feedbacks) AS rows_"
    [row] = await asyncio.to_thread(server.execute, counted, url=direct(server, database))
    assert (row["n"], row["rows_"]) == (3, 1)


async def test_a_row_larger_than_a_packet_is_refused_and_others_are_written(
    database: Database, write_queue: WriteQueue
) -> None:
    large = SaveStep("t", "large", {"output": "x" * (PACKET + 10)})
    quoted = SaveStep("t", "quoted", {"output": "'" * (PACKET // 2 + 10)})
    results = await asyncio.gather(
        *(write_queue.submit(op) for op in (step(1), large, step(2), quoted, step(3))),
        return_exceptions=True,
    )
    assert (results[0], results[2], results[4]) == (None, None, None)
    assert [type(result) for result in (results[1], results[3])] == [RejectedRow] * 2
    assert "raise its max_allowed_packet" in str(results[1])
    assert await ids(database) == ["s000", "s001", "s002", "s003"]
    await write_queue.submit(SaveStep("t", "fits", {"output": "x" * (PACKET - 2_000)}))


async def test_a_row_of_many_packets_is_refused_immediately(server: MySQLServer) -> None:
    """The server answers while the driver still sends, and the driver loses its step."""
    url = server.create_database()  # Not through the proxy, which takes all first.
    limits = {"retry_seconds": 300, "close_seconds": PATIENCE, "max_row_bytes": 2**30}
    made = Database(url, settings=Settings.load(**limits))
    await migrations.upgrade(made)
    write_queue = WriteQueue(made)
    huge = SaveStep("t", "huge", {"output": "x" * 100_000_000})
    with pytest.raises(RejectedRow, match="raise its max_allowed_packet"):
        await asyncio.wait_for(write_queue.submit(huge), PATIENCE)
    await write_queue.submit(step(1))
    assert await ids(made) == ["s001"]
    await write_queue.close()
    await made.close()
    server.drop_database(url)


async def test_an_import_of_a_row_larger_than_a_packet_writes_the_others_and_says_what_to_do(
    database: Database, write_queue: WriteQueue
) -> None:
    await write_queue.submit(step(1))
    outputs = {"a": "x" * (PACKET + 10), "b": "said", "c": "x" * (PACKET - 100)}
    records = [
        Record.parse(json.dumps({"kind": "step", "threadId": "t", "id": id, "output": output}))
        for id, output in outputs.items()
    ]
    with pytest.raises(RejectedRow, match="raise its max_allowed_packet"):
        # The quarantine cannot hold the row, either.
        await ImportTarget(database, "a file").write(Chunk(records))
    assert await ids(database) == ["b", "s000", "s001"]


async def test_an_id_that_is_too_long_is_refused_and_never_cut(
    database: Database, write_queue: WriteQueue
) -> None:
    longest, longer = "é" * 255, "é" * 256
    await write_queue.submit(SaveStep(longest, longest, {}))
    for op in (SaveStep("t", longer, {}), SaveStep(longer, "s", {}), SaveThread(longer)):
        with pytest.raises(RejectedRow, match=r"255 characters at most.*use a shorter one"):
            await write_queue.submit(op)
    with pytest.raises(RejectedRow, match="512 characters at most"):
        await write_queue.submit(SaveUser("x" * 513, {"id": "u", "metadata": {}}))
    assert await ids(database) == ["s000", longest]


async def test_the_servers_own_mode_does_not_matter(
    server: MySQLServer, database: Database, write_queue: WriteQueue
) -> None:
    [before] = server.execute("SELECT @@GLOBAL.sql_mode AS mode")
    odd_mode = "ANSI,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH"
    server.execute("SET GLOBAL sql_mode = %s", odd_mode)
    try:
        fresh = Database(database.given_url, settings=database.settings)
        layer = SQLADataLayer(fresh, settings=fresh.settings)
        odd = "a\\b 'c' \"d\" 100% \\' \n"
        await layer.create_step({"id": "odd", "threadId": "t", "type": "tool", "output": odd})
        thread = await layer.get_thread("t")
        assert thread
        assert [one["output"] for one in thread["steps"] if one["id"] == "odd"] == [odd]
        with pytest.raises(RejectedRow):
            await layer.create_step({"id": "x" * 300, "threadId": "t", "type": "tool"})
        await layer.close()
    finally:
        server.execute("SET GLOBAL sql_mode = %s", before["mode"])


async def test_the_longest_object_keys_are_told_apart(database: Database) -> None:
    keys = ["k" * 1023 + end for end in "ab"] + ["ü" * 511 + end for end in "aA"] + ["k", "K", "k "]
    async with database.write() as connection:
        for _ in ("new", "there already"):
            assert await connection.run_sync(deletion_queue.enqueue, database.dialect, keys)
    async with database.connect() as connection:
        assert set(await connection.run_sync(deletion_queue.read_due, 100)) == set(keys)
        assert len(list(await connection.scalars(select(BlobDeletion.object_key)))) == len(keys)
    async with database.write() as connection:
        await connection.run_sync(deletion_queue.dequeue, [keys[0], "K"])
    async with database.connect() as connection:
        left = set(await connection.run_sync(deletion_queue.read_due, 100))
    assert left == set(keys) - {keys[0], "K"}


async def test_a_users_row_is_not_taken_by_another_identifier(
    database: Database, write_queue: WriteQueue
) -> None:
    """An upsert here means any unique key: it must not change the user with the same id."""
    await write_queue.submit(SaveUser("alice", {"id": "u", "metadata": {"role": "a"}}))
    with pytest.raises(RejectedRow):
        await write_queue.submit(SaveUser("mallory", {"id": "u", "metadata": {"role": "m"}}))
    await write_queue.submit(SaveUser("alice", {"id": "other", "metadata": {"role": "b"}}))
    async with database.connect() as connection:
        rows = (await connection.execute(select(UserRow.id, UserRow.identifier))).all()
        metadata = await connection.scalar(select(UserRow.metadata_))
    assert [tuple(row) for row in rows] == [("u", "alice")]
    assert metadata == {"role": "b"}


async def under_way(server: MySQLServer, query: str) -> bool:
    asked = "SELECT count(*) AS n FROM information_schema.processlist WHERE info = %s"
    return bool((await asyncio.to_thread(server.execute, asked, query))[0]["n"])


async def test_a_read_that_is_cancelled_leaves_no_answer_for_the_next_one(
    server: MySQLServer, database: Database, write_queue: WriteQueue
) -> None:
    for number in range(8):  # More than the pool keeps.
        query = f"SELECT sleep({300 + number})"
        read = asyncio.create_task(database.read(lambda c, q=query: c.scalar(text(q))))  # type: ignore[misc]
        await until(partial(under_way, server, query))
        read.cancel()
        with pytest.raises(asyncio.CancelledError):
            await read
        assert await database.read(lambda c: c.scalar(select(Step.id))) == "s000"
