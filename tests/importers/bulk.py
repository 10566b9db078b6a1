"""Large databases of Chainlit's layers, and the peak memory of a command."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
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
    """An id as Chainlit makes them."""
    return f"{kind}0000000-0000-4000-8000-{number:012d}"


def rows(steps: int, each: int = STEPS_OF_A_THREAD) -> Iterator[tuple[str, Row]]:
    """The conversations: a table, and values in the order of `COLUMNS`."""
    for number in range(100):
        yield "users", (uid(1, number), f"user-{number}", '{"role": "user"}', _at(0))
    for thread in range(-(-steps // each)):
        owner, id = thread % 100, uid(2, thread)
        start = thread * 3600
        yield "threads", (id, _at(start), f"Thread {thread}", uid(1, owner), f"user-{owner}", "{}")
        for position in range(each):
            step = thread * each + position
            if step >= steps:
                return
            kind = ("user_message", "run", "tool", "assistant_message")[position % 4]
            at = _at(start + position)
            yield (
                "steps",
                (uid(3, step), id, f"step {position}", kind, _TEXT, at, at, f'{{"n": {step}}}'),
            )
            if position % 10 == 3:
                yield "feedbacks", (uid(5, step), id, uid(3, step), position % 2, "fine")
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
        for statement in CATALOG["sqlite_v8"].statements:
            connection.execute(statement)
        for table, portion in _portions(steps, each):
            names = ", ".join(f'"{name}"' for name in _columns(table))
            marks = ", ".join("?" for _ in _columns(table))
            values = (row + ((0,) if table == "steps" else ()) for row in portion)
            connection.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", values)
    connection.close()


async def fill_postgres(url: str, steps: int) -> None:
    """Fill tables of Chainlit's SQLAlchemy layer on PostgreSQL."""
    connection = await asyncpg.connect(url)
    for statement in CATALOG["postgres_v8"].statements:
        await connection.execute(statement)
    for table, portion in _portions(steps):
        values = [row + ((False,) if table == "steps" else ()) for row in portion]
        await connection.copy_records_to_table(table, records=values, columns=_columns(table))
    await connection.close()


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
    """The result of a command.

    Args:
        peak: Megabytes of memory.
        output: Its standard output.
    """

    peak: float
    output: str


def run(*arguments: str) -> Run:
    """Run `chainlit-sqla` in a process of its own.

    Raises:
        RuntimeError: It failed.
    """
    command = [sys.executable, "-c", _MEASURED, sys.executable, "-m", "chainlit_sqla", *arguments]
    answer = json.loads(subprocess.check_output(command))
    if answer["code"]:
        raise RuntimeError(f"chainlit-sqla {' '.join(arguments)} failed:\n{answer['output']}")
    return Run(answer["peak"] / 1024, answer["output"])


def fill(path: Path, steps: int, *, each: int) -> None:
    """Create a SQLite file of Chainlit's SQLAlchemy layer, with `each` steps in each thread."""
    fill_sqlite(f"sqlite:///{path}", steps, each)
