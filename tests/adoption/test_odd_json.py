"""JSON that only some readers take, in Chainlit's tables: people log in, nothing is lost."""

from __future__ import annotations

import json
from typing import Any

import pytest
from chainlit.types import Pagination, ThreadFilter

from chainlit_sqla import SQLADataLayer
from tests.adoption.test_numbers import stored
from tests.adoption.ways import adopt, digests, set_aside, unadopt
from tests.frozen import conversations as said
from tests.frozen.load import Shelf, execute

STEP, THREAD = said.step_id(1, 1), said.thread_id(1)
REASON = "its JSON has what not every database stores"
NO_OBJECT = "its metadata are no JSON object"
NAN = '{"role": "admin", "a": [NaN, -Infinity], "b": 1e400}'
NAN_READ = {"role": "admin", "a": [None, None], "b": None}
HALF = r'{"half": "\ud83d", "whole": "\ud83d\ude00"}'
HALF_READ = {"half": "�", "whole": "😀"}
HUGE = '{"n": 1e400, "role": "admin"}'
HUGE_READ = {"n": None, "role": "admin"}


def write(url: str, text: str) -> None:
    """The metadata of all users and threads, and of a step with its generation."""
    execute(
        url,
        f"UPDATE users SET metadata = '{text}'; UPDATE threads SET metadata = '{text}'; "
        f"UPDATE steps SET metadata = '{text}', generation = '{text}' WHERE id = '{STEP}'",
    )


def typed(url: str, type_: str) -> None:
    """Make all of them columns of a type."""
    for table, name in (
        ("users", "metadata"),
        ("threads", "metadata"),
        ("steps", "metadata"),
        ("steps", "generation"),
    ):
        execute(url, f'ALTER TABLE {table} ALTER "{name}" TYPE {type_} USING "{name}"::{type_}')


async def shown(url: str) -> list[Any]:
    """What Chainlit gets for a user, its thread, alone and in the list, and a step."""
    layer = SQLADataLayer(url)
    try:
        user = await layer.get_user("ada@example.com")
        assert user is not None
        thread = await layer.get_thread(THREAD)
        assert thread is not None
        page = await layer.list_threads(Pagination(first=20), ThreadFilter(userId=user.id))
        [listed] = [one for one in page.data if one["id"] == THREAD]
        [step] = [one for one in thread["steps"] if one["id"] == STEP]
        found = [user.metadata, thread["metadata"], listed["metadata"]]
        return [*found, step["metadata"], step["generation"]]
    finally:
        await layer.close()


CASES = [
    ("sqlite_v8", None, NAN, NAN_READ),
    ("sqlite_v8", None, HALF, HALF_READ),
    ("postgres_text_json", "text", NAN, NAN_READ),
    ("postgres_text_json", "text", HALF, HALF_READ),
    ("postgres_v8", "json", HALF, HALF_READ),
    ("postgres_v8", "json", HUGE, HUGE_READ),
    ("postgres_v8", "jsonb", HUGE, HUGE_READ),
]


@pytest.mark.parametrize(("name", "type_", "text", "expected"), CASES)
async def test_people_log_in_and_the_way_back_gives_the_exact_text(
    frozen: Shelf, name: str, type_: str | None, text: str, expected: Any
) -> None:
    url = frozen.load(name)
    if type_:
        typed(url, type_)
    write(url, text)
    before = await stored(url)
    report = await adopt(url)
    kinds = {kind for kind, reason in report.partly if reason == REASON}
    assert kinds == {"user", "thread", "step"}
    assert await shown(url) == [expected] * 5
    known, aside = await digests(url), await set_aside(url)
    back = await unadopt(url)
    assert back.exact.keys() == kinds
    assert await stored(url) == before
    await adopt(url)
    assert await digests(url) == known
    assert await set_aside(url) == aside


@pytest.mark.parametrize("name", ["sqlite_v8", "postgres_text_json"])
async def test_what_was_changed_since_stays_changed(frozen: Shelf, name: str) -> None:
    url = frozen.load(name)
    write(url, NAN)
    await adopt(url)
    layer = SQLADataLayer(url)
    await layer.update_thread(THREAD, metadata={"a": None, "chat": "1"})
    await layer.close()
    await unadopt(url)
    thread = (await stored(url))[1]
    found = json.loads(thread)
    assert (found["role"], found["chat"]) == ("admin", "1")
    assert "a" not in found


@pytest.mark.parametrize("name", ["sqlite_v8", "postgres_v8"])
@pytest.mark.parametrize("text", ['"just"', "[1, 2]", "7"])
async def test_metadata_that_are_no_object_are_empty_to_chainlit_and_kept(
    frozen: Shelf, name: str, text: str
) -> None:
    url = frozen.load(name)
    execute(url, f"UPDATE users SET metadata = '{text}'; UPDATE threads SET metadata = '{text}'")
    before = await stored(url)
    report = await adopt(url)
    assert {kind for kind, reason in report.partly if reason == NO_OBJECT} == {"user", "thread"}
    assert (await shown(url))[:3] == [{}, {}, {}]
    known, aside = await digests(url), await set_aside(url)
    await unadopt(url)
    after = [json.loads(one) for one in (await stored(url))[:3]]
    assert after == [json.loads(one) for one in before[:3]]
    await adopt(url)
    assert await digests(url) == known
    assert await set_aside(url) == aside
