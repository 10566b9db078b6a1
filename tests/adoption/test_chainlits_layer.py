"""Chainlit's own layer works on what is given back: it reads, and it writes without an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from chainlit.context import ChainlitContext, context_var
from chainlit.element import Text
from chainlit.session import HTTPSession
from chainlit.types import Feedback
from chainlit.user import User

from chainlit_sqla import SQLADataLayer
from chainlit_sqla.database import migrator as migrations
from tests.adoption.ways import adopt, opened, unadopt
from tests.frozen import conversations as said
from tests.frozen.load import Shelf
from tests.frozen.sqlalchemy_layer import open_layer
from tests.frozen.variants import VARIANTS, Variant

USER, THREAD = "5f0c3f1a-0000-4000-8000-000000000001", "5f0c3f1a-0000-4000-8000-000000000002"
STEP, FILE = "5f0c3f1a-0000-4000-8000-000000000003", "5f0c3f1a-0000-4000-8000-000000000004"
OPINION = "5f0c3f1a-0000-4000-8000-000000000005"


def variant(name: str) -> Variant:
    return next(one for one in VARIANTS if one.name == name)


async def talk(url: str, shape: Variant, folder: Path) -> None:
    """What Chainlit 2.12 writes in a turn; its layer raises here what it else only logs."""
    context_var.set(ChainlitContext(HTTPSession(id="session", client_type="webapp")))
    layer = open_layer(shape, url, folder)
    layer.clock = "2026-02-01T00:00:00.000000Z"
    try:
        user = await layer.create_user(User("new@example.com", metadata={"new": True}))
        assert user is not None
        await layer.update_thread(THREAD, name="after", user_id=user.id, metadata={"a": 1})
        step: Any = {
            "id": STEP,
            "threadId": THREAD,
            "name": "me",
            "type": "user_message",
            "output": "written by Chainlit's layer",
            "createdAt": "2026-02-01T00:00:01.000000Z",
            "streaming": False,
            "waitForAnswer": False,
            "isError": False,
            "showInput": "json",
            "defaultOpen": True,
            "autoCollapse": True,
            "command": "/do",
            "metadata": {"b": 2},
        }
        await layer.create_step(step)
        await layer.create_element(
            Text(id=FILE, thread_id=THREAD, for_id=STEP, name="a.txt", content="a")
        )
        await layer.upsert_feedback(
            Feedback(id=OPINION, forId=STEP, threadId=THREAD, value=1, comment="good")
        )
        thread = await layer.get_thread(THREAD)
        assert thread is not None
        [found] = thread["steps"]
        assert found["output"] == step["output"]
        assert found["feedback"]["comment"] == "good"  # type: ignore[index]
        assert len(thread["elements"] or []) == 1
    finally:
        await layer.close()


async def heard(url: str, **settings: Any) -> Any:
    """The same thread through our layer."""
    async with opened(url, **settings) as database:
        layer = SQLADataLayer(database, settings=database.settings)
        try:
            return await layer.get_thread(THREAD)
        finally:
            await layer.close()


@pytest.mark.parametrize(
    "name",
    [
        "sqlite_v1",
        "sqlite_v8",
        "sqlite_duplicates",
        "postgres_v1",
        "postgres_v8",
        "postgres_no_foreign_keys",
        "postgres_text_json",
    ],
)
async def test_it_writes_on_what_was_adopted_and_the_next_adoption_has_it(
    frozen: Shelf, tmp_path: Path, name: str
) -> None:
    url = frozen.load(name)
    await adopt(url)
    await unadopt(url)
    await talk(url, variant(name), tmp_path / "files")
    await adopt(url)
    thread = await heard(url)
    [step] = thread["steps"]
    assert (step["output"], step["command"]) == ("written by Chainlit's layer", "/do")
    assert step["feedback"]["value"] == 1
    assert [one["name"] for one in thread["elements"]] == ["a.txt"]


@pytest.mark.parametrize("name", ["sqlite_v8", "postgres_v8"])
async def test_a_thread_that_it_made_anew_after_a_deletion_takes_further_writes(
    frozen: Shelf, tmp_path: Path, name: str
) -> None:
    url = frozen.load(name)
    await adopt(url)
    async with opened(url) as database:
        layer = SQLADataLayer(database, settings=database.settings)
        await layer.update_thread(THREAD, name="gone")
        await layer.delete_thread(THREAD)
        await layer.close()
    await unadopt(url)
    await talk(url, variant(name), tmp_path / "files")
    await adopt(url)
    async with opened(url) as database:
        layer = SQLADataLayer(database, settings=database.settings)
        late: Any = {"id": said.step_id(9, 9), "threadId": THREAD, "output": "later"}
        await layer.create_step(late)
        await layer.close()
    assert [one["output"] for one in (await heard(url))["steps"]][-1] == "later"


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
async def test_it_works_on_a_database_that_was_always_ours(
    frozen: Shelf, tmp_path: Path, dialect: str
) -> None:
    url = frozen.empty(dialect)
    async with opened(url) as database:
        await migrations.upgrade(database)
        layer = SQLADataLayer(database, settings=database.settings)
        user = await layer.create_user(User("old@example.com"))
        await layer.update_thread(said.thread_id(1), name="before", user_id=user.id)
        for number in range(3):
            step: Any = {
                "id": said.step_id(1, number),
                "threadId": said.thread_id(1),
                "type": "assistant_message",
                "name": "it",
                "output": f"{number}",
                "createdAt": "2026-01-01T00:00:00Z",
                "showInput": {"odd": [1]},
                "more": {"kept": True},
            }
            await layer.create_step(step)
        await layer.delete_step(said.step_id(1, 0))
        before = await layer.get_thread(said.thread_id(1))
        await layer.close()
    report = await unadopt(url)
    assert report.beside["step"] == 2
    shape = variant("sqlite_v8" if dialect == "sqlite" else "postgres_v8")
    await talk(url, shape, tmp_path / "files")
    await adopt(url)
    async with opened(url) as database:
        layer = SQLADataLayer(database, settings=database.settings)
        assert await layer.get_thread(said.thread_id(1)) == before
        late: Any = {"id": said.step_id(1, 0), "threadId": said.thread_id(1), "output": "late"}
        await layer.update_step(late)
        assert await layer.get_thread(said.thread_id(1)) == before  # It stays deleted.
        await layer.close()
