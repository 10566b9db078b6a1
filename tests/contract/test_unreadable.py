"""A value that another program wrote and nobody can read hides nothing but itself."""

from __future__ import annotations

import json
from typing import Any

import pytest
from chainlit.types import Pagination, ThreadFilter
from sqlalchemy import text

from tests.contract.build import at, file_element, listed, message, new_id, said, thread

pytestmark = pytest.mark.ours

NOT_JSON = ('{"a": NaN}', '{"a": 1', "", "yesterday", '{"a": 1e400}', "[1]", "null")
NOT_TIMES = ("yesterday", "", "2026-13-45T00:00:00Z", "1772366400", "2026-03-01 12:00:00")


async def corrupt(layer: Any, sql: str) -> None:
    async with layer.database.write() as connection:
        await connection.execute(text(sql.replace(":", r"\:")))


def literals(values: tuple[str, ...]) -> list[str]:
    """Also text that is not UTF-8, and bytes instead of text."""
    undecodable = "CAST(x'7b226122ff' AS TEXT)"
    return [f"'{value}'" for value in values] + [undecodable, "x'ff'"]


async def conversation(layer: Any, owner: Any, number: int = 0) -> str:
    thread_id = await thread(layer, owner, name=f"n{number}", metadata={"k": 1}, tags=["a"])
    values = {"metadata": {"favorite": True}, "generation": {"g": 1}, "modes": {"m": "n"}}
    await layer.create_step(message(thread_id, "said", id=f"s{thread_id}", tags=["t"], **values))
    await layer.create_element(
        file_element(thread_id, f"s{thread_id}", id=f"e{thread_id}", content="x")
    )
    return thread_id


@pytest.mark.parametrize(
    ("table", "column"),
    [
        *(("threads", name) for name in ("metadata", "tags", "createdAt", "updatedAt", "name")),
        *(("steps", name) for name in ("metadata", "tags", "generation", "modes", "showInput")),
        *(("steps", name) for name in ("extra", "createdAt", "start", "end", "output")),
        *(("elements", name) for name in ("props", "playerConfig", "extra", "name")),
        *(("users", name) for name in ("metadata", "createdAt", "displayName")),
    ],
)
async def test_a_value_that_cannot_be_read_hides_nothing_else(
    layer: Any, alice: Any, table: str, column: str
) -> None:
    is_time = column in ("createdAt", "updatedAt", "start", "end")
    values = literals(NOT_TIMES if is_time else NOT_JSON)
    if column in ("name", "output", "displayName"):
        values = values[-2:-1]
    ids = [await conversation(layer, alice, number) for number in range(len(values))]
    for thread_id, value in zip(ids, values, strict=True):
        key = {"threads": f"id = '{thread_id}'", "users": f"id = '{alice.id}'"}.get(
            table, f"\"threadId\" = '{thread_id}'"
        )
        await corrupt(layer, f'UPDATE {table} SET "{column}" = {value} WHERE {key}')
        layer._users._cached.clear()
        user = await layer.get_user(alice.identifier)
        assert (user.id, type(user.metadata)) == (alice.id, dict)
        found = await layer.get_thread(thread_id)
        assert [step["id"] for step in found["steps"]] == [f"s{thread_id}"]
        assert [element["id"] for element in found["elements"]] == [f"e{thread_id}"]
        assert isinstance(found["metadata"], dict)
        json.dumps(found, allow_nan=False)
        if table != "users":
            # It can be written on, and repairs itself where Chainlit writes the value again.
            await said(layer, thread_id)
            await layer.update_thread(thread_id, metadata={"left": True}, tags=["b"])
            written = await layer.get_thread(thread_id)
            assert (len(written["steps"]), written["metadata"]["left"]) == (2, True)
    assert sorted(await listed(layer, alice)) == sorted(ids)
    assert len(await layer.get_favorite_steps(alice.id)) >= (column != "metadata") * len(ids)


async def test_what_is_readable_is_shown_and_the_row_logged_once(
    layer: Any, alice: Any, caplog: pytest.LogCaptureFixture
) -> None:
    thread_id = await conversation(layer, alice)
    await corrupt(layer, """UPDATE threads SET metadata = '{"a": NaN, "b": 2}'""")
    await corrupt(layer, "UPDATE threads SET \"updatedAt\" = 'yesterday'")
    for _ in range(3):
        page = await layer.list_threads(Pagination(first=20), ThreadFilter(userId=alice.id))
        [entry] = page.data
        assert entry["metadata"] == {"a": None, "b": 2}
    assert [line for line in caplog.messages if thread_id in line] == [
        f"Not shown completely: thread {thread_id} has a JSON document that cannot be read; "
        "correct its row"
    ]


async def test_pages_go_on_after_times_that_cannot_be_read(layer: Any, alice: Any) -> None:
    ids = [await thread(layer, alice) for _ in range(9)]
    for number, thread_id in enumerate(ids):
        await layer.create_step(message(thread_id, createdAt=at(number), id=new_id()))
    times = ("yesterday", "2026-03-01", "1772366400")
    for thread_id, value in zip(ids, times, strict=False):
        where = f"WHERE id = '{thread_id}'"
        await corrupt(layer, f"UPDATE threads SET \"updatedAt\" = '{value}' {where}")
    assert set(await listed(layer, alice, page=4)) == set(ids)
