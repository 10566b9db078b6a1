"""What belongs to the tables of a PostgreSQL database, or uses them, is there afterwards."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator

import asyncpg
import pytest

from chainlit_sqla.errors import AdoptionRefused
from tests.adoption.ways import adopt, digests, unadopt
from tests.contract.backends import run_apart
from tests.frozen import conversations as said
from tests.frozen.load import Shelf, execute

NAME = "postgres_v8"
TABLES = ("users", "threads", "steps", "elements", "feedbacks")

# As a hosted PostgreSQL has it: a function that tells who asks, policies by it, roles of others.
POLICIES = """
CREATE SCHEMA auth;
CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS
  $$ SELECT nullif(current_setting('request.user', true), '')::uuid $$;
GRANT USAGE ON SCHEMA auth TO {role};
ALTER TABLE threads ENABLE ROW LEVEL SECURITY;
ALTER TABLE steps ENABLE ROW LEVEL SECURITY;
ALTER TABLE steps FORCE ROW LEVEL SECURITY;
GRANT SELECT ON threads, steps TO {role};
"""
BY_TEXT = """
CREATE POLICY own ON threads FOR SELECT TO {role} USING (auth.uid()::text = "userId"::text);
CREATE POLICY own_steps ON steps AS RESTRICTIVE FOR ALL TO {role}
  USING ("threadId"::text IN (SELECT id::text FROM threads)) WITH CHECK (type <> 'x');
CREATE POLICY any_steps ON steps TO {role} USING (true);
"""
OTHERS = """
COMMENT ON TABLE threads IS 'It''s theirs';
COMMENT ON COLUMN steps.indent IS 'old';
CREATE VIEW titles AS SELECT id::text AS id, name, "createdAt" FROM threads;
CREATE VIEW upper_titles WITH (security_barrier=true) AS SELECT upper(name) AS name FROM titles;
GRANT SELECT ON titles TO {role};
COMMENT ON VIEW titles IS 'Titles';
COMMENT ON COLUMN titles.name IS 'The title';
CREATE FUNCTION rename() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN UPDATE threads SET name = NEW.name WHERE id::text = NEW.id; RETURN NEW; END $$;
CREATE TRIGGER rename INSTEAD OF UPDATE ON titles FOR EACH ROW EXECUTE FUNCTION rename();
CREATE RULE stay AS ON DELETE TO titles DO INSTEAD NOTHING;
CREATE MATERIALIZED VIEW counts AS SELECT count(*) AS steps, sum(indent) AS indent FROM steps;
CREATE UNIQUE INDEX counts_steps ON counts (steps);
CREATE TABLE told (name text);
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN INSERT INTO told VALUES (NEW.name); RETURN NEW; END $$;
CREATE TRIGGER tell AFTER INSERT ON threads FOR EACH ROW EXECUTE FUNCTION tell();
CREATE TRIGGER off AFTER INSERT ON threads FOR EACH ROW EXECUTE FUNCTION tell();
ALTER TABLE threads DISABLE TRIGGER off;
CREATE PUBLICATION changes FOR TABLE threads, steps;
"""


@pytest.fixture
def role(frozen: Shelf) -> Iterator[str]:
    name = f"reader_{id(frozen)}"
    frozen.server.execute(f"CREATE ROLE {name}")
    yield name
    frozen.close()
    frozen.server.execute(f"DROP ROLE {name}")


@pytest.fixture
def url(frozen: Shelf, role: str) -> str:
    found = frozen.load(NAME)
    execute(found, POLICIES.format(role=role))
    return found


def ask(frozen: Shelf, url: str, sql: str) -> list[tuple[object, ...]]:
    return [tuple(row) for row in frozen.server.execute(sql, url=url)]


def seen_by(url: str, role: str, user: str) -> set[str]:
    """The threads that a reader sees for a user."""

    found: set[str] = set()

    async def run() -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(f"SELECT set_config('request.user', '{user}', false)")
            await connection.execute(f"SET ROLE {role}")
            rows = await connection.fetch("SELECT id::text FROM threads")
            found.update(row["id"] for row in rows)
        finally:
            await connection.close()

    run_apart(run())
    return found


async def test_policies_hide_from_others_what_they_hid(frozen: Shelf, url: str, role: str) -> None:
    execute(url, BY_TEXT.format(role=role))
    ada = said.USER_IDS[said.ADA]
    before = seen_by(url, role, ada)
    report = await adopt(url)
    assert before
    assert seen_by(url, role, ada) == before
    assert report.rows["step"] == report.kept["step"] > 0
    rows = ask(
        frozen,
        url,
        "SELECT relname, relrowsecurity, relforcerowsecurity FROM pg_class "
        "WHERE relname LIKE 'chainlit_sqla_%' AND relkind = 'r' OR relname IN ('threads', 'steps')",
    )
    assert all(secured for _, secured, _ in rows)
    assert {name for name, _, forced in rows if forced} == {"steps"}
    await unadopt(url)
    assert seen_by(url, role, ada) == before


async def test_a_policy_by_uuid_is_refused_with_the_words_that_work(
    frozen: Shelf, url: str, role: str
) -> None:
    execute(url, f'CREATE POLICY own ON threads TO {role} USING (auth.uid() = "userId")')
    before = ask(frozen, url, "SELECT * FROM threads ORDER BY id")
    with pytest.raises(AdoptionRefused) as refused:
        await adopt(url)
    text = str(refused.value)
    assert 'USING (((auth.uid())::text = "userId"))' in text
    assert "DROP POLICY own ON public.threads" in text
    assert "--drop-dependents" in text
    assert ask(frozen, url, "SELECT * FROM threads ORDER BY id") == before

    ada = said.USER_IDS[said.ADA]
    hidden = seen_by(url, role, ada)
    report = await adopt(url, drop=True)
    [(name, statements)] = report.dropped
    assert name == "policy own on public.threads"
    assert seen_by(url, role, ada) == set()  # Row level security is on.
    execute(url, ";".join(statements))
    assert seen_by(url, role, ada) == hidden != set()


async def test_a_foreign_key_from_a_uuid_is_refused_and_from_text_kept(
    frozen: Shelf, url: str
) -> None:
    execute(url, "CREATE TABLE ratings (thread uuid REFERENCES threads ON DELETE CASCADE)")
    with pytest.raises(AdoptionRefused, match=r"ratings_thread_fkey of public\.ratings"):
        await adopt(url)
    report = await adopt(url, drop=True)
    assert "ADD CONSTRAINT ratings_thread_fkey" in report.dropped[0][1][0]
    assert ask(frozen, url, "SELECT count(*) FROM pg_constraint WHERE conname LIKE 'ratings%'") == [
        (0,)
    ]


async def test_views_triggers_comments_and_publications_are_made_anew(
    frozen: Shelf, url: str, role: str
) -> None:
    execute(url, OTHERS.format(role=role))
    queries = (
        "SELECT id, name FROM titles ORDER BY 1",
        "SELECT * FROM upper_titles ORDER BY 1",
        "SELECT * FROM counts",
        "SELECT obj_description('threads'::regclass), (SELECT string_agg(description, '') FROM "
        "pg_description WHERE objoid = 'steps'::regclass)",
        "SELECT tgname, tgenabled FROM pg_trigger WHERE NOT tgisinternal AND tgname IN "
        "('tell', 'off', 'rename') ORDER BY 1",
        "SELECT rulename FROM pg_rules WHERE tablename = 'titles'",
        "SELECT description FROM pg_description WHERE objoid = 'titles'::regclass ORDER BY 1",
        "SELECT tablename FROM pg_publication_tables WHERE pubname = 'changes' ORDER BY 1",
        "SELECT count(*) FROM told",
        "SELECT relname, reloptions, relacl::text FROM pg_class WHERE relname IN "
        "('titles', 'upper_titles', 'counts', 'threads', 'steps') ORDER BY 1",
        "SELECT indexdef FROM pg_indexes WHERE tablename = 'counts'",
    )
    before = [ask(frozen, url, query) for query in queries]
    report = await adopt(url)
    assert [ask(frozen, url, query) for query in queries] == before
    assert {"view public.titles", "materialized view public.counts"} < set(report.carried)
    await unadopt(url)
    assert [ask(frozen, url, query) for query in queries] == before


async def test_tables_of_another_owner_stay_theirs(frozen: Shelf, url: str, role: str) -> None:
    for table in TABLES:
        execute(url, f"ALTER TABLE {table} OWNER TO {role}")
    await adopt(url)
    owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
    assert ask(frozen, url, owners) == [(role,)]


async def test_nobody_else_may_read_what_is_put_beside_the_tables(
    frozen: Shelf, url: str, role: str
) -> None:
    execute(url, "CREATE VIEW titles AS SELECT name FROM threads")
    execute(url, f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO {role}")
    query = (
        f"SELECT table_name::text, privilege_type::text FROM information_schema.table_privileges "
        f"WHERE grantee = '{role}' AND table_schema = 'public' ORDER BY 1"
    )
    await adopt(url)
    assert ask(frozen, url, query) == [("steps", "SELECT"), ("threads", "SELECT")]
    await unadopt(url)
    assert ask(frozen, url, query) == [("steps", "SELECT"), ("threads", "SELECT")]


async def test_rows_that_policies_hide_from_the_owner_come_along(
    frozen: Shelf, url: str, role: str
) -> None:
    execute(url, f"ALTER ROLE {role} LOGIN PASSWORD 'secret'; GRANT ALL ON SCHEMA public TO {role}")
    for table in TABLES:
        execute(url, f"ALTER TABLE {table} OWNER TO {role}")
        execute(url, f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    counts = " UNION ALL ".join(f"SELECT count(*) FROM {table}" for table in TABLES)
    theirs = re.sub(r"//[^@]*@", f"//{role}:secret@", url)
    before = ask(frozen, url, counts)
    await adopt(theirs)
    await unadopt(theirs)
    assert ask(frozen, url, counts) == before
    forced = "SELECT count(*) FROM pg_class WHERE relforcerowsecurity"
    assert ask(frozen, url, forced) == [(len(TABLES),)]


async def test_columns_of_any_type_keep_their_values(frozen: Shelf, url: str) -> None:
    execute(
        url,
        """
        CREATE TYPE place AS (name text, "at" interval);
        ALTER TABLE steps ADD j jsonb, ADD o json, ADD i interval, ADD m money, ADD r int4range,
          ADD ids uuid[], ADD p place, ADD t timestamptz, ADD "50% of :a" numeric(30, 2);
        UPDATE steps SET j = '{"a": 12345678901234567890123456.5}', o = '{"b" : 1, "b": 2}',
          i = '1 mon 2 days', m = 3.5, r = '[1,5)', ids = ARRAY[id], p = ROW('x', '1 mon'),
          t = 'infinity', "50% of :a" = 3.10;
        """,
    )
    query = 'SELECT id::text, (j, o, i, m, r, ids, p, t, "50% of :a")::text FROM steps ORDER BY 1'
    before = ask(frozen, url, query)
    await adopt(url)
    assert ask(frozen, url, query) == before
    await unadopt(url)
    assert ask(frozen, url, query) == before


async def test_a_role_that_writes_may_write_our_other_tables(frozen: Shelf, role: str) -> None:
    url = frozen.load(NAME)
    execute(url, f"GRANT SELECT, INSERT, UPDATE, DELETE ON threads, steps TO {role}")
    await adopt(url)
    rows = ask(
        frozen,
        url,
        f"SELECT table_name::text, count(*) FROM information_schema.table_privileges "
        f"WHERE grantee = '{role}' GROUP BY 1",
    )
    assert dict(rows)["chainlit_sqla_tombstones"] == 4  # type: ignore[call-overload,arg-type]
    assert "users" not in dict(rows)  # type: ignore[call-overload,arg-type]


async def test_an_index_made_since_the_adoption_is_made_anew(frozen: Shelf) -> None:
    url = frozen.load(NAME)
    await adopt(url)
    execute(url, "CREATE INDEX mine ON steps (name) WHERE type = 'run'")
    await unadopt(url)
    assert ask(frozen, url, "SELECT tablename FROM pg_indexes WHERE indexname = 'mine'") == [
        ("steps",)
    ]


async def test_an_enumeration_that_lacks_a_value_of_now_comes_back_as_text(frozen: Shelf) -> None:
    url = frozen.load(NAME)
    execute(
        url,
        "DO $$ BEGIN EXECUTE 'CREATE TYPE said AS ENUM (' || "
        "(SELECT string_agg(DISTINCT quote_literal(type), ', ') FROM steps) || ')'; END $$; "
        "ALTER TABLE steps ALTER type TYPE said USING type::said",
    )
    kind = "SELECT DISTINCT pg_typeof(type)::text FROM steps"
    await adopt(url)
    await unadopt(url)
    assert ask(frozen, url, kind) == [("said",)]
    await adopt(url)
    execute(url, "UPDATE steps SET type = 'new' WHERE id = (SELECT min(id) FROM steps)")
    await unadopt(url)
    assert ask(frozen, url, kind) == [("text",)]


async def test_numbers_in_floating_point_are_compared_by_value(frozen: Shelf) -> None:
    url = frozen.load("postgres_text_json")
    execute(url, """UPDATE steps SET metadata = '{"ns": 1.7e18, "more": [-1e16, 2e19]}'""")
    await adopt(url)
    await unadopt(url)


async def test_a_schema_that_needs_quotes_is_adopted_and_given_back(frozen: Shelf) -> None:
    url = frozen.load("postgres_schema")
    execute(url, 'ALTER SCHEMA chainlit RENAME TO "Our ""chats"" : 1"')
    execute(url, 'CREATE VIEW v AS SELECT * FROM "Our ""chats"" : 1".threads')
    settings = {"db_schema": 'Our "chats" : 1'}
    await adopt(url, **settings)
    before = await digests(url, **settings)
    await unadopt(url, **settings)
    await adopt(url, **settings)
    assert await digests(url, **settings) == before


async def test_constraints_that_are_not_made_anew_are_named(frozen: Shelf) -> None:
    url = frozen.load("postgres_v8")
    execute(
        url,
        """ALTER TABLE threads ADD COLUMN slug TEXT UNIQUE;
        ALTER TABLE threads ADD CONSTRAINT short CHECK (length(name) < 500)""",
    )
    report = await adopt(url)
    assert "threads: UNIQUE (slug)" in report.left
    assert any(one.startswith("threads: CHECK") and "500" in one for one in report.left)
    assert not any("identifier" in one for one in report.left)
    made = "SELECT conname::text FROM pg_constraint WHERE conname IN ('threads_slug_key', 'short')"
    assert ask(frozen, url, made) == []
    assert (await unadopt(url)).left == []
    assert len(ask(frozen, url, made)) == 2
    await adopt(url)
    execute(url, "UPDATE threads SET slug = 'same'")
    assert (await unadopt(url)).left == ["threads: UNIQUE (slug)"]
    assert ask(frozen, url, made) == [("short",)]


async def test_columns_whose_values_the_database_makes_still_get_them(frozen: Shelf) -> None:
    url = frozen.load("postgres_v8")
    execute(
        url,
        """CREATE FUNCTION mark() RETURNS text LANGUAGE sql AS $$ SELECT 'made' $$;
        ALTER TABLE threads ADD number serial, ADD code integer GENERATED ALWAYS AS IDENTITY
          (START 100), ADD mark text DEFAULT mark(), ADD size integer
          GENERATED ALWAYS AS (length(name)) STORED,
          ADD key uuid GENERATED ALWAYS AS (id) STORED""",
    )
    rows = "SELECT id::text, number, code, mark, size, key::text FROM threads ORDER BY 1"
    before = ask(frozen, url, rows)
    new = """INSERT INTO threads (id, name, "createdAt" {more}) VALUES (gen_random_uuid(), 'four',
      '2026-01-01' {values}) RETURNING number, code, mark, size"""
    report = await adopt(url)
    assert ask(frozen, url, rows) == before
    assert report.left == ["generated column of threads.key"]  # Ids are text now.
    count = len(before)
    ours = new.format(more=', "updatedAt", metadata', values=", '2026-01-01', '{}'")
    assert ask(frozen, url, ours) == [(count + 1, count + 100, "made", 4)]
    report = await unadopt(url)
    assert report.left == []
    assert ask(frozen, url, new.format(more="", values="")) == [(count + 2, count + 101, "made", 4)]


async def test_sqlite_unique_constraints_come_back_and_checks_are_named(frozen: Shelf) -> None:
    url = frozen.load("sqlite_v8")
    execute(
        url,
        """ALTER TABLE users RENAME TO people; CREATE TABLE users ("id" TEXT PRIMARY KEY,
        "identifier" TEXT NOT NULL UNIQUE, "metadata" TEXT NOT NULL, "createdAt" TEXT,
        mail TEXT CHECK (mail <> ''), UNIQUE ("createdAt", mail));
        INSERT INTO users SELECT *, 'a@b' FROM people; DROP TABLE people""",
    )
    expected = ['users: UNIQUE ("createdAt", mail)', "users: CHECK (mail <> '')"]
    assert (await adopt(url)).left == expected
    assert (await unadopt(url)).left == expected[1:]
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        execute(url, "INSERT INTO users SELECT 'x', 'x', metadata, \"createdAt\", mail FROM users")


async def test_a_policy_of_another_table_that_uses_ours_is_kept_or_its_words_are_given(
    frozen: Shelf, url: str, role: str
) -> None:
    execute(
        url,
        f"""CREATE TABLE ratings (thread text); ALTER TABLE ratings ENABLE ROW LEVEL SECURITY;
        CREATE POLICY mine ON ratings FOR SELECT TO {role}
          USING (thread IN (SELECT id::text FROM threads))""",
    )
    policies = "SELECT policyname::text FROM pg_policies WHERE tablename = 'ratings'"
    report = await adopt(url)
    assert "policy of others mine on public.ratings" in report.carried
    assert ask(frozen, url, policies) == [("mine",)]
    await unadopt(url)
    assert ask(frozen, url, policies) == [("mine",)]
    execute(
        url,
        """DROP POLICY mine ON ratings; CREATE POLICY mine ON ratings
          USING (EXISTS (SELECT FROM threads WHERE "userId" = auth.uid()))""",
    )
    with pytest.raises(AdoptionRefused) as refused:
        await adopt(url)
    words = str(refused.value)
    assert "DROP POLICY mine ON public.ratings;" in words
    assert "CREATE POLICY mine ON public.ratings FOR ALL TO PUBLIC USING" in words
    assert "(auth.uid())::text" in words
    report = await adopt(url, drop=True)
    [(_, statements)] = report.dropped
    execute(url, ";".join(statements))
    assert ask(frozen, url, policies) == [("mine",)]


_AUDIT = """CREATE TABLE audit (step {type});
CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS
'BEGIN INSERT INTO audit VALUES (NEW.id); RETURN NULL; END';
CREATE TRIGGER noted AFTER INSERT ON steps FOR EACH ROW EXECUTE FUNCTION noted()"""


async def test_a_trigger_that_would_refuse_every_step_is_not_taken_along(frozen: Shelf) -> None:
    url = frozen.load("postgres_v8")
    execute(url, _AUDIT.format(type="uuid"))
    with pytest.raises(AdoptionRefused, match=r"a trigger on steps fails.*drop it, run the same"):
        await adopt(url)
    assert not frozen.server.execute(
        "SELECT 1 FROM pg_tables WHERE tablename = 'chainlit_sqla_version'", url=url
    )


async def test_a_trigger_that_fits_leaves_no_trace_of_its_trial(frozen: Shelf) -> None:
    url = frozen.load("postgres_v8")
    execute(url, _AUDIT.format(type="text"))
    report = await adopt(url)
    assert "trigger noted on public.steps" in " ".join(report.carried)
    assert frozen.server.execute("SELECT count(*) FROM audit", url=url)[0][0] == 0
