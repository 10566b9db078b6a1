"""What depends on the tables is listed with its DDL, refused, and dropped only when asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from chainlit_sqla.errors import AdoptionRefused, DatabaseUnavailable
from tests.frozen.load import Shelf, execute, rows
from tests.in_place.changes import adopt, unadopt

TABLES = ("users", "threads", "steps", "elements", "feedbacks")
POSTGRESQL = """
CREATE VIEW titles AS SELECT id::text AS id, name FROM threads;
CREATE MATERIALIZED VIEW counts AS SELECT count(*) AS n FROM titles;
CREATE UNIQUE INDEX counts_n ON counts (n);
CREATE POLICY own ON steps FOR SELECT TO {role} USING ("threadId" IN (SELECT id FROM threads));
CREATE TABLE ratings (thread uuid REFERENCES threads ON DELETE CASCADE);
CREATE POLICY rated on ratings USING (thread IN (SELECT id FROM threads));
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER tell AFTER INSERT ON threads FOR EACH ROW EXECUTE FUNCTION tell();
CREATE TABLE people (id uuid PRIMARY KEY);
ALTER TABLE users ADD CONSTRAINT person FOREIGN KEY (id) REFERENCES people NOT VALID;
CREATE RULE stay AS ON DELETE TO feedbacks DO INSTEAD NOTHING;
CREATE PUBLICATION changes FOR TABLE threads;
"""
SQLITE = """
CREATE VIEW titles AS SELECT id, name FROM Threads;
CREATE TRIGGER retitle INSTEAD OF UPDATE ON titles
  BEGIN UPDATE threads SET name = NEW.name WHERE id = NEW.id; END;
CREATE TRIGGER tell AFTER UPDATE OF name ON threads BEGIN SELECT 1; END;
"""


@pytest.fixture
def role(frozen: Shelf) -> Iterator[str]:
    name = f"reader_{id(frozen)}"
    frozen.server.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'secret'")
    yield name
    frozen.close()
    frozen.server.execute(f"DROP ROLE {name}")


async def test_on_postgresql(frozen: Shelf, tmp_path: Path, role: str) -> None:
    url = frozen.load("postgres_v8")
    execute(url, POSTGRESQL.format(role=role))
    before = await rows(url)
    with pytest.raises(AdoptionRefused) as refused:
        await adopt(url)
    text = str(refused.value)
    assert "8 objects" in text
    assert "--drop-dependents" in text
    for ddl in (
        "CREATE VIEW public.titles AS",
        "CREATE MATERIALIZED VIEW public.counts AS",
        "CREATE UNIQUE INDEX counts_n",
        f"CREATE POLICY own on public.steps AS PERMISSIVE FOR SELECT TO {role} USING",
        "CREATE POLICY rated on public.ratings",
        "ADD CONSTRAINT ratings_thread_fkey FOREIGN KEY (thread) REFERENCES public.threads(id)",
        "CREATE TRIGGER tell AFTER INSERT ON public.threads",
        "CREATE RULE stay AS",
        "ALTER PUBLICATION changes ADD TABLE public.threads",
    ):
        assert ddl in text
    assert await rows(url) == before

    assert len((await adopt(url, drop_dependents=True)).dependents) == 8
    execute(url, "CREATE VIEW again AS SELECT name FROM threads")
    with pytest.raises(AdoptionRefused, match=r"CREATE VIEW public\.again"):
        await unadopt(url, tmp_path / "rest.jsonl")
    await unadopt(url, tmp_path / "rest.jsonl", drop_dependents=True)
    columns = "SELECT data_type FROM information_schema.columns WHERE table_name = 'steps' LIMIT 1"
    assert [row[0] for row in frozen.server.execute(columns, url=url)] == ["uuid"]
    execute(url, "ALTER TABLE users DROP CONSTRAINT person")  # It was no obstacle, and stayed.


async def test_on_sqlite(frozen: Shelf) -> None:
    url = frozen.load("sqlite_v8")
    execute(url, SQLITE)
    with pytest.raises(AdoptionRefused, match="CREATE VIEW titles AS SELECT") as refused:
        await adopt(url)
    assert "CREATE TRIGGER retitle INSTEAD OF" in str(refused.value)
    notes = "CREATE TABLE notes (thread TEXT REFERENCES threads(id))"
    execute(url, notes)
    with pytest.raises(AdoptionRefused, match="create these tables again without it") as refused:
        await adopt(url, drop_dependents=True)
    assert notes in str(refused.value)
    execute(url, "DROP TABLE notes")
    report = await adopt(url, drop_dependents=True)
    assert [d.name for d in report.dependents] == ["view titles", "trigger retitle", "trigger tell"]


async def test_the_owner_and_row_level_security_of_the_tables_stay(
    frozen: Shelf, role: str
) -> None:
    url = frozen.load("postgres_v8")
    for table in TABLES:
        execute(url, f"ALTER TABLE {table} OWNER TO {role}")
    execute(url, "ALTER TABLE steps ENABLE ROW LEVEL SECURITY")
    execute(url, f"GRANT ALL ON SCHEMA public TO {role}")
    await adopt(url)
    query = (
        "SELECT DISTINCT pg_get_userbyid(relowner)::text, relrowsecurity FROM pg_class WHERE "
        "relkind = 'r' AND relname LIKE 'chainlit%' OR relname IN ('users', 'steps')"
    )
    assert [tuple(row) for row in frozen.server.execute(query, url=url)] == [(role, True)]


async def test_only_an_owner_who_sees_all_rows_may_adopt(frozen: Shelf, role: str) -> None:
    url = frozen.load("postgres_v8")
    theirs = re.sub(r"//[^@]*@", f"//{role}:secret@", url)
    execute(url, f"GRANT ALL ON SCHEMA public TO {role}")
    for table in TABLES:
        execute(url, f"GRANT ALL ON {table} TO {role}")
    with pytest.raises(DatabaseUnavailable, match="connect as the owner"):
        await adopt(theirs)
    for table in TABLES:
        execute(url, f"ALTER TABLE {table} OWNER TO {role}")
    execute(url, "ALTER TABLE steps ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    before = await rows(url)
    with pytest.raises(DatabaseUnavailable, match="connect as a role with BYPASSRLS"):
        await adopt(theirs)
    assert await rows(url) == before
    execute(url, "ALTER TABLE steps NO FORCE ROW LEVEL SECURITY")
    assert (await adopt(theirs)).after["step"] == len(before["steps"])
