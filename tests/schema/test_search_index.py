"""The index of `chainlit-sqla search`: the same hits with it, whatever happens to it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest
from chainlit.types import Pagination, ThreadFilter
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection

from chainlit_sqla import SQLADataLayer
from chainlit_sqla.database import Database
from chainlit_sqla.database import migrator as migrations
from chainlit_sqla.dialects.search_index import SearchState
from chainlit_sqla.dialects.sqlite import search_index as sqlite_search
from chainlit_sqla.errors import ConfigurationError, DatabaseUnavailable, SchemaOutdated
from chainlit_sqla.queries import search, search_index
from chainlit_sqla.queries.threads import ThreadQuery
from tests.contract.build import message, person, said, thread
from tests.contract.test_properties import PROPERTY
from tests.contract.test_search import FOUND
from tests.schema.test_migrations import opened
from tests.servers.postgres import PostgresServer

# Letters whose case is folded in more than one way, and characters that patterns give a meaning.
ODD = "aAsSßẞſkK\u212aiIıİfﬁﬀΣσςάΆΐЖжԥԤᲓდꜲꜳǰŉ世界あ👍𐐀𐐨%_\\'\"*[]-: \n"
Searched = tuple[SQLADataLayer, str, str]
phrases = st.text(st.sampled_from(ODD), max_size=6) | st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), max_size=8
)


async def enabled(database: Database) -> str:
    try:
        return await search_index.enable(database)
    except ConfigurationError as error:
        if "no extension pg_trgm" in str(error):
            pytest.skip(str(error))
        raise


@pytest.fixture
async def database(transactional_url: str) -> AsyncIterator[Database]:
    async with opened(transactional_url, auto_upgrade=True) as database:
        await migrations.upgrade(database)
        yield database


@pytest.fixture
async def layer(database: Database) -> AsyncIterator[SQLADataLayer]:
    layer = SQLADataLayer(database, settings=database.settings)
    yield layer
    await layer.close()


@asynccontextmanager
async def searched(url: str, text: str, **choices: Any) -> AsyncIterator[Searched]:
    """A layer, the id of a user, and of a thread with one message."""
    async with opened(url, auto_upgrade=True, **choices) as database:
        layer = SQLADataLayer(database, settings=database.settings)
        owner = await person(layer)
        thread_id = await thread(layer, owner)
        await said(layer, thread_id, text)
        yield layer, owner.id, thread_id
        await layer.close()


async def hits(database: Database, user_id: str, term: str, state: SearchState) -> list[str]:
    query = ThreadQuery(user_id, 100, None, term, None)
    [rows] = await database.fetch(search.page(database.dialect, query, state))
    return [row[0] for row in rows]


async def both(layer: SQLADataLayer, user_id: str, term: str) -> list[str]:
    """The hits of a search, which are the same by the index and by reading."""
    state = await search.read_state(layer.database)
    assert state.usable
    await layer.write_queue.flush()
    by_index = await hits(layer.database, user_id, term, state)
    by_reading = await hits(
        layer.database, user_id, term, SearchState(folds_unicode=state.folds_unicode)
    )
    assert by_index == by_reading, term
    return by_index


@pytest.mark.parametrize("common", [0, 1_000])
async def test_known_texts_are_found_by_the_index(
    layer: SQLADataLayer, common: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_COMMON", common)
    search._page.cache_clear()
    await enabled(layer.database)
    owner, other = await person(layer), await person(layer)
    for output, _ in FOUND:
        await said(layer, await thread(layer, owner), f"See {output}!")
        await thread(layer, owner, name=f"See {output}!")
        await said(layer, await thread(layer, other), f"See {output}!")
    for output, term in FOUND:
        assert len(await both(layer, owner.id, term)) >= 2, output
    search._page.cache_clear()


@PROPERTY
@given(data=st.data())
async def test_the_index_finds_the_same(layer: SQLADataLayer, data: st.DataObject) -> None:
    await enabled(layer.database)
    outputs = data.draw(st.lists(phrases, min_size=1, max_size=5))
    source = data.draw(st.sampled_from(outputs) | phrases)
    owner = await person(layer)
    for output in outputs:
        await said(layer, await thread(layer, owner), output)
    start = data.draw(st.integers(0, len(source)))
    length = data.draw(st.integers(1, 8))
    change = data.draw(st.sampled_from([str, str.upper, str.lower, str.casefold]))
    if term := change(source[start : start + length]):
        await both(layer, owner.id, term)


async def test_it_follows_every_change(layer: SQLADataLayer) -> None:
    await enabled(layer.database)
    owner = await person(layer)
    thread_id, other_id = await thread(layer, owner), await thread(layer, owner)
    step_id = await said(layer, thread_id, "a thimble of glass")
    await said(layer, other_id, "a needle of steel")
    assert await both(layer, owner.id, "THIMBLE") == [thread_id]
    await layer.update_step({"id": step_id, "threadId": thread_id, "output": "a Bobbin"})
    assert await both(layer, owner.id, "thimble") == []
    assert await both(layer, owner.id, "bobbin") == [thread_id]
    async with layer.database.write() as connection:
        await connection.execute(
            text("UPDATE steps SET output = 'a spool' WHERE output LIKE 'a B%'")
        )
    assert await both(layer, owner.id, "spool") == [thread_id]
    await layer.update_step({"id": step_id, "threadId": thread_id, "type": "tool"})
    assert await both(layer, owner.id, "spool") == []
    await layer.update_step({"id": step_id, "threadId": thread_id, "type": "user_message"})
    assert await both(layer, owner.id, "spool") == [thread_id]
    await layer.delete_thread(other_id)
    assert await both(layer, owner.id, "needle") == []
    await layer.delete_step(step_id)
    assert await both(layer, owner.id, "spool") == []


async def test_an_interrupted_build_is_completed(layer: SQLADataLayer) -> None:
    database, owner = layer.database, await person(layer)
    ids = [await thread(layer, owner) for _ in range(5)]
    for thread_id in ids:
        await said(layer, thread_id, "a needle")
    await enabled(database)
    async with database.write() as connection:
        if database.dialect.name == "sqlite":
            for statement in (
                "DROP TABLE chainlit_sqla_search_built",
                "DELETE FROM chainlit_sqla_search_rows WHERE number > 2",
            ):
                await connection.execute(text(statement))
        else:  # What a build leaves that was cancelled.
            await connection.execute(
                text(
                    "UPDATE pg_index SET indisvalid = false "
                    "WHERE indexrelid = 'chainlit_sqla_search'::regclass"
                )
            )
    assert "incomplete and not used; run: chainlit-sqla search enable" in (
        await search_index.status(database)
    )
    state = await search.read_state(database)
    assert await hits(database, owner.id, "needle", state) == ids[::-1]
    assert "in use" in await search_index.enable(database)
    assert await both(layer, owner.id, "needle") == ids[::-1]


async def test_two_may_enable_it_while_others_write(
    layer: SQLADataLayer, transactional_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, old, new in (("_LAST", "OFFSET 499", "OFFSET 2"), ("_ADD_ROWS", "500", "3")):
        monkeypatch.setattr(sqlite_search, name, getattr(sqlite_search, name).replace(old, new))
    owner = await person(layer)
    ids = [await thread(layer, owner) for _ in range(12)]
    for thread_id in ids:
        await said(layer, thread_id, "a needle")

    async def write() -> None:
        for thread_id in ids:
            await layer.create_step(message(thread_id, "a thimble"))

    async with opened(transactional_url) as second:
        outcomes = await asyncio.gather(
            *(search_index.enable(each) for each in (layer.database, second)),
            write(),
            return_exceptions=True,
        )
    refusals = [each for each in outcomes if isinstance(each, BaseException)]
    assert all("Another process is building" in str(each) for each in refusals), refusals
    assert len(refusals) <= 1
    assert len(await both(layer, owner.id, "needle")) == 12
    assert len(await both(layer, owner.id, "thimble")) == 12


async def test_dropping_it_while_a_layer_runs_loses_no_hit(layer: SQLADataLayer) -> None:
    owner = await person(layer)
    thread_id = await thread(layer, owner, name="a needle")
    await enabled(layer.database)
    state = await search.read_state(layer.database)
    await search_index.disable(layer.database)
    finder = search.Search(layer.database)
    query = ThreadQuery(owner.id, 20, None, "needle", None)
    assert [row[0] for row in await finder._fetch(query, state)] == [thread_id]


async def test_a_migration_keeps_hits(layer: SQLADataLayer) -> None:
    """PostgreSQL's index stays; SQLite's goes with what older releases do not know."""
    database, owner = layer.database, await person(layer)
    thread_id = await thread(layer, owner)
    await said(layer, thread_id, "a needle")
    await enabled(database)
    await migrations.downgrade(database, "0003")
    await migrations.upgrade(database)
    await migrations.check(database)
    is_kept = database.dialect.name != "sqlite"
    assert (await search.read_state(database)).usable is is_kept
    await search_index.enable(database)
    assert await both(layer, owner.id, "needle") == [thread_id]
    await migrations.downgrade(database, "base")
    with pytest.raises(SchemaOutdated, match=r"has no tables yet.*run: chainlit-sqla upgrade"):
        await search_index.enable(database)
    if database.dialect.name == "sqlite":
        names = "SELECT count(*) FROM sqlite_master WHERE name LIKE 'chainlit_sqla_search%'"
        async with database.connect() as connection:
            assert await connection.scalar(text(names)) == 0


class Clock:
    """Takes some seconds between any two looks at it."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.now = seconds, 0.0

    def __call__(self) -> float:
        self.now += self.seconds
        return self.now


async def test_slow_searches_name_the_command_once(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    query = ThreadQuery("nobody", 20, None, "needle", None)
    fast, slow = search.Search(database, Clock(0.4)), search.Search(database, Clock(0.8))
    hint = "Search took 0.8 s without an index; run `chainlit-sqla search enable`."
    await fast.page(query)
    assert not caplog.records
    for _ in range(2):
        await slow.page(query)
    assert [record.getMessage() for record in caplog.records] == [hint]
    await enabled(database)
    await search.Search(database, Clock(0.8)).page(query)
    assert len(caplog.records) == 1


@pytest.mark.parametrize("url", ["mariadb"], indirect=True)
async def test_mariadb_says_why_it_has_none(url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with opened(url, auto_upgrade=True) as database:
        await migrations.upgrade(database)
        reason = "has no index that finds text faster than reading one user's messages does"
        for command in (search_index.enable, search_index.disable):
            with pytest.raises(ConfigurationError, match=reason):
                await command(database)
        assert reason in await search_index.status(database)
        query = ThreadQuery("nobody", 20, None, "needle", None)
        await search.Search(database, Clock(0.8)).page(query)
        # The driver may warn of what other tests do on this server.
        assert not [record for record in caplog.records if record.name.startswith("chainlit_sqla")]


# PostgreSQL


async def test_it_lives_in_any_schema(postgres_url: str) -> None:
    for name in ('a"b', "50%", "a:b", "it's"):
        async with searched(postgres_url, "a needle", db_schema=name) as (
            layer,
            user_id,
            thread_id,
        ):
            await enabled(layer.database)
            assert await both(layer, user_id, "needle") == [thread_id]
            assert "no search index" in await search_index.disable(layer.database)


async def test_a_build_leaves_no_lock_in_a_session_that_a_pooler_keeps(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AsyncConnection, "invalidate", AsyncMock())
    async with opened(postgres_url) as first, opened(postgres_url) as second:
        await migrations.upgrade(first)
        await enabled(first)
        await search_index.disable(first)
        assert "in use" in await search_index.enable(second)


async def test_a_statement_timeout_is_named(postgres: PostgresServer, postgres_url: str) -> None:
    async with opened(postgres_url) as database:
        await migrations.upgrade(database)
        await database.close()
        name = make_url(postgres_url).database
        postgres.execute(f'ALTER DATABASE "{name}" SET statement_timeout = 1')
        with pytest.raises(DatabaseUnavailable, match="raise statement_timeout for"):
            await search_index.enable(database)


async def test_an_account_that_may_not_create_the_extension_is_told_who_may(
    postgres: PostgresServer, postgres_url: str
) -> None:
    postgres.execute("DROP ROLE IF EXISTS searcher")
    postgres.execute("CREATE ROLE searcher LOGIN PASSWORD 'searcher' NOSUPERUSER")
    postgres.execute("CREATE SCHEMA chats AUTHORIZATION searcher", url=postgres_url)
    narrow = make_url(postgres_url).set(username="searcher", password="searcher")
    plain = narrow.render_as_string(hide_password=False)
    async with opened(plain, db_schema="chats") as database:
        await migrations.upgrade(database)
        with pytest.raises(ConfigurationError, match=r"administrator to run\s+CREATE EXTENSION"):
            await search_index.enable(database)
        postgres.execute("CREATE EXTENSION pg_trgm", url=postgres_url)
        assert "in use" in await search_index.enable(database)
    postgres.drop_database(postgres_url)
    postgres.execute("DROP ROLE searcher")


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
async def test_letters_beyond_ascii_are_indexed_unless_the_locale_is_c(
    postgres: PostgresServer, locale: str
) -> None:
    url = postgres.create_database(encoding="UTF8", locale=locale)
    async with searched(url, "Über Äpfel, ПРИВЕТ, 東京タワー") as (layer, user_id, thread_id):
        database = layer.database
        sentence = await enabled(database)
        assert ("ASCII letters and digits only" in sentence) == (locale == "C")
        for term in ("ÜBER ä", "привет", "京タワ", "äpfel"):
            assert await both(layer, user_id, term) == [thread_id]
        state = await search.read_state(database)
        index = database.dialect.search_index
        assert index
        assert (index.match("привет", state) is None) == (locale == "C")
    postgres.drop_database(url)


async def test_a_server_without_icu_is_searched_and_reported(postgres_url: str) -> None:
    async with searched(postgres_url, "a Needle") as (layer, user_id, thread_id):
        database = layer.database
        assert await search_index.case_warning(database) == ""
        async with database.write() as connection:
            await connection.execute(
                text('ALTER COLLATION pg_catalog."und-x-icu" RENAME TO "not-here"')
            )
        assert "has no ICU collations" in await search_index.case_warning(database)
        page = await layer.list_threads(
            Pagination(first=5), ThreadFilter(userId=user_id, search="NEEDLE")
        )
        assert [each["id"] for each in page.data] == [thread_id]
        await enabled(database)
        assert await both(layer, user_id, "needLE") == [thread_id]


# SQLite


async def test_vacuum_and_replaced_rows_lose_no_hit(tmp_path: Path) -> None:
    path = tmp_path / "chats.db"
    async with opened(f"sqlite:///{path}", auto_upgrade=True) as database:
        layer = SQLADataLayer(database, settings=database.settings)
        owner = await person(layer)
        ids = [await thread(layer, owner) for _ in range(3)]
        for thread_id, output in zip(ids, ("a thimble", "a needle", "a spool"), strict=True):
            await said(layer, thread_id, output)
        await search_index.enable(database)
        await layer.delete_thread(ids[0])
        with closing(sqlite3.connect(path)) as other:
            other.execute("VACUUM")
            with pytest.raises(sqlite3.OperationalError, match="no such function: chainlit_sqla"):
                other.execute("DELETE FROM steps")
        async with database.write() as connection:
            await connection.execute(
                text("INSERT OR REPLACE INTO steps SELECT * FROM steps WHERE output = 'a needle'")
            )
        assert await both(layer, owner.id, "needle") == [ids[1]]
        assert await both(layer, owner.id, "spool") == [ids[2]]
        assert await both(layer, owner.id, "thimble") == []
        await layer.close()


@pytest.mark.parametrize("is_complete", [False, True])
async def test_an_index_of_an_older_release_is_replaced(tmp_path: Path, is_complete: bool) -> None:
    async with searched(f"sqlite:///{tmp_path}/chats.db", "a needle") as (
        layer,
        user_id,
        thread_id,
    ):
        async with layer.database.write() as connection:
            for statement in OLDER[: 3 + is_complete]:
                await connection.exec_driver_sql(statement)
        assert "incomplete and not used" in await search_index.status(layer.database)
        assert "in use" in await search_index.enable(layer.database)
        assert await both(layer, user_id, "needle") == [thread_id]


OLDER = (
    """CREATE TABLE chainlit_sqla_search_rows (number INTEGER PRIMARY KEY,
        "threadId" TEXT NOT NULL, "stepId" TEXT NOT NULL, unusual INTEGER NOT NULL)""",
    "CREATE VIRTUAL TABLE chainlit_sqla_search USING fts5(body, tokenize='trigram')",
    "CREATE TRIGGER chainlit_sqla_search_insert AFTER INSERT ON steps BEGIN SELECT 1; END",
    'CREATE TABLE chainlit_sqla_search_built ("2026-01-01T00:00:00+00:00")',
)


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16le"])
async def test_text_that_cannot_be_decoded_is_searched(tmp_path: Path, encoding: str) -> None:
    with closing(sqlite3.connect(tmp_path / "chats.db", isolation_level=None)) as other:
        other.execute(f"PRAGMA encoding = '{encoding}'")
        other.execute("CREATE TABLE other (id)")
        async with searched(f"sqlite:///{tmp_path}/chats.db", "") as (layer, user_id, thread_id):
            output = "Ein ÄPFEL".encode() + b"\xff"
            other.execute("UPDATE steps SET output = CAST(? AS TEXT)", (output,))
            assert await hits(layer.database, user_id, "äpfel", SearchState()) == [thread_id]
            await search_index.enable(layer.database)
            assert await both(layer, user_id, "äpfel") == [thread_id]
            await layer.delete_thread(thread_id)
            assert await both(layer, user_id, "äpfel") == []


@pytest.mark.parametrize(
    ("create", "sentence"),
    [
        (["CREATE VIRTUAL TABLE t USING fts5(b, tokenize='tetragram')"], "no FTS5.*use a Python"),
        ([], "dropped while.*; run: .* search enable"),
    ],
)
async def test_a_build_that_cannot_end_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, create: list[str], sentence: str
) -> None:
    monkeypatch.setattr(sqlite_search, "_CREATE", create)
    async with opened(f"sqlite:///{tmp_path}/chats.db") as database:
        await migrations.upgrade(database)
        with pytest.raises((ConfigurationError, DatabaseUnavailable), match=sentence):
            await search_index.enable(database)
        assert "no search index" in await search_index.status(database)
