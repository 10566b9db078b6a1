"""SQLite takes ``Threads`` and ``threads`` for the same, and so does Chainlit's layer there."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tests.adoption.ways import adopt, digests, unadopt
from tests.cli.programs import run_program
from tests.frozen import original
from tests.frozen.catalog import CATALOG
from tests.frozen.comparable import differences
from tests.frozen.load import Shelf, execute

NAME = "sqlite_v8"
SPELLED = {
    "users": "USERS",
    "threads": "Threads",
    "steps": "Steps",
    "threadId": "THREADID",
    "identifier": "Identifier",
    "createdAt": "createdat",
    "indent": "Indent",
    "id": "ID",
}


def spelled(frozen: Shelf) -> str:
    """The frozen database with its names in another case, and what depends on them."""
    url = frozen.empty("sqlite")
    head, insert, rows = CATALOG[NAME].file.read_bytes().decode().partition("INSERT INTO")
    for ours, theirs in SPELLED.items():
        head = re.sub(rf'(TABLE |")\b{ours}\b', rf"\g<1>{theirs}", head)
        head = head.replace(f"REFERENCES {ours}(", f"REFERENCES {theirs}(")
    execute(url, head + insert + rows)
    execute(
        url,
        'CREATE INDEX mine ON STEPS ("threadid"); CREATE VIEW titles AS SELECT NAME FROM THREADS;'
        "CREATE TRIGGER stay AFTER UPDATE OF NAME ON THREADS BEGIN SELECT 1; END",
    )
    return url


async def test_such_tables_are_adopted_and_given_back(frozen: Shelf) -> None:
    url = spelled(frozen)
    expected = await original.read(frozen, NAME)
    report = await adopt(url)
    assert differences(expected, await original.read_ours(url)) == []
    assert [name for _, name, _ in report.strangers] == ["Indent"]
    assert set(report.carried) == {"trigger stay on THREADS", "view titles"}
    before = await digests(url)
    plain = frozen.load(NAME)
    await adopt(plain)
    assert before == await digests(plain)
    await unadopt(url)
    await original.read_at(frozen, NAME, url)
    await adopt(url)
    assert await digests(url) == before


def test_other_commands_name_the_way_and_an_import_reads_them(
    frozen: Shelf, tmp_path: Path
) -> None:
    url = spelled(frozen)

    def run(*arguments: str) -> tuple[int, str, str]:
        return run_program([sys.executable, "-m", "chainlit_sqla", *arguments], tmp_path, {})

    code, _, err = run("upgrade", "--url", url)
    assert code == 1
    assert "chainlit-sqla adopt" in err
    new = frozen.empty("sqlite")
    assert run("upgrade", "--url", new)[0] == 0
    code, out, _ = run("import", "--from", url, "--url", new)
    assert code == 0
    assert "no difference" in out
    assert ["users", "3", "3", "0", "0"] in [line.split() for line in out.splitlines()]
