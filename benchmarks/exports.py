"""How long an export takes, and how much memory, by form and by the shape of the history.

Run from the root of the repository::

    python -m benchmarks.exports --steps 100000 --database sqlite,postgresql
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from chainlit_sqla.cli.export_target import OutputTarget
from chainlit_sqla.database import Database
from chainlit_sqla.database import migrator as migrations
from chainlit_sqla.transfer.exporting import FORMATS, Export, Selection
from tests.export import many
from tests.servers.postgres import start_postgres

from .measure import MIB, Memory
from .report import Column, Report, Rows, apart

COLUMNS = (
    Column("growth", "peak growth, MB", goal=200),
    Column("seconds", "time, s"),
    Column("rate", "steps/s", more_is_better=True),
    Column("size", "written, MB"),
)
_TURN, _SHORT = 4, 20
TEXT = "the quick brown *fox* jumps over the `lazy` dog, again and again. " * 8
"""540 characters, with a little Markdown."""


@dataclass(frozen=True)
class Job:
    """One measurement in a process of its own."""

    url: str
    form: str
    steps: int
    file: Path


def run(job: Job) -> Rows:
    """Measure in this process, which has done nothing else before."""
    return asyncio.run(_measure(job))


async def _measure(job: Job) -> Rows:
    database = Database(job.url, read_only=True)
    target = OutputTarget(str(job.file), force=True)
    memory = Memory()
    began = time.perf_counter()
    await Export(database, job.form, Selection()).run(target)
    seconds = time.perf_counter() - began
    await database.close()
    return {
        "growth": memory.growth,
        "seconds": seconds,
        "rate": job.steps / seconds,
        "size": target.written / MIB,
        "stacks": {},
    }


async def fill(url: str, steps: int, conversations: int) -> None:
    """Make the tables and store steps in so many conversations."""
    database = Database(url)
    await migrations.upgrade(database)
    for number in range(conversations):
        turns = steps // conversations // _TURN
        await many.store(database, f"thread-{number:06}", turns, TEXT)
    async with database.write() as connection:  # Servers do it by themselves, a minute later.
        await connection.exec_driver_sql("ANALYZE")
    await database.close()


@contextmanager
def _postgres() -> Iterator[str]:
    server = start_postgres()
    try:
        yield server.create_database()
    finally:
        server.stop()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.exports", description=__doc__)
    parser.add_argument("--steps", type=int, default=100_000, help="in all (100,000)")
    parser.add_argument("--database", default="sqlite,postgresql", help="sqlite, postgresql (both)")
    parser.add_argument("--repeat", type=int, default=3, help="measurements of each kind (3)")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    options = parser.parse_args()
    report = Report("exports", COLUMNS, options)
    shapes = {"one conversation": 1, f"of {_SHORT} steps": max(1, options.steps // _SHORT)}
    for shape, conversations in shapes.items():
        for kind in options.database.split(","):
            with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
                folder = Path(name)
                place: AbstractContextManager[str] = (
                    _postgres()
                    if kind == "postgresql"
                    else nullcontext(f"sqlite:///{folder / 'chats.db'}")
                )
                with place as url:
                    asyncio.run(fill(url, options.steps, conversations))
                    for form in FORMATS:
                        job = Job(url, form, options.steps, folder / "out")
                        report.repeat(f"{kind}, {shape}, {form}", partial(apart, run, job))
    report.end()


if __name__ == "__main__":
    main()
