"""Large databases of Chainlit's layers, and the peak memory of a command."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg

from tests.frozen.catalog import CATALOG

STEPS_OF_A_THREAD = 20
_START = datetime(2025, 1, 1, tzinfo=UTC)
_TEXT = "The text of a message, of about the length of a sentence or two. " * 8

_MEASURED = """
import json, resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps(dict(code=done.returncode, output=done.stdout, peak=used.ru_maxrss)))
"""
"""A small process between: Linux counts what a process had before it became another program."""

Row = tuple[Any, ...]


def uid(kind: int, number: int) -> str:
    return f"{kind}0000000-0000-4000-8000-{number:012d}"


COLUMNS = {
    "users": ("id", "identifier", "metadata", "createdAt"),
    "threads": ("id", "createdAt", "name", "userId", "userIdentifier", "metadata"),
    "steps": (
        *("id", "threadId", "name", "type", "output"),
        *("createdAt", "start", "metadata", "streaming"),
    ),
    "elements": ("id", "threadId", "forId", "name", "objectKey"),
    "feedbacks": ("id", "threadId", "forId", "value", "comment"),
}


def rows(steps: int, each: int) -> dict[str, Iterable[Row]]:
    """The conversations: the rows of each table, in the order of `COLUMNS`."""
    threads = range(-(-steps // each))
    return {
        "users": ((uid(1, n), f"user-{n}", '{"role": "user"}', _at(0)) for n in range(100)),
        "threads": (
            (uid(2, n), _at(n * 3600), f"Thread {n}", uid(1, n % 100), f"user-{n % 100}", "{}")
            for n in threads
        ),
        "steps": (_step(n, each) for n in range(steps)),
        "elements": (
            (uid(4, n), uid(2, n), uid(3, n * each), "a.pdf", f"k/{uid(2, n)}") for n in threads
        ),
        "feedbacks": (
            (uid(5, n), uid(2, n // each), uid(3, n), n % 2, "fine")
            for n in range(steps)
            if n % each % 10 == 3
        ),
    }


def _step(number: int, each: int) -> Row:
    thread, position = divmod(number, each)
    kind = ("user_message", "run", "tool", "assistant_message")[position % 4]
    at = _at(thread * 3600 + position)
    name, metadata = f"step {position}", f'{{"n": {number}}}'
    return (uid(3, number), uid(2, thread), name, kind, _TEXT, at, at, metadata, False)


def _at(seconds: int) -> str:
    return (_START + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def fill(path: Path, steps: int, each: int = STEPS_OF_A_THREAD) -> None:
    """Create a file with tables of Chainlit's SQLAlchemy layer, with `each` steps in a thread."""
    with closing(sqlite3.connect(path)) as connection:
        for statement in CATALOG["sqlite_v8"].statements:
            connection.execute(statement)
        for table, values in rows(steps, each).items():
            names = ", ".join(f'"{name}"' for name in COLUMNS[table])
            marks = ", ".join("?" for _ in COLUMNS[table])
            connection.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", values)
        connection.commit()


async def fill_database(url: str, steps: int) -> None:
    """Create tables of Chainlit's SQLAlchemy layer on SQLite or PostgreSQL, and fill them."""
    if url.startswith("sqlite"):
        fill(Path(url.removeprefix("sqlite:///")), steps)
        return
    connection = await asyncpg.connect(url)
    for statement in CATALOG["postgres_v8"].statements:
        await connection.execute(statement)
    for table, values in rows(steps, STEPS_OF_A_THREAD).items():
        await connection.copy_records_to_table(table, records=values, columns=COLUMNS[table])
    await connection.close()


@dataclass(frozen=True)
class Run:
    """The output of a command, and the megabytes of memory that it had at most."""

    peak: float
    output: str


def run(*arguments: str) -> Run:
    """Run `chainlit-sqla` in a process of its own."""
    command = [sys.executable, "-c", _MEASURED, sys.executable, "-m", "chainlit_sqla", *arguments]
    answer = json.loads(subprocess.check_output(command))
    if answer["code"]:
        raise RuntimeError(f"chainlit-sqla {' '.join(arguments)} failed:\n{answer['output']}")
    return Run(answer["peak"] / 1024, answer["output"])
