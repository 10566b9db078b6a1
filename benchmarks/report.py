"""Repeats measurements, each in a new process, and tells the median and the worst."""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from .measure import load, watch_idle
from .stores import STORES

Rows = dict[str, Any]
J = TypeVar("J")


@dataclass(frozen=True, slots=True)
class Column:
    """One figure of a measurement.

    Args:
        name: Its key.
        title: What it is, with the unit.
        goal: What it should stay below; None: there is no goal.
        more_is_better: Which end is the worst.
    """

    name: str
    title: str
    goal: float | None = None
    more_is_better: bool = False


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that all benchmarks share."""
    parser.add_argument("--store", default="", help=f"some of {', '.join(STORES)} (all)")
    parser.add_argument("--repeat", type=int, default=5, help="measurements of each kind (5)")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument(
        "--explain",
        type=float,
        default=0,
        metavar="MS",
        help="print where the event loop stood in gaps longer than this",
    )


def apart(work: Callable[[J], Rows], job: J) -> Rows:
    """Run in a new process, so that no measurement profits from one before it.

    A second process looks at the same time what gaps the machine gives to who does nothing.
    """
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    idle = context.Process(target=watch_idle, args=[theirs], daemon=True)
    idle.start()
    ours.recv()
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        rows = pool.submit(work, job).result()
    ours.send(True)
    rows["idle"] = ours.recv() * 1000
    idle.join()
    return rows


class Report:
    """Collects measurements and prints them.

    Args:
        name: Of the benchmark.
        columns: The figures.
        options: What `add_options` gave.
    """

    def __init__(self, name: str, columns: Sequence[Column], options: argparse.Namespace) -> None:
        self.name = name
        self.columns = columns
        self.options = options
        self.results: dict[str, list[Rows]] = {}
        self.errors = Console(stderr=True)

    def repeat(self, title: str, measure: Callable[[], Rows]) -> None:
        """Measure several times."""
        shown = (TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn())
        rows = self.results.setdefault(title, [])
        with Progress(*shown, console=self.errors) as progress:
            for _ in progress.track(range(self.options.repeat), description=title):
                before = load()
                rows.append(measure() | {"load": before})
        for row in rows:
            for where, times in sorted(row["stacks"].items(), key=lambda item: -item[1])[:5]:
                self.errors.print(f"  {times} x {where}", soft_wrap=True, highlight=False)

    def end(self) -> None:
        """Print the table and write the file."""
        table = Table(title=f"{self.name}: median / worst of {self.options.repeat}")
        table.add_column("")
        for column in self.columns:
            goal = f" (goal < {column.goal:g})" if column.goal else ""
            table.add_column(column.title + goal, justify="right")
        table.add_column("load", justify="right")
        for title, rows in self.results.items():
            figures = [self._figure(column, rows) for column in self.columns]
            table.add_row(title, *figures, f"{max(row['load'] for row in rows):.1f}")
        # Piped, rich takes 80 columns, which is too narrow for the table.
        Console(width=None if sys.stdout.isatty() else 150).print(table)
        if self.options.json:
            about = {"python": platform.python_version(), "machine": platform.platform()}
            text = json.dumps(about | {"results": self.results}, indent=2)
            self.options.json.write_text(text + "\n")

    def _figure(self, column: Column, rows: Sequence[Rows]) -> str:
        values = [float(row[column.name]) for row in rows]
        worst = min(values) if column.more_is_better else max(values)
        text = f"{statistics.median(values):.1f} / {worst:.1f}"
        missed = column.goal is not None and worst >= column.goal
        return f"[red]{text}[/red]" if missed else text
