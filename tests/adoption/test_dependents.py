"""What belongs to the tables of a PostgreSQL database, or uses them, is there afterwards."""

from __future__ import annotations

from collections.abc import Iterator

import asyncpg
import pytest

from chainlit_sqla.errors import AdoptionRefused
from tests.adoption.ways import adopt, digests, unadopt
from tests.contract.backends import run_apart
from tests.frozen import conversations as said
from tests.frozen.load import Shelf, execute

NAME = "postgres_v8"

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
        "('tell', 'off') ORDER BY 1",
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
    for table in ("users", "threads", "steps", "elements", "feedbacks"):
        execute(url, f"ALTER TABLE {table} OWNER TO {role}")
    await adopt(url)
    owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
    assert ask(frozen, url, owners) == [(role,)]


async def test_nobody_else_may_read_what_is_put_beside_the_tables(
    frozen: Shelf, url: str, role: str
) -> None:
    execute(url, f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO {role}")
    await adopt(url)
    assert ask(
        frozen,
        url,
        f"SELECT table_name::text, privilege_type::text FROM information_schema.table_privileges "
        f"WHERE grantee = '{role}' AND table_schema = 'public' ORDER BY 1",
    ) == [("steps", "SELECT"), ("threads", "SELECT")]


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
