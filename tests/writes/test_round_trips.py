"""How often a call waits for the database, counted between the client and PostgreSQL, and by MySQL.

A statement that a connection of PostgreSQL has not prepared yet costs one more, so each call is
made twice.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from chainlit.element import Image
from chainlit.types import Feedback
from chainlit.user import User
from sqlalchemy import text

from chainlit_sqla import SQLADataLayer
from chainlit_sqla.database import Database
from chainlit_sqla.database import migrator as migrations
from chainlit_sqla.errors import NotTheAuthor
from chainlit_sqla.settings import Settings
from chainlit_sqla.writes.execute_batch import execute_batch
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
from tests.contract.build import message, new_id
from tests.servers.mysql import MySQLServer
from tests.servers.postgres import PostgresServer
from tests.servers.proxy import FlakyProxy

Layer = SQLADataLayer
Call = Callable[[Layer, str, str], Awaitable[Any]]
OWNER = "ann"


@pytest.fixture(params=[True, pytest.param(False, id="pooler")])
async def database(
    request: pytest.FixtureRequest, server: PostgresServer, proxy: FlakyProxy
) -> AsyncIterator[Database]:
    url = server.create_database()
    settings = Settings.load(pool_size=1, max_overflow=0, prepared_statements=request.param)
    made = Database(proxy.url(url), settings=settings)
    await migrations.upgrade(made)
    yield made
    await made.close()
    server.drop_database(url)


@pytest.fixture
async def layer(database: Database, tmp_path: Path) -> AsyncIterator[Layer]:
    made = SQLADataLayer(database, storage=f"file://{tmp_path}", settings=database.settings)
    await made.create_user(User(identifier=OWNER))
    yield made
    await made.close()


def element(thread_id: str, id: str, name: str = "x") -> Image:
    return Image(thread_id=thread_id, id=id, for_id="s", name=name, url="https://example.org/x")


async def get_user(layer: Layer, thread_id: str, id: str) -> None:
    layer._users._cached.clear()
    assert await layer.get_user(OWNER)


CALLS: dict[str, tuple[int, Call]] = {
    "create_user": (2, lambda layer, thread, id: layer.create_user(User(identifier=OWNER))),
    "update_thread": (1, lambda layer, thread, id: layer.update_thread(thread, name="n")),
    "metadata": (1, lambda layer, thread, id: layer.update_thread(thread, metadata={"k": 1})),
    "create_step": (1, lambda layer, thread, id: layer.create_step(message(thread, id=id))),
    "create_element": (1, lambda layer, thread, id: layer.create_element(element(thread, id))),
    "update_element": (1, lambda layer, thread, id: layer.create_element(element(thread, id, "y"))),
    "upsert_feedback": (
        1,
        lambda layer, thread, id: layer.upsert_feedback(
            Feedback(forId=id, id=id, value=1, threadId=thread)
        ),
    ),
    "change_feedback": (
        1,
        lambda layer, thread, id: layer.upsert_feedback(
            Feedback(forId=id, id=id, value=0, threadId=thread)
        ),
    ),
    "get_user": (1, get_user),
    "get_thread_author": (1, lambda layer, thread, id: layer.get_thread_author(thread)),
    "get_thread": (1, lambda layer, thread, id: layer.get_thread(thread)),
    "get_element": (1, lambda layer, thread, id: layer.get_element(thread, id)),
    "delete_feedback": (1, lambda layer, thread, id: layer.delete_feedback(id)),
    "delete_element": (1, lambda layer, thread, id: layer.delete_element(id, thread)),
    "delete_step": (1, lambda layer, thread, id: layer.delete_step(id)),
    "delete_thread": (1, lambda layer, thread, id: layer.delete_thread(thread)),
}
"""The calls in an order in which each finds what it needs, with the most round trips."""


async def test_each_call_waits_for_the_server_once(layer: Layer, proxy: FlakyProxy) -> None:
    user = await layer.get_user(OWNER)
    assert user
    # Behind a pooler, statements are prepared each time, in a transaction.
    more = 0 if layer.settings.prepared_statements else 3
    for is_warm in (False, True):
        thread_id, id = new_id(), new_id()
        await layer.update_thread(thread_id, user_id=user.id)
        for name, (most, call) in CALLS.items():
            before = proxy.round_trips
            await call(layer, thread_id, id)
            if is_warm:
                assert proxy.round_trips - before <= most * (1 + more), name


async def test_a_batch_waits_once_however_much_it_deletes(
    database: Database, proxy: FlakyProxy
) -> None:
    counts = []
    for round, number in enumerate((2, 2, 40)):
        ops: list[Op] = [SaveUser(OWNER, {"id": "u", "metadata": {}})]
        for thread_id in (f"{round}-{n}" for n in range(number)):
            ops += [
                SaveThread(thread_id, {"userId": "u"}, {"k": 1}, OWNER),
                SaveStep(thread_id, "s", {"type": "user_message"}, {}, None, OWNER),
                SaveElement(thread_id, "e", {"objectKey": f"key {thread_id}", "forId": "s"}),
                SaveFeedback(thread_id, "s", f"f {thread_id}", 1, actor=OWNER),
                DeleteFeedback(f"f {thread_id}", OWNER),
                DeleteElement("e", thread_id),
                DeleteStep("s", Scope(thread_id)),
                SaveStep(thread_id, "s", {"name": "late"}),
                DeleteThread(thread_id),
            ]
        before = proxy.round_trips
        outcome = await execute_batch(database, ops)
        counts.append(proxy.round_trips - before)
        assert list(outcome.results.values()) == [True] * 4 * number
        assert outcome.has_blobs
    assert counts[1] == counts[2] <= (1 if database.settings.prepared_statements else 4)


async def test_a_refused_author_costs_one_more(database: Database, proxy: FlakyProxy) -> None:
    for name in ("warm", "counted"):
        owned: list[Op] = [
            SaveUser(OWNER, {"id": "u", "metadata": {}}),
            SaveThread(name, {"userId": "u"}),
        ]
        await execute_batch(database, owned)
        ops: list[Op] = [SaveElement(name, f"e{n}", {}, actor=OWNER) for n in range(50)]
        ops[7] = SaveElement(name, "e7", {}, actor="bob")
        before = proxy.round_trips
        outcome = await execute_batch(database, ops)
        round_trips = proxy.round_trips - before
        assert {n: type(error) for n, error in outcome.results.items()} == {7: NotTheAuthor}
    assert round_trips <= (2 if database.settings.prepared_statements else 8)


@pytest.mark.parametrize(
    "op",
    [
        SaveUser("new", {"id": "n", "metadata": {}}),
        SaveElement("t", "e", {"objectKey": "k"}),
        SaveFeedback("t", "s", "f", 1),
        DeleteFeedback("f"),
        DeleteElement("e", "t"),
        DeleteStep("s"),
        DeleteThread("t"),
    ],
    ids=lambda op: type(op).__name__,
)
async def test_the_fast_batch_is_taken(database: Database, op: Op) -> None:
    results = []
    write = database.write_fast_batch

    async def watched(batch: Any) -> Any:
        results.append(await write(batch))
        return results[-1]

    database.write_fast_batch = watched  # type: ignore[method-assign]
    await execute_batch(database, [op])
    assert results
    assert results[0] is not None


STATEMENTS = {
    **dict.fromkeys(("update_thread", "create_step", "upsert_feedback", "change_feedback"), 4),
    **dict.fromkeys(("metadata", "create_element", "update_element"), 5),
    **dict.fromkeys(("get_user", "get_thread_author", "get_element"), 2),
    **{"create_user": 4, "get_thread": 4},
    **{"delete_feedback": 2, "delete_element": 6, "delete_step": 10, "delete_thread": 8},
}
"""The most that a call takes on MySQL and MariaDB, with the end of its transactions."""


@pytest.mark.parametrize("kind", ["mysql", "mariadb"])
async def test_how_many_statements_each_call_takes_on_mysql(
    request: pytest.FixtureRequest, kind: str, tmp_path: Path
) -> None:
    server: MySQLServer = request.getfixturevalue(kind)
    url = server.create_database()
    database = Database(url, settings=Settings.load(pool_size=1, max_overflow=0))
    await migrations.upgrade(database)
    layer = Layer(database, storage=f"file://{tmp_path}", settings=database.settings)
    await layer.create_user(User(identifier=OWNER))
    user = await layer.get_user(OWNER)
    assert user
    query = text("SHOW SESSION STATUS LIKE 'Questions'")

    async def executed() -> int:
        row = (await database.read(lambda c: c.execute(query))).one()
        return int(row.Value)

    own = -await executed() + await executed()
    thread, id = new_id(), new_id()
    await layer.update_thread(thread, user_id=user.id)
    for name, (_, call) in CALLS.items():
        before = await executed()
        await call(layer, thread, id)
        assert await executed() - before - own <= STATEMENTS[name], name
    await layer.close()
    await database.close()
    server.drop_database(url)
