"""The conversations with which benchmarks fill databases."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.fill import History
from benchmarks.history import GROUPS, NOWHERE, RARE, STEPS, WORDS, Talk, hits, user_id
from benchmarks.shapes import ours, prisma, sqlalchemy
from tests.contract.ours import OurSqlite
from tests.official.backends import sqlite_template
from tests.official.schema import sqlalchemy_tables

SMALLEST = 10_000
THREADS_WITH = """
    SELECT DISTINCT t.id FROM threads t JOIN steps s ON s."threadId" = t.id
    WHERE t."userId" = ? AND (t.name LIKE ?2 OR s.type LIKE '%message' AND s.output LIKE ?2)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("history")


@pytest.fixture(scope="module", params=["ours", "sqlalchemy"])
def history(request: pytest.FixtureRequest, folder: Path) -> History:
    place = folder / request.param
    place.mkdir()
    if request.param == "ours":
        return History(f"sqlite:///{OurSqlite.make_template(place)}", ours(sqlite=True))
    tables = sqlalchemy_tables(sqlite=True)
    return History(f"sqlite:///{sqlite_template(place, tables)}", sqlalchemy(sqlite=True))


@pytest.fixture
async def full(history: History) -> sqlite3.Connection:
    await history.grow(SMALLEST)
    with closing(sqlite3.connect(history.url.removeprefix("sqlite:///"))) as connection:
        yield connection


@pytest.mark.parametrize("word", WORDS.values())
async def test_a_search_in_the_database_finds_what_the_generator_promises(
    full: sqlite3.Connection, word: str
) -> None:
    found = {id for (id,) in full.execute(THREADS_WITH, (user_id(0), f"%{word}%"))}
    assert found == hits(0, word, SMALLEST // STEPS)


async def test_a_history_has_the_promised_size_and_users(full: sqlite3.Connection) -> None:
    assert full.execute("SELECT count(*) FROM steps").fetchone() == (SMALLEST,)
    own = 'SELECT count(*) FROM threads WHERE "userId" = ?'
    assert full.execute(own, [user_id(0)]).fetchone() == (GROUPS[0].user,)
    orphans = 'SELECT count(*) FROM threads WHERE "userId" NOT IN (SELECT id FROM users)'
    assert full.execute(orphans).fetchone() == (0,)


async def test_a_history_that_grew_in_portions_is_the_same(folder: Path) -> None:
    contents = []
    for sizes in ([4_000], [1_000, 3_000, 4_000]):
        place = folder / f"portions-{len(sizes)}"
        place.mkdir()
        history = History(f"sqlite:///{OurSqlite.make_template(place)}", ours(sqlite=True))
        for size in sizes:
            await history.grow(size)
        with closing(sqlite3.connect(history.url.removeprefix("sqlite:///"))) as connection:
            contents.append(connection.execute("SELECT * FROM steps ORDER BY id").fetchall())
    assert contents[0] == contents[1]


@pytest.mark.parametrize("user", range(len(GROUPS)))
def test_the_rare_word_is_in_ten_threads_and_the_unknown_one_in_none(user: int) -> None:
    assert len(hits(user, RARE, GROUPS[-1].end)) == 10
    assert not hits(user, NOWHERE, GROUPS[-1].end)


def test_texts_are_as_long_as_they_are_in_conversations() -> None:
    steps = [step for number in range(100) for step in Talk(number).all_steps()]
    assert 200 < sum(len(step.input + step.output) for step in steps) / len(steps) < 400


@pytest.mark.parametrize(
    "shape", [ours(sqlite=False), sqlalchemy(sqlite=False), prisma()], ids=["ours", "sa", "prisma"]
)
def test_every_shape_gives_each_column_a_value(shape) -> None:
    talk = Talk(7, steps=40, elements=10)
    rows = shape.rows([talk])
    assert [len(rows[table]) for table in shape.tables[1:]] == [1, 40, 10]
    for table, its_rows in rows.items():
        assert {len(row) for row in its_rows} == {len(shape.columns[table])}


def test_a_talk_ends_with_its_last_message() -> None:
    for steps in (20, 100, 1_000):
        talk = Talk(3, steps)
        messages = [step.at for step in talk.all_steps() if "message" in step.type]
        assert messages[-1] == talk.ended
