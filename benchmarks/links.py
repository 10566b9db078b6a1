"""How long it takes to sign the links of a thread with many attachments.

Run from the root of the repository::

    python -m benchmarks.links --keys 500 --json links.json
"""

from __future__ import annotations

import argparse
import asyncio
import time
from dataclasses import dataclass
from functools import partial

from .measure import Gaps
from .report import Column, Report, Rows, add_options, apart
from .stores import STORES, Maker, chosen

COLUMNS = (
    Column("total", "time, ms"),
    Column("gap", "longest gap, ms", goal=50),
    Column("computing", "of it computing, ms"),
    Column("idle", "gap of an idle process, ms"),
    Column("first", "gap of the first link, ms"),
    Column("first_total", "time of the first link, ms"),
)


@dataclass(frozen=True)
class Job:
    """One measurement in a process of its own.

    Args:
        make: Makes the client.
        keys: How many links.
        explain: See `Gaps`.
    """

    make: Maker
    keys: int
    explain: float = 0.0


def run(job: Job) -> Rows:
    """Measure in this process, which has done nothing else before."""
    return asyncio.run(_measure(job))


async def _measure(job: Job) -> Rows:
    storage = job.make()
    began = time.perf_counter()
    async with Gaps() as first:
        await storage.read_urls(["warm-up"])
        first_total = time.perf_counter() - began
    keys = [f"threads/{'t' * 36}/{'e' * 36}/{number:032x}" for number in range(job.keys)]
    async with Gaps(job.explain) as gaps:
        began = time.perf_counter()
        links = await storage.read_urls(keys)
        total = time.perf_counter() - began
    assert len(links) == job.keys
    await storage.close()
    return {
        "total": total * 1000,
        "gap": gaps.longest.seconds * 1000,
        "computing": gaps.longest.computing * 1000,
        "first": first.longest.seconds * 1000,
        "first_total": first_total * 1000,
        "stacks": gaps.stacks,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.links", description=__doc__)
    parser.add_argument("--keys", type=int, default=500, help="how many links (500)")
    add_options(parser)
    options = parser.parse_args()
    report = Report("links", COLUMNS, options)
    for name in chosen(options.store):
        with STORES[name]() as make:
            job = Job(make, options.keys, options.explain / 1000)
            report.repeat(f"{name}: {options.keys} links", partial(apart, run, job))
    report.end()


if __name__ == "__main__":
    main()
