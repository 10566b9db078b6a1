"""Adopting in place, and the way back: time and peak memory.

Each is a process of its own, `chainlit-sqla adopt` and then `unadopt`; the comparison of what was
read with what was written is in the time.

Run from the root of the repository::

    python -m benchmarks.adoption --steps 100000
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.moving import Place, fill_postgres, fill_sqlite, run


def main() -> None:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--databases", default="sqlite,postgresql")
    given = parser.parse_args()
    print("| Database | Command | Steps | Seconds | CPU of the process | Peak memory |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        place = Place(Path(folder), stack)
        for dialect in given.databases.split(","):
            _measure(place, dialect, given.steps)


def _measure(place: Place, dialect: str, steps: int) -> None:
    url = place.make(dialect, "adopted")
    if dialect == "sqlite":
        fill_sqlite(url, steps)
    else:
        asyncio.run(fill_postgres(url, steps))
    for command in ("adopt", "unadopt", "adopt"):
        took = run(command, "--yes", "--url", url)
        if "no difference" not in took.output:
            raise RuntimeError(took.output)
        cells = (dialect, command, f"{steps:,}", f"{took.seconds:.1f}", f"{took.cpu:.1f} s")
        print(f"| {' | '.join(cells)} | {took.peak:.0f} MB |", flush=True)


if __name__ == "__main__":
    main()
