"""Measures the data layers side by side; see README.md."""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)

from .contenders import CONTENDERS
from .context import Context
from .goals import judge
from .plots import draw
from .record import Record
from .servers import Databases
from .table import show
from .workloads import WORKLOADS

ROUNDS, QUICK_ROUNDS = 9, 2
LARGEST, FULL_LARGEST, QUICK_LARGEST = 1_000_000, 2_000_000, 20_000
PACKAGES = ("chainlit-sqla", "chainlit", "sqlalchemy", "asyncpg", "aiosqlite", "orjson")


def main() -> None:
    """Measure, print, and write what was asked for."""
    options = _parser().parse_args()
    databases = Databases(options.postgres, options.folder)
    os.environ["CHAINLIT_APP_ROOT"] = str(databases.folder)  # Importing it makes folders there.
    began = time.time()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    try:
        with Progress(
            *columns, TimeElapsedColumn(), console=Console(stderr=True), transient=False
        ) as progress:
            context = Context(
                databases,
                options.database,
                options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS),
                options.quick,
                progress,
                options.loop,
                options.contender,
                _largest(options),
            )
            for workload in options.workload:
                asyncio.run(_run(context, workload))
                if options.json:  # A long run that is ended leaves what it has measured.
                    about = _about(options, databases) | {"seconds": time.time() - began}
                    document = _document(about, context.records)
                    options.json.write_text(json.dumps(document, indent=1) + "\n")
    finally:
        databases.close()
    show(context.records)
    if options.plots:
        draw(context.records, options.plots)


async def _run(context: Context, workload: str) -> None:
    await WORKLOADS[workload](context)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add(
        "--workload",
        type=_several(WORKLOADS),
        default=list(WORKLOADS),
        help=f"some of {', '.join(WORKLOADS)}, separated by commas (all)",
    )
    kinds = ("postgresql", "sqlite")
    add("--database", type=_several(kinds), default=list(kinds), help="postgresql,sqlite (both)")
    add(
        "--contender",
        type=_several(CONTENDERS),
        default=[],
        help="only these contenders, separated by commas (all)",
    )
    add("--rounds", type=int, default=0, help=f"turns of each contender in a case ({ROUNDS})")
    add("--quick", action="store_true", help="only see that it works")
    add("--full", action="store_true", help=f"let histories grow to {FULL_LARGEST:,} steps")
    add("--largest", type=int, help=f"the same, to so many ({LARGEST:,}; {QUICK_LARGEST:,} quick)")
    add("--json", type=Path, help="write every figure to this file")
    add("--plots", type=Path, help="draw plots (SVG and PNG) into this folder")
    add("--postgres", metavar="URL", help="a server whose account may create databases")
    add("--folder", type=Path, help="where SQLite files lie; on a disk (temporary files)")
    add(
        "--loop",
        choices=("chainlit", "plain"),
        default="chainlit",
        help="the event loop: as `chainlit run` patches it, or Python's (chainlit)",
    )
    return parser


def _largest(options: argparse.Namespace) -> int:
    if options.largest:
        return int(options.largest)
    if options.full:
        return FULL_LARGEST
    return QUICK_LARGEST if options.quick else LARGEST


def _several(known: Any) -> Any:
    def read(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",") if name.strip()]
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(
                    f"{name!r} is not known; choose from {', '.join(known)}"
                )
        return names

    return read


def _about(options: argparse.Namespace, databases: Databases) -> dict[str, Any]:
    return {
        "date": time.strftime("%Y-%m-%d"),
        "command": " ".join(["python -m benchmarks", *sys.argv[1:]]).replace(
            options.postgres or "\0", "URL"
        ),
        "machine": platform.platform(),
        "processors": os.cpu_count(),
        "load": os.getloadavg(),
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "databases": databases.facts(),
        "event loop": options.loop,
    }


def _document(about: dict[str, Any], records: Sequence[Record]) -> dict[str, Any]:
    return {
        "about": about,
        "goals": [
            asdict(verdict.goal) | {"met": verdict.met, "found": asdict(verdict.found)}
            if verdict.found
            else asdict(verdict.goal)
            for verdict in judge(records)
        ],
        "records": [record.to_dict() for record in records],
    }


if __name__ == "__main__":
    main()
