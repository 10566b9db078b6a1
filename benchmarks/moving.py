"""Moving in: 100,000 steps from each origin to each of our databases.

Each import is a process of its own, `chainlit-sqla import`, whose time and peak memory the
operating system tells; so the comparison of both sides at the end is in the time.

Run from the root of the repository::

    python -m benchmarks.moving --steps 100000 --targets sqlite,postgresql
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import asyncpg

from tests.official.schema import prisma_tables, sqlalchemy_tables
from tests.servers.mysql import Kind, start_mysql
from tests.servers.postgres import start_postgres

STEPS_OF_A_THREAD = 20
_START = datetime(2025, 1, 1, tzinfo=UTC)
_TEXT = "What was said in this conversation, in words that have some length. " * 8

_ASKED = """
import json, resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
cpu = used.ru_utime + used.ru_stime
said = dict(code=done.returncode, output=done.stdout, peak=used.ru_maxrss, cpu=cpu)
print(json.dumps(said))
"""
"""A small process between: Linux counts what a process had before it became another program."""

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Place:
    """Where databases are made: a server is started when it is first wanted."""

    folder: Path
    stack: ExitStack
    """Ends the servers."""
    servers: dict[str, Any] = field(default_factory=dict)

    def make(self, dialect: str, name: str) -> str:
        """The URL of an empty database."""
        if dialect == "sqlite":
            return f"sqlite:///{self.folder / name}.db"
        if dialect not in self.servers:
            server = (
                start_postgres() if dialect == "postgresql" else start_mysql(cast("Kind", dialect))
            )
            self.servers[dialect] = server
            self.stack.callback(server.stop)
        return str(self.servers[dialect].create_database())


def uid(kind: int, number: int) -> str:
    """An id as Chainlit makes them."""
    return f"{kind}0000000-0000-4000-8000-{number:012d}"


def rows(steps: int, each: int = STEPS_OF_A_THREAD) -> Iterator[tuple[str, Row]]:
    """The conversations: a table, and values in the order of `COLUMNS`."""
    for number in range(100):
        yield "users", (uid(1, number), f"user-{number}", '{"role": "user"}', _at(0))
    for thread in range(-(-steps // each)):
        owner, id = thread % 100, uid(2, thread)
        begun = thread * 3600
        yield "threads", (id, _at(begun), f"Thread {thread}", uid(1, owner), f"user-{owner}", "{}")
        for place in range(each):
            step = thread * each + place
            if step >= steps:
                return
            kind = ("user_message", "run", "tool", "assistant_message")[place % 4]
            at = _at(begun + place)
            yield (
                "steps",
                (uid(3, step), id, f"step {place}", kind, _TEXT, at, at, f'{{"n": {step}}}'),
            )
            if place % 10 == 3:
                yield "feedbacks", (uid(5, step), id, uid(3, step), place % 2, "fine")
        yield (
            "elements",
            (uid(4, thread), id, uid(3, thread * each), "a.pdf", f"k/{id}"),
        )


COLUMNS = {
    "users": ("id", "identifier", "metadata", "createdAt"),
    "threads": ("id", "createdAt", "name", "userId", "userIdentifier", "metadata"),
    "steps": ("id", "threadId", "name", "type", "output", "createdAt", "start", "metadata"),
    "elements": ("id", "threadId", "forId", "name", "objectKey"),
    "feedbacks": ("id", "threadId", "forId", "value", "comment"),
}


def _at(seconds: int) -> str:
    return (_START + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def fill_sqlite(url: str, steps: int, each: int = STEPS_OF_A_THREAD) -> None:
    """Fill tables of Chainlit's SQLAlchemy layer on SQLite."""
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        for statement in sqlalchemy_tables(sqlite=True):
            connection.execute(statement)
        for table, portion in _portions(steps, each):
            names = ", ".join(f'"{name}"' for name in _columns(table))
            marks = ", ".join("?" for _ in _columns(table))
            values = (row + ((0,) if table == "steps" else ()) for row in portion)
            connection.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", values)
    connection.close()


async def fill_postgres(url: str, steps: int) -> None:
    """The same on PostgreSQL."""
    connection = await asyncpg.connect(url)
    for statement in sqlalchemy_tables(sqlite=False):
        await connection.execute(statement)
    for table, portion in _portions(steps):
        values = [row + ((False,) if table == "steps" else ()) for row in portion]
        await connection.copy_records_to_table(table, records=values, columns=_columns(table))
    await connection.close()


async def fill_prisma(url: str, steps: int) -> None:
    """Fill tables of Chainlit's asyncpg layer, from those of the other one."""
    await fill_postgres(url, steps)
    connection = await asyncpg.connect(url)
    for statement in (*prisma_tables(), *_TO_PRISMA):
        await connection.execute(statement)
    await connection.execute("DROP TABLE feedbacks, elements, steps, threads, users")
    await connection.close()


_TIME = "\"createdAt\"::timestamptz AT TIME ZONE 'UTC'"
_TO_PRISMA = (
    f"""INSERT INTO "User" (id, "createdAt", metadata, identifier)
    SELECT id, {_TIME}, metadata, identifier FROM users""",
    f"""INSERT INTO "Thread" (id, "createdAt", name, metadata, "userId")
    SELECT id, {_TIME}, name, metadata, "userId" FROM threads""",
    f"""INSERT INTO "Step" (id, "createdAt", "threadId", metadata, name, output, type,
      "startTime", "endTime")
    SELECT id, {_TIME}, "threadId", metadata, name, output, type::"StepType", {_TIME}, {_TIME}
    FROM steps""",
    """INSERT INTO "Element" (id, "threadId", "stepId", metadata, name, "objectKey")
    SELECT id, "threadId", "forId", '{"type": "pdf"}', name, "objectKey" FROM elements""",
    """INSERT INTO "Feedback" (id, "stepId", name, value, comment)
    SELECT id, "forId", 'user_feedback', value, comment FROM feedbacks""",
)


def _columns(table: str) -> tuple[str, ...]:
    return COLUMNS[table] + (("streaming",) if table == "steps" else ())


def _portions(steps: int, each: int = STEPS_OF_A_THREAD) -> Iterator[tuple[str, list[Row]]]:
    """Parents first, a few thousand rows at a time."""
    for wanted in COLUMNS:
        portion: list[Row] = []
        for table, row in rows(steps, each):
            if table != wanted:
                continue
            portion.append(row)
            if len(portion) == 5_000:
                yield wanted, portion
                portion = []
        if portion:
            yield wanted, portion


@dataclass(frozen=True)
class Run:
    """What a command took.

    Args:
        seconds: Wall clock.
        cpu: Seconds of its process.
        peak: Megabytes of memory.
        output: What it printed.
    """

    seconds: float
    cpu: float
    peak: float
    output: str


def run(*arguments: str) -> Run:
    """Run `chainlit-sqla` and ask the system what it took.

    Raises:
        RuntimeError: It failed.
    """
    began = time.perf_counter()
    command = [sys.executable, "-c", _ASKED, sys.executable, "-m", "chainlit_sqla", *arguments]
    said = json.loads(subprocess.check_output(command))
    if said["code"]:
        raise RuntimeError(f"chainlit-sqla {' '.join(arguments)} failed:\n{said['output']}")
    return Run(time.perf_counter() - began, said["cpu"], said["peak"] / 1024, said["output"])


def origins(place: Place, steps: int, wanted: list[str], targets: list[str]) -> dict[str, str]:
    """Fill each origin that is wanted; what --from takes, by name."""
    made: dict[str, str] = {}
    sqlalchemy = place.make("sqlite", "origin-sqlalchemy")
    fill_sqlite(sqlalchemy, steps)
    if "sqlalchemy-sqlite" in wanted:
        made["sqlalchemy-sqlite"] = sqlalchemy
    for name, fill in (("sqlalchemy-postgresql", fill_postgres), ("asyncpg", fill_prisma)):
        if name in wanted:
            made[name] = place.make("postgresql", name)
            asyncio.run(fill(made[name], steps))
    for dialect in targets:
        if (name := f"ours-{dialect}") in wanted:
            made[name] = place.make(dialect, name)
            _import(sqlalchemy, made[name])
    if "jsonl" in wanted:
        source = place.make("sqlite", "origin-jsonl")
        _import(sqlalchemy, source)
        made["jsonl"] = str(place.folder / "export.jsonl")
        run("export", "--url", source, "--output", made["jsonl"])
    return made


def _import(source: str, url: str) -> Run:
    run("upgrade", "--url", url)
    return run("import", "--from", source, "--url", url)


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--targets", default="sqlite,postgresql,mariadb,mysql")
    parser.add_argument("--origins", default="")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    targets = options.targets.split(",")
    every = ["sqlalchemy-sqlite", "sqlalchemy-postgresql", "asyncpg", "jsonl"]
    wanted = (
        options.origins.split(",")
        if options.origins
        else [
            *every,
            *(f"ours-{dialect}" for dialect in targets),
        ]
    )
    figures = []
    with tempfile.TemporaryDirectory(prefix="benchmark-moving-") as folder, ExitStack() as stack:
        place = Place(Path(folder), stack)
        made = origins(place, options.steps, wanted, targets)
        print(
            "| origin | target | rows in | rows out | differences | time, s | CPU, s | peak, MB |"
        )
        print("|---|---|---|---|---|---|---|---|", flush=True)
        for name, source in made.items():
            for dialect in targets:
                url = place.make(dialect, f"target-{name}")
                took = _import(source, url)
                given, there = _counted(took.output)
                equal = 0 if "no difference" in took.output else "see output"
                figures.append(
                    {"origin": name, "target": dialect, "in": given, "out": there}
                    | {"seconds": took.seconds, "cpu": took.cpu, "peak": took.peak}
                )
                print(
                    f"| {name} | {dialect} | {given:,} | {there:,} | {equal} | "
                    f"{took.seconds:.1f} | {took.cpu:.1f} | {took.peak:.0f} |",
                    flush=True,
                )
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


def _counted(output: str) -> tuple[int, int]:
    """Rows in and out, from the table of the report."""
    given = there = 0
    for line in output.splitlines():
        words = line.replace(",", "").split()
        if len(words) >= 3 and words[0] in COLUMNS and words[1].isdigit():
            given += int(words[1])
            there += int(words[2])
    return given, there


if __name__ == "__main__":
    main()
