"""How much memory and how much of the event loop an upload takes.

Run from the root of the repository::

    python -m benchmarks.uploads --size 1GB --store local,s3 --json uploads.json
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from chainlit_sqla.storage.base import BlobSource, StorageClient

from .measure import MIB, Gaps, Memory
from .report import Column, Report, Rows, add_options, apart
from .stores import STORES, Maker, chosen

MANY, EACH = 200, MIB
_UNITS = {"": 1, "KB": 1024, "MB": MIB, "GB": 1024 * MIB}

COLUMNS = (
    Column("growth", "peak growth, MB", goal=64),
    Column("gap", "longest gap, ms", goal=50),
    Column("computing", "of it computing, ms"),
    Column("idle", "gap of an idle process, ms"),
    Column("seconds", "time, s"),
    Column("rate", "MB/s", more_is_better=True),
    Column("first", "gap of the first upload, ms"),
)


@dataclass(frozen=True)
class Job:
    """One measurement in a process of its own.

    Args:
        make: Makes the client.
        files: What is uploaded, all at once.
        explain: See `Gaps`.
    """

    make: Maker
    files: list[Path]
    explain: float = 0.0


def run(job: Job) -> Rows:
    """Measure in this process, which has done nothing else before."""
    return asyncio.run(_measure(job))


async def _measure(job: Job) -> Rows:
    storage = job.make()
    async with Gaps() as first:
        await storage.put("warm-up", BlobSource(data=b"x" * 1024), mime="text/plain")
    size = sum(path.stat().st_size for path in job.files)
    memory = Memory()
    async with Gaps(job.explain) as gaps:
        began = time.perf_counter()
        await asyncio.gather(*(_put(storage, n, path) for n, path in enumerate(job.files)))
        seconds = time.perf_counter() - began
    growth = memory.growth
    await storage.delete(["warm-up", *(f"blob-{n}" for n in range(len(job.files)))])
    await storage.close()
    return {
        "growth": growth,
        "gap": gaps.longest.seconds * 1000,
        "computing": gaps.longest.computing * 1000,
        "seconds": seconds,
        "rate": size / MIB / seconds,
        "first": first.longest.seconds * 1000,
        "stacks": gaps.stacks,
    }


async def _put(storage: StorageClient, number: int, path: Path) -> None:
    await storage.put(f"blob-{number}", BlobSource(path=path), mime="application/octet-stream")


def size_of(text: str) -> int:
    """Read a size such as ``1GB``.

    Raises:
        argparse.ArgumentTypeError: It is none.
    """
    found = re.fullmatch(r"(\d+)\s*([KMG]B)?", text.strip().upper())
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write it like 1GB or 200MB")
    return int(found[1]) * _UNITS[found[2] or ""]


@contextmanager
def contents(size: int) -> Iterator[tuple[list[Path], list[Path]]]:
    """Make one large file and many small ones: 8 MB of random bytes, again and again."""
    block = os.urandom(8 * MIB)
    with tempfile.TemporaryDirectory(prefix="benchmark-files-") as folder:
        large = Path(folder) / "large"
        with large.open("wb") as file:
            for start in range(0, size, len(block)):
                file.write(block[: size - start])
        small = [Path(folder) / f"small-{number}" for number in range(MANY)]
        for path in small:
            path.write_bytes(block[:EACH])
        yield [large], small


def cases(options: argparse.Namespace) -> Iterator[tuple[str, Maker, str, list[Path]]]:
    """Start each chosen store, for one large file and for many small ones.

    Args:
        options: With the ``size`` of the large one, and those of `add_options`.

    Yields:
        The name of the store, what makes a client, a title, and the files.
    """
    with contents(options.size) as (large, small):
        for name in chosen(options.store):
            with STORES[name]() as make:
                yield name, make, f"{name}: 1 x {options.size / MIB:,.0f} MB", large
                yield name, make, f"{name}: {MANY} x {EACH // MIB} MB at once", small


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.uploads", description=__doc__)
    parser.add_argument("--size", type=size_of, default=1024 * MIB, help="of the large blob")
    add_options(parser)
    options = parser.parse_args()
    report = Report("uploads", COLUMNS, options)
    for _, make, title, files in cases(options):
        job = Job(make, files, options.explain / 1000)
        report.repeat(title, partial(apart, run, job))
    report.end()


if __name__ == "__main__":
    main()
