"""What PostgreSQL was told of the tables, it is told again, or people are told how."""

from __future__ import annotations

from tests.adoption.ways import adopt, unadopt
from tests.frozen import conversations as said
from tests.frozen.load import Shelf, execute

NAME = "postgres_v8"


def ask(frozen: Shelf, url: str, sql: str) -> list[tuple[object, ...]]:
    return [tuple(row) for row in frozen.server.execute(sql, url=url)]


async def test_defaults_of_columns_that_we_have_come_back(frozen: Shelf) -> None:
    url = frozen.load(NAME)
    execute(
        url,
        """CREATE FUNCTION made() RETURNS uuid LANGUAGE sql AS 'SELECT gen_random_uuid()';
        ALTER TABLE threads ALTER id SET DEFAULT made(),
          ALTER "createdAt" SET DEFAULT now()::text;
        ALTER TABLE feedbacks ALTER id SET DEFAULT gen_random_uuid();
        CREATE SEQUENCE pages OWNED BY elements.page;
        ALTER TABLE elements ALTER page SET DEFAULT nextval('pages')""",
    )
    query = """SELECT adrelid::regclass::text, pg_get_expr(adbin, adrelid) FROM pg_attrdef
      JOIN pg_class c ON c.oid = adrelid WHERE relname NOT LIKE 'chainlit%' ORDER BY 1, 2"""
    before = ask(frozen, url, query)
    assert (await adopt(url)).left == [
        "default of threads.id",
        "default of threads.createdAt",
        "default of elements.page",
    ]
    report = await unadopt(url)
    assert (report.left, report.dropped) == ([], [])
    assert ask(frozen, url, query) == before


async def test_a_generated_column_that_did_not_fit_comes_back_or_is_told(frozen: Shelf) -> None:
    url = frozen.load(NAME)
    key = "ADD key uuid GENERATED ALWAYS AS (id) STORED"
    execute(url, f"ALTER TABLE threads {key}")
    query = """SELECT attgenerated::text FROM pg_attribute
      WHERE attrelid = 'threads'::regclass AND attname = 'key'"""
    assert (await adopt(url)).left == ["generated column of threads.key"]
    assert ask(frozen, url, query) == [("",)]
    report = await unadopt(url)
    assert (report.left, report.dropped) == ([], [])
    assert ask(frozen, url, query) == [("s",)]
    assert ask(frozen, url, "SELECT count(*) FROM threads WHERE key IS DISTINCT FROM id") == [(0,)]
    await adopt(url)
    row = "'no uuid', 'x', now(), now(), '{}'"
    execute(
        url,
        f'INSERT INTO threads (id, name, "createdAt", "updatedAt", metadata) VALUES ({row})',
    )
    [(name, statements)] = (await unadopt(url)).dropped
    assert name == "generated column of threads.key"
    assert "GENERATED ALWAYS AS (id) STORED" in statements[-1]


async def test_statistics_and_storage_and_identities_are_told_again(frozen: Shelf) -> None:
    url = frozen.load(NAME)
    execute(
        url,
        """CREATE STATISTICS pair ON name, "createdAt" FROM threads;
        CREATE VIEW titles AS SELECT id::text AS id, name FROM threads;
        ALTER VIEW titles ALTER name SET DEFAULT 'untitled';
        ALTER TABLE threads REPLICA IDENTITY NOTHING;
        ALTER TABLE steps SET (fillfactor = 70, toast.autovacuum_enabled = off);
        ALTER TABLE steps ALTER output SET STATISTICS 500, ALTER output SET (n_distinct = -0.5);
        ALTER TABLE threads ADD code integer GENERATED ALWAYS AS IDENTITY;
        ALTER SEQUENCE threads_code_seq RENAME TO codes;
        GRANT USAGE ON SEQUENCE codes TO PUBLIC""",
    )
    queries = (
        "SELECT pg_get_statisticsobjdef(oid) FROM pg_statistic_ext",
        "SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = 'titles'::regclass",
        "SELECT relname, relreplident::text FROM pg_class WHERE relname = 'threads'",
        """SELECT c.reloptions, t.reloptions FROM pg_class c
          JOIN pg_class t ON t.oid = c.reltoastrelid WHERE c.oid = 'steps'::regclass""",
        """SELECT attstattarget, attoptions FROM pg_attribute
          WHERE attrelid = 'steps'::regclass AND attname = 'output'""",
        "SELECT relacl::text FROM pg_class WHERE relname = 'codes'",
    )
    before = [ask(frozen, url, query) for query in queries]
    for way in (adopt, unadopt):
        report = await way(url)
        assert report.left == []
        assert "statistics public.pair" in report.carried
        assert [ask(frozen, url, query) for query in queries] == before


async def test_an_index_by_which_replicas_know_rows_comes_back(frozen: Shelf) -> None:
    url = frozen.load(NAME)
    execute(
        url,
        """CREATE UNIQUE INDEX by_name ON users (identifier);
        ALTER TABLE users REPLICA IDENTITY USING INDEX by_name""",
    )
    query = "SELECT indexrelid::regclass::text FROM pg_index WHERE indisreplident"
    assert (await adopt(url)).left == ["by_name", "replica identity by index of users.by_name"]
    assert (await unadopt(url)).left == []
    assert ask(frozen, url, query) == [("by_name",)]


async def test_a_reference_that_was_not_checked_is_not_checked(frozen: Shelf) -> None:
    url = frozen.load(NAME)
    execute(
        url,
        """ALTER TABLE elements DROP CONSTRAINT "elements_threadId_fkey";
        UPDATE elements SET "threadId" = gen_random_uuid()
          WHERE id = (SELECT id FROM elements ORDER BY id LIMIT 1);
        ALTER TABLE elements ADD FOREIGN KEY ("threadId") REFERENCES threads(id) NOT VALID""",
    )
    query = 'SELECT id, "threadId" FROM elements ORDER BY id'
    valid = "SELECT convalidated FROM pg_constraint WHERE conname = 'elements_threadId_fkey'"
    before = ask(frozen, url, query)
    await adopt(url)
    assert (await unadopt(url)).put_back["element"] == 1
    assert ask(frozen, url, query) == before
    assert ask(frozen, url, valid) == [(False,)]


async def test_a_reference_to_another_table_that_was_dropped_comes_back(frozen: Shelf) -> None:
    url = frozen.load(NAME)
    execute(
        url,
        """CREATE TABLE accounts (id uuid PRIMARY KEY); INSERT INTO accounts SELECT id FROM users;
        ALTER TABLE users ADD CONSTRAINT account FOREIGN KEY (id) REFERENCES accounts
          ON DELETE CASCADE;
        CREATE TABLE stars (thread uuid REFERENCES threads ON DELETE SET NULL)""",
    )
    query = """SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint
      WHERE contype = 'f' ORDER BY 1, 2"""
    before = ask(frozen, url, query)
    assert len((await adopt(url, drop=True)).dropped) == 2
    report = await unadopt(url)
    assert (report.notes, report.dropped) == ([], [])
    assert "foreign key to others account of public.users" in report.carried
    assert ask(frozen, url, query) == before
    await adopt(url, drop=True)
    execute(url, f"DELETE FROM accounts WHERE id = '{said.user_id(1)}'")
    [(name, statements)] = (await unadopt(url)).dropped
    assert name == "foreign key to others account of public.users"
    assert statements[0].startswith("ALTER TABLE public.users ADD CONSTRAINT account")
