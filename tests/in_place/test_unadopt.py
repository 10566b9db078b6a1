"""After the way back, Chainlit's own layer reads today's threads and works on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from chainlit.context import ChainlitContext, context_var
from chainlit.element import Text
from chainlit.session import HTTPSession
from chainlit.types import Feedback
from chainlit.user import User

from chainlit_sqla import SQLADataLayer
from chainlit_sqla.database import migrator
from chainlit_sqla.errors import AdoptionRefused
from chainlit_sqla.transfer.in_place import BackupRemoval
from chainlit_sqla.transfer.sources import QuarantinedRow
from tests.frozen import conversations as said
from tests.frozen import original
from tests.frozen.catalog import names
from tests.frozen.comparable import differences
from tests.frozen.load import Shelf, execute, rows
from tests.in_place.changes import adopt, digests, opened, quarantined, settings_of, unadopt

NEW_USER, NEW_THREAD = (
    "5f0c3f1a-0000-4000-8000-000000000001",
    "5f0c3f1a-0000-4000-8000-000000000002",
)
NEW_STEP, FILE = "5f0c3f1a-0000-4000-8000-000000000003", "5f0c3f1a-0000-4000-8000-000000000004"
OPINION = "5f0c3f1a-0000-4000-8000-000000000005"


def step(id: str, thread: str, **values: Any) -> Any:
    return {
        "id": id,
        "threadId": thread,
        "name": "me",
        "type": "user_message",
        "output": "new",
        "createdAt": "2026-02-01T00:00:01.000000Z",
        "streaming": False,
        "showInput": "json",
        "metadata": {"b": 2},
        **values,
    }


async def change_conversations(url: str, **settings: Any) -> None:
    async with opened(url, **settings) as database:
        layer = SQLADataLayer(database, settings=database.settings)
        user = await layer.create_user(User("new@example.com", metadata={"new": True}))
        assert user is not None
        await layer.update_thread(NEW_THREAD, name="new", user_id=user.id, tags=["a"])
        await layer.create_step(step(NEW_STEP, NEW_THREAD))
        await layer.upsert_feedback(
            Feedback(id=OPINION, forId=NEW_STEP, threadId=NEW_THREAD, value=1, comment="good")
        )
        await layer.update_thread(said.thread_id(1), name="renamed")
        await layer.update_step(step(said.step_id(1, 3), said.thread_id(1), output="changed"))
        await layer.delete_step(said.step_id(1, 5))
        await layer.delete_thread(said.thread_id(2))
        await layer.close()


@pytest.mark.parametrize("name", names("chainlit", "wild"))
async def test_chainlits_layer_reads_todays_threads(
    frozen: Shelf, tmp_path: Path, name: str
) -> None:
    url, settings = frozen.load(name), settings_of(name)
    await adopt(url, **settings)
    await change_conversations(url, **settings)
    expected = await original.read_ours(url, **settings)
    await unadopt(url, tmp_path / "rest.jsonl", **settings)
    read = await original.read_at(frozen, name, url)
    assert differences(read, expected) == []
    assert said.thread_id(2) not in read["threads"]
    [changed] = read["threads"][said.thread_id(1)]["steps"][said.step_id(1, 3)]
    assert changed["output"] == "changed"


@pytest.mark.parametrize(
    "name", ["sqlite_v3", "sqlite_v8", "postgres_v3", "postgres_v8", "postgres_text_json"]
)
async def test_chainlits_layer_writes_and_the_next_adoption_has_it(
    frozen: Shelf, tmp_path: Path, name: str
) -> None:
    url = frozen.load(name)
    await adopt(url)
    await unadopt(url, tmp_path / "rest.jsonl")
    await talk(url, name, tmp_path / "files")
    await adopt(url)
    async with opened(url) as database:
        layer = SQLADataLayer(database, settings=database.settings)
        thread = await layer.get_thread(NEW_THREAD)
        await layer.close()
    assert thread is not None
    [written] = thread["steps"]
    assert (written["output"], written["command"]) == ("written by Chainlit's layer", "/do")
    assert written["feedback"]["value"] == 1  # type: ignore[index]
    assert [element["name"] for element in thread["elements"] or []] == ["a.txt"]


async def talk(url: str, name: str, folder: Path) -> None:
    """What Chainlit 2.12 writes in a turn; its layer raises here what it else only logs."""
    context_var.set(ChainlitContext(HTTPSession(id="session", client_type="webapp")))
    layer = original.open_layer(name, url, folder)
    try:
        user = await layer.create_user(User("new@example.com", metadata={"new": True}))
        assert user is not None
        await layer.update_thread(NEW_THREAD, name="after", user_id=user.id, metadata={"a": 1})
        written = step(
            NEW_STEP,
            NEW_THREAD,
            output="written by Chainlit's layer",
            waitForAnswer=False,
            isError=False,
            defaultOpen=True,
            autoCollapse=True,
            command="/do",
        )
        await layer.create_step(written)
        await layer.create_element(
            Text(id=FILE, thread_id=NEW_THREAD, for_id=NEW_STEP, name="a.txt", content="a")
        )
        await layer.upsert_feedback(
            Feedback(id=OPINION, forId=NEW_STEP, threadId=NEW_THREAD, value=1, comment="good")
        )
        thread = await layer.get_thread(NEW_THREAD)
        assert thread is not None
        assert thread["steps"][0]["feedback"]["comment"] == "good"  # type: ignore[index]
    finally:
        await layer.close()


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
async def test_a_database_that_was_always_ours_gets_chainlits_tables(
    frozen: Shelf, tmp_path: Path, dialect: str
) -> None:
    url = frozen.empty(dialect)
    async with opened(url) as database:
        await migrator.upgrade(database)
        layer = SQLADataLayer(database, settings=database.settings)
        await layer.update_thread(said.thread_id(1), name="before")
        await layer.create_step(step(said.step_id(1, 1), said.thread_id(1), more={"kept": True}))
        await layer.create_step(step("no-uuid", said.thread_id(1)))
        await layer.close()
    report = await unadopt(url, tmp_path / "rest.jsonl")
    expected = {"step": 2} if dialect == "postgresql" else {"step": 1}
    assert report.in_file == expected
    lines = (tmp_path / "rest.jsonl").read_text().splitlines()
    assert len(lines) == 3 + expected["step"]  # The first, the thread, and the last.
    await talk(url, "sqlite_v8" if dialect == "sqlite" else "postgres_v8", tmp_path / "files")


@pytest.mark.parametrize("name", ["sqlite_no_foreign_keys", "postgres_no_foreign_keys"])
async def test_without_the_backup_quarantined_rows_go_into_the_file(
    frozen: Shelf, tmp_path: Path, name: str
) -> None:
    url = frozen.load(name)
    count = (await adopt(url)).quarantined.total()
    before = await digests(url)
    async with opened(url) as database:
        await BackupRemoval(database).run()
    report = await unadopt(url, tmp_path / "rest.jsonl")
    assert report.in_file["quarantined"] >= count
    await adopt(url)
    assert before.keys() == (await digests(url)).keys()


@pytest.mark.parametrize("name", ["sqlite_v8", "postgres_v8"])
async def test_rows_that_the_database_refused_come_back(
    frozen: Shelf, tmp_path: Path, name: str
) -> None:
    url = frozen.load(name)
    deep = f'{{"a": {"[" * 300}{"]" * 300}}}'
    execute(url, f"UPDATE users SET metadata = '{deep}' WHERE id = '{said.user_id(1)}'")
    stored = await rows(url)
    report = await adopt(url)
    assert report.quarantined["thread", "the database refuses it"] > 0
    assert report.quarantined["step", "the database refuses it"] > 0
    entries = (await quarantined(url)).total()
    report = await unadopt(url, tmp_path / "rest.jsonl")
    assert report.in_file == {"quarantined": entries}
    assert report.after == {table.removesuffix("s"): len(lines) for table, lines in stored.items()}
    after = await rows(url)
    for table, lines in stored.items():
        assert lines == [{key: row[key] for key in lines[0]} for row in after[table]]


async def test_the_file_has_what_a_later_change_overwrites(frozen: Shelf, tmp_path: Path) -> None:
    url = frozen.load("sqlite_no_foreign_keys")
    id = said.step_id(1, 1)
    execute(
        url,
        f"""INSERT INTO steps (id, name, type, "threadId", streaming, output)
        VALUES ('{id}', 'n', 'run', '{said.thread_id(1)}', 0, 'the second with this id');
        UPDATE threads SET metadata = '{{"temperature": NaN}}' WHERE id = '{said.thread_id(1)}'""",
    )
    await adopt(url)
    entries = await quarantined(url)
    execute(url, f"UPDATE steps SET output = 'changed' WHERE id = '{id}'")
    execute(url, f"UPDATE threads SET name = 'changed' WHERE id = '{said.thread_id(1)}'")
    await unadopt(url, tmp_path / "rest.jsonl")
    lines = (tmp_path / "rest.jsonl").read_text().splitlines()
    in_file = [row for line in lines if (row := QuarantinedRow.parse(line))]
    assert Counter((row.table, row.reason, str(row.row.get("id"))) for row in in_file) == entries
    values = [value for row in in_file for value in row.row.values()]
    assert "the second with this id" in values
    assert '{"temperature": NaN}' in values


@pytest.mark.parametrize("name", ["sqlite_v8", "postgres_v8"])
async def test_the_file_is_created_for_its_first_line(
    frozen: Shelf, tmp_path: Path, name: str
) -> None:
    url = frozen.load(name)
    await adopt(url)
    execute(url, "DELETE FROM chainlit_sqla_quarantine")
    await unadopt(url, tmp_path / "absent" / "rest.jsonl")
    await adopt(url)
    execute(url, """UPDATE steps SET extra = '{"mood": "good"}'""")
    before = await digests(url)
    with pytest.raises(AdoptionRefused, match="cannot be created"):
        await unadopt(url, tmp_path / "absent" / "rest.jsonl")
    assert await digests(url) == before


@pytest.mark.parametrize("name", ["sqlite_v8", "postgres_v8"])
async def test_feedback_is_changed_by_its_id(frozen: Shelf, tmp_path: Path, name: str) -> None:
    url = frozen.load(name)
    changed, deleted = said.feedback_id(3), said.feedback_id(2)
    execute(
        url,
        f"""INSERT INTO feedbacks (id, "forId", "threadId", value, comment)
        VALUES ('{OPINION}', '{said.step_id(2, 2)}', '{said.thread_id(1)}', 1, 'another thread');
        ALTER TABLE feedbacks ADD COLUMN reviewer TEXT; UPDATE feedbacks SET reviewer = 'Carol'""",
    )
    expected = {str(row["id"]): row for row in (await rows(url))["feedbacks"]}
    await adopt(url)
    execute(url, f"UPDATE feedbacks SET comment = 'changed' WHERE id = '{changed}'")
    execute(url, f"DELETE FROM feedbacks WHERE id = '{deleted}'")
    await unadopt(url, tmp_path / "rest.jsonl")
    del expected[deleted]
    expected[changed]["comment"] = "changed"
    assert {str(row["id"]): row for row in (await rows(url))["feedbacks"]} == expected
