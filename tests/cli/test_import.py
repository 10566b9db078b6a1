"""`import` as a user runs it: killed, interrupted, run again, from files and databases."""

from __future__ import annotations

import gzip
import signal
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from chainlit_sqla.cli.import_ import report_lines
from chainlit_sqla.transfer.importing import Comparison, Difference, Result
from chainlit_sqla.transfer.sources import BATCH
from tests.cli.conftest import Command
from tests.cli.programs import run_program
from tests.frozen.load import execute
from tests.importers.bulk import fill
from tests.servers.fixtures import url_of
from tests.servers.postgres import PostgresServer

STEPS = 5 * BATCH // 2
# Ends itself in the second batch: some of it is written, without its resume token.
ENDED = """
import os, sys
from chainlit_sqla.cli.app import main
from chainlit_sqla.transfer.importing import ImportTarget

ending, batches = int(sys.argv.pop(1)), 0
write, save = ImportTarget.write, ImportTarget.save_progress

async def ended(self, chunk):
    written = await write(self, chunk)
    if batches == 1 and any(record.kind == "step" for record in chunk.records):
        os.kill(os.getpid(), ending)
    return written

async def counted(self, progress):
    global batches
    await save(self, progress)
    batches += 1

ImportTarget.write, ImportTarget.save_progress = ended, counted
main(sys.argv[1:])
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def new(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    yield from url_of(request, folder)


def rows_in(url: str, postgres: PostgresServer | None) -> int:
    query = "SELECT count(*) FROM steps"
    if postgres is not None:
        return int(postgres.execute(query, url=url)[0][0])
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        return int(connection.execute(query).fetchone()[0])


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
def test_ended_in_the_middle_it_continues_to_a_correct_end(
    folder: Path, cli: Command, new: str, request: pytest.FixtureRequest, ending: signal.Signals
) -> None:
    fill(folder / "big.db", STEPS, each=1)  # Several batches.
    assert cli("upgrade", "--url", new).code == 0
    postgres = request.getfixturevalue("postgres") if new.startswith("postgresql") else None
    arguments = ("import", "--from", str(folder / "big.db"), "--url", new)
    ended = run_program([sys.executable, "-c", ENDED, str(int(ending)), *arguments], folder, {})
    assert ended.code == {signal.SIGKILL: -signal.SIGKILL, signal.SIGINT: 130}[ending], ended
    assert ("Run the same command again to continue." in ended.err) == (ending == signal.SIGINT), (
        ended
    )
    assert "Compared" not in ended.out
    assert BATCH < rows_in(new, postgres) < 2 * BATCH
    again = cli(*arguments)
    assert again.code == 0, again
    assert "continued after an interruption" in again.out
    counted = ["steps", f"{STEPS:,}", f"{STEPS:,}", "0", "0"]
    assert counted in [line.split() for line in again.out.splitlines()]
    assert "no difference" in again.out
    assert rows_in(new, postgres) == STEPS


def test_the_report(folder: Path, old: Path, cli: Command) -> None:
    new = f"sqlite:///{folder}/new.db"
    done = cli("import", "--from", str(old), "--url", new)
    assert done.code == 0, done
    assert f"From sqlite:///{old}" in done.out
    assert "           in source  in target  quarantined  different" in done.out
    assert "users              3          3            0          0" in done.out
    assert "local time" in done.out
    assert "no difference" in done.out
    execute(f"sqlite:///{old}", "DELETE FROM feedbacks")
    again = cli("import", "--from", f"sqlite:///{old}", "--url", new)
    assert again.code == 0
    assert " only in the target." in again.out
    assert "delete them in the app, or import into an empty database" in again.out


def test_only_comparing_writes_nothing(folder: Path, old: Path, cli: Command) -> None:
    new = f"sqlite:///{folder}/new.db"
    assert cli("upgrade", "--url", new).code == 0
    before = (folder / "new.db").read_bytes()
    compared = cli("import", "--from", str(old), "--url", new, "--verify-only")
    assert compared.code == 1
    assert "missing in the target" in compared.out
    assert (folder / "new.db").read_bytes() == before
    assert cli("import", "--from", str(old), "--url", new).code == 0
    assert cli("import", "--from", str(old), "--url", new, "--verify-only").code == 0


# Files


@pytest.fixture
def exported(folder: Path, old: Path, cli: Command) -> Path:
    assert cli("import", "--from", str(old), "--url", f"sqlite:///{folder}/a.db").code == 0
    file = folder / "chats.jsonl"
    assert cli("export", "--url", f"sqlite:///{folder}/a.db", "--output", str(file)).code == 0
    return file


@pytest.mark.parametrize("cut", ["last line", "one line", "half a line"])
def test_a_truncated_file_is_refused_with_the_repair(
    exported: Path, folder: Path, cli: Command, cut: str
) -> None:
    lines = exported.read_bytes().splitlines(keepends=True)
    left = {
        "last line": lines[:-1],
        "one line": lines[:10] + lines[11:],
        "half a line": [*lines[:10], lines[10][: len(lines[10]) // 2]],
    }[cut]
    exported.write_bytes(b"".join(left))
    url = f"sqlite:///{folder}/b.db"
    refused = cli("import", "--from", str(exported), "--url", url)
    assert refused.code == 1
    assert (
        "export it again, or delete its first line to import the lines that it has" in refused.err
    )
    exported.write_bytes(gzip.compress(b"".join(left[1:])))  # Recognised by its content.
    accepted = cli("import", "--from", str(exported), "--url", url)
    assert accepted.code == 0, accepted
    assert ("bad lines" in accepted.out) == (cut == "half a line")
    assert "has no header line, so it may be incomplete" in accepted.out


@pytest.mark.parametrize("form", ["~/{}", "{}"])
def test_a_file_is_found_however_its_path_is_written(
    old: Path, folder: Path, cli: Command, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setenv("HOME", str(folder))
    name = "ä b?c%41#.db"
    old.rename(folder / name)
    done = cli("import", "--from", form.format(name), "--url", f"sqlite:///{folder}/new.db")
    assert done.code == 0, done.err


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--from", ""], "--from is empty"),
        (["--from", "nowhere.db"], "There is no file nowhere.db"),
        (["--from", "oracle://x/y"], "is not a supported database"),
        (["--from", "old.db", "--layer", "mine"], "give one of chainlit-sqla, sqlalchemy, asyncpg"),
        (["--from", "old.db", "--layer", "asyncpg"], "has no tables named Step, Thread, User"),
        (["--from", "new.db"], "is the database to import into"),
        (["--from", "."], ". is not a file; give"),
        (["--from", "me:secret@host/old"], "a URL such as postgresql://user@host/name"),
    ],
)
def test_a_mistake_is_reported_with_the_repair(
    folder: Path, old: Path, cli: Command, arguments: list[str], words: str
) -> None:
    assert cli("upgrade", "--url", "sqlite:///new.db").code == 0
    refused = cli("import", *arguments, "--url", "sqlite:///new.db")
    assert refused.code == 1
    assert words in refused.err
    assert "secret" not in refused.err
    assert refused.err.count("\n") == 1


def test_a_target_without_tables_is_refused_with_the_repair(
    old: Path, database: str, cli: Command
) -> None:
    refused = cli("import", "--from", str(old), "--url", database)
    assert refused.code == 1
    assert "run: chainlit-sqla upgrade" in refused.err


def test_rows_added_during_an_interruption_are_reported_with_the_repair() -> None:
    comparison = Comparison(threads=1)
    comparison.add(Difference(("step", "t", "s"), "missing"))
    again = "run the same command again"
    for resumed in (True, False):
        result = Result("old", resumed=resumed, comparison=comparison)
        assert (again in "\n".join(report_lines(result, update=False))) == resumed


def test_an_empty_source_is_reported(folder: Path, cli: Command) -> None:
    for url in ("sqlite:///empty.db", "sqlite:///new.db"):
        assert cli("upgrade", "--url", url).code == 0
    done = cli("import", "--from", "empty.db", "--url", "sqlite:///new.db")
    assert done.code == 0
    assert "The source is empty.\n" in done.out


def test_ids_cannot_control_the_terminal(folder: Path, cli: Command) -> None:
    id = r"t\u001b]0;x\u0007\nDone\u009b2J\u2028"
    line = f'{{"kind":"thread","id":"{id}","userId":"nobody","{id}":1}}'
    (folder / "hostile.jsonl").write_text(f"{line}\n")
    printed = cli("import", "--from", "hostile.jsonl")
    assert printed.code == 1
    assert r"t\x1b]0;x\x07\nDone\x9b2J\u2028: missing" in printed.out
    assert r"no column for t\x1b]0" in printed.out
    assert printed.out.replace("\n", "").isprintable()
