"""`import --delete-missing`: what is told, what is asked, what is refused."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.frozen.catalog import CATALOG
from tests.frozen.load import execute

THREAD = "10000000-0000-4000-8000-000000000002"
# With --update, as what lies behind a deleted step has another number in its thread then.
IMPORT = ("import", "--from", "old.db", "--url", "sqlite:///new.db", "--update")


@pytest.fixture(autouse=True)
def imported(folder: Path, cli: Command) -> None:
    """An import, after which a thread and a step were deleted in the source."""
    old = f"sqlite:///{folder}/old.db"
    execute(old, CATALOG["sqlite_v8"].file.read_text())
    assert cli(*IMPORT).code == 0
    for table in ("feedbacks", "elements", "steps"):
        execute(old, f"DELETE FROM {table} WHERE \"threadId\" = '{THREAD}'")
    execute(old, f"DELETE FROM threads WHERE id = '{THREAD}'")
    execute(old, "DELETE FROM steps WHERE id = '20000000-0000-4000-8000-000100000003'")


def threads_in(folder: Path) -> int:
    with sqlite3.connect(folder / "new.db") as connection:
        return int(connection.execute("SELECT count(*) FROM threads").fetchone()[0])


def test_it_says_how_much_of_what_is_missing_before_it_deletes(folder: Path, cli: Command) -> None:
    there = threads_in(folder)
    unasked = cli(*IMPORT)
    assert unasked.code == 0
    assert threads_in(folder) == there
    refused = cli(*IMPORT, "--delete-missing")
    assert refused.code == 1
    assert "Only in the target, to be deleted for good: threads 1, steps " in refused.out
    assert f"thread {THREAD}: all of it" in refused.out
    assert "thread 10000000-0000-4000-8000-000000000001: 1 row of it" in refused.out
    assert "make a backup of the target, then add --yes" in refused.err
    assert threads_in(folder) == there
    done = cli(*IMPORT, "--delete-missing", "--yes")
    assert done.code == 0, done
    assert "Deleted from the target: threads 1, steps " in done.out
    assert threads_in(folder) == there - 1
    again = cli(*IMPORT, "--delete-missing", "--yes")
    assert "The target has nothing that the source has not." in again.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((*IMPORT, "--verify-only"), "give one of them"),
        (("import", "--from", "hand.jsonl", "--url", "sqlite:///new.db"), "nobody can tell"),
    ],
)
def test_what_cannot_tell_what_is_missing_deletes_nothing(
    folder: Path, cli: Command, arguments: tuple[str, ...], words: str
) -> None:
    (folder / "hand.jsonl").write_text('{"kind": "user", "id": "u", "identifier": "me"}\n')
    there = threads_in(folder)
    refused = cli(*arguments, "--delete-missing", "--yes")
    assert refused.code == 1
    assert words in refused.err
    assert threads_in(folder) == there


def test_a_damaged_line_may_be_what_is_missing(folder: Path, cli: Command) -> None:
    whole = cli("export", "--url", "sqlite:///new.db", "-o", "whole.jsonl")
    assert whole.code == 0
    there = threads_in(folder)
    text = (folder / "whole.jsonl").read_text()
    (folder / "bad.jsonl").write_text(text.replace('{"kind":"step",', '{"kind":"step"', 1))
    done = cli(
        *("import", "--from", "bad.jsonl", "--url", "sqlite:///new.db"),
        *("--delete-missing", "--yes"),
    )
    assert done.code == 1
    assert "1 line of bad.jsonl could not be read, and may be what is missing" in done.err
    assert threads_in(folder) == there


def test_a_source_without_conversations_deletes_nothing(folder: Path, cli: Command) -> None:
    there = threads_in(folder)
    assert cli("upgrade", "--url", "sqlite:///empty.db").code == 0
    done = cli(
        *("import", "--from", "empty.db", "--url", "sqlite:///new.db"),
        *("--delete-missing", "--yes"),
    )
    assert done.code == 1
    assert "look whether it is the right source" in done.err
    assert threads_in(folder) == there


def test_threads_of_users_whom_the_source_does_not_know_are_told(
    folder: Path, cli: Command
) -> None:
    there = threads_in(folder)
    shutil.copyfile(folder / "old.db", folder / "part.db")
    with closing(sqlite3.connect(folder / "part.db")) as connection:
        connection.execute('DELETE FROM threads WHERE "userId" IS NOT NULL')
        for table in ("feedbacks", "elements", "steps"):
            connection.execute(
                f'DELETE FROM {table} WHERE "threadId" NOT IN (SELECT id FROM threads)'
            )
        connection.execute("DELETE FROM users")
        [(left,)] = connection.execute("SELECT count(*) FROM threads")
        connection.commit()
    done = cli("import", "--from", "part.db", *IMPORT[3:], "--delete-missing", "--yes")
    assert f"stay, of users whom the source does not know: {there - left}." in done.out
    assert "The target has nothing else that the source has not." in done.out
    assert threads_in(folder) == there
