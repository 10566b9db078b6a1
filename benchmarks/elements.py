"""Files through whole layers, ours and Chainlit's: memory, gaps of the event loop, time.

Both layers keep their rows in a SQLite file and their files in the same server, with the S3
client that each comes with. They are measured in turns, each time in a new process.

Run from the root of the repository::

    python -m benchmarks.elements --size 500MB --store s3 --json elements.json
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.official.schema import sqlalchemy_tables

from .measure import MIB, Gaps, Memory
from .report import Column, Report, Rows, add_options, apart
from .stores import BUCKET, Maker
from .uploads import cases, size_of

COLUMNS = (
    Column("growth", "peak growth, MB", goal=32),
    Column("gap", "longest gap, ms", goal=20),
    Column("computing", "of it computing, ms"),
    Column("idle", "gap of an idle process, ms"),
    Column("seconds", "time, s"),
    Column("cpu", "CPU of the client, s"),
)

Opener = Callable[[Path], Any]


@dataclass(frozen=True)
class Job:
    """One measurement in a process of its own.

    Args:
        open: Makes the layer, with its database in a folder.
        files: What the elements have as their paths, all sent at once.
        explain: See `Gaps`.
    """

    open: Opener
    files: list[Path]
    explain: float = 0.0


def run(job: Job) -> Rows:
    """Measure in this process, which has done nothing else before."""
    with tempfile.TemporaryDirectory(prefix="benchmark-elements-") as folder:
        return asyncio.run(_measure(job, Path(folder)))


async def _measure(job: Job, folder: Path) -> Rows:
    from chainlit.context import init_http_context

    init_http_context()  # Chainlit's layers do not work outside of a session.
    layer = job.open(folder)
    thread_id = str(uuid.uuid4())
    await layer.update_thread(thread_id, name="files")
    warm_up = folder / "warm-up"
    warm_up.write_bytes(b"x" * 1024)
    await layer.create_element(_element(thread_id, warm_up))
    elements = [_element(thread_id, path) for path in job.files]
    memory = Memory()
    async with Gaps(job.explain) as gaps:
        began, computed = time.perf_counter(), time.process_time()
        await asyncio.gather(*map(layer.create_element, elements))
        seconds, cpu = time.perf_counter() - began, time.process_time() - computed
    growth = memory.growth
    await layer.delete_thread(thread_id)
    if hasattr(layer.storage, "read_urls"):  # Chainlit's layers have clients that fail here.
        await layer.close()
    return {
        "growth": growth,
        "gap": gaps.longest.seconds * 1000,
        "computing": gaps.longest.computing * 1000,
        "seconds": seconds,
        "cpu": cpu,
        "stacks": gaps.stacks,
    }


def _element(thread_id: str, path: Path) -> Any:
    from chainlit.element import File

    return File(
        thread_id=thread_id,
        for_id=str(uuid.uuid4()),
        name=path.name,
        path=str(path),
        mime="application/octet-stream",
    )


def open_ours(make: Maker, folder: Path) -> Any:
    """Our layer, with the store of the benchmark."""
    from chainlit_sqla import SQLADataLayer

    return SQLADataLayer(f"sqlite:///{folder / 'ours.db'}", storage=make())


def open_chainlits(make: Any, folder: Path) -> Any:
    """Chainlit's SQLAlchemy layer with its own S3 client, on the same server."""
    from chainlit.data.sql_alchemy import SQLAlchemyDataLayer
    from chainlit.data.storage_clients.s3 import S3StorageClient

    options = make.keywords
    client = S3StorageClient(
        BUCKET,
        endpoint_url=options["endpoint"],
        region_name=options["region"],
        aws_access_key_id=options["access_key"],
        aws_secret_access_key=options["secret_key"],
    )
    path = folder / "chainlit.db"
    with sqlite3.connect(path) as connection:
        for statement in sqlalchemy_tables(sqlite=True):
            connection.execute(statement)
    layer = SQLAlchemyDataLayer(
        f"sqlite+aiosqlite:///{path}",
        connect_args={"timeout": 60},  # Else many writes at once fail.
        storage_provider=client,
    )
    layer.storage = client  # type: ignore[attr-defined]
    return layer


def _in_turns(report: Report, jobs: dict[str, Job]) -> None:
    """Repeat all in turns, so that what else the machine does meets all of them."""
    repeats, report.options.repeat = report.options.repeat, 1
    collected: dict[str, list[Rows]] = {title: [] for title in jobs}
    for _ in range(repeats):
        for title, job in jobs.items():
            report.repeat(title, partial(apart, run, job))
            collected[title] += report.results.pop(title)
    report.results |= collected
    report.options.repeat = repeats


def _compare(report: Report, title: str) -> None:
    ours, theirs = (report.results[f"{title}, {who}"] for who in ("ours", "Chainlit's"))
    for name in ("seconds", "cpu"):
        ratios = [b[name] / a[name] for a, b in zip(ours, theirs, strict=True)]
        report.errors.print(
            f"{title}: Chainlit's needs {statistics.median(ratios):.2f} times our {name} "
            f"({min(ratios):.2f} to {max(ratios):.2f})"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.elements", description=__doc__)
    parser.add_argument("--size", type=size_of, default=500 * MIB, help="of the large file (500MB)")
    add_options(parser)
    options = parser.parse_args()
    report = Report("elements", COLUMNS, options)
    explain = options.explain / 1000
    for name, make, title, files in cases(options):
        jobs = {f"{title}, ours": Job(partial(open_ours, make), files, explain)}
        if name.startswith("s3"):  # It has no client for a folder of this machine.
            opener = partial(open_chainlits, make)
            jobs[f"{title}, Chainlit's"] = Job(opener, files, explain)
        _in_turns(report, jobs)
        if len(jobs) > 1:
            _compare(report, title)
    report.end()


if __name__ == "__main__":
    main()
