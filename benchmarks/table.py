"""The figures of a run for people: a table a workload, and the goals."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from .contenders import REFERENCES
from .goals import judge
from .record import Record, Spread, advantage, find, spread

_WIDTH = 150


def show(records: Sequence[Record]) -> None:
    """Print the tables."""
    # Piped, rich takes 80 columns, which is too narrow for the tables.
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    for workload in dict.fromkeys(record.workload for record in records):
        chosen = [record for record in records if record.workload == workload]
        counts = not any(record.unit for record in chosen)
        console.print(_counts(workload, chosen) if counts else _figures(workload, chosen))
    console.print(_goals(records))


def _figures(workload: str, records: Sequence[Record]) -> Table:
    table = Table(title=f"{workload}: median (quartiles) and times better than Chainlit's layer")
    for name in ("database", "case", "metric", "contender"):
        table.add_column(name)
    table.add_column("figure", justify="right")
    table.add_column("times better", justify="right")
    before = None
    for place in dict.fromkeys(record.place for record in records):
        _, database, case, metric = place
        table.add_section()
        reference = find(records, REFERENCES.get(database, ""), place)
        for record in records:
            if record.place != place:
                continue
            head = (database, case, metric) if place != before else ("", "", "")
            before = place
            ratio = advantage(record, reference) if reference else None
            shown = _text(spread(record.values), record.unit)
            times = _text(ratio, "×") if ratio and record is not reference else ""
            table.add_row(*head, record.contender, shown, times)
    return table


def _counts(workload: str, records: Sequence[Record]) -> Table:
    """Put counts into one cell a contender."""
    metrics = list(dict.fromkeys(record.metric for record in records))
    names = list(dict.fromkeys(record.contender for record in records))
    table = Table(title=f"{workload}: {' / '.join(metrics)}, medians")
    for name in ("database", "case", *names):
        table.add_column(name)
    for database, case in dict.fromkeys((record.database, record.case) for record in records):
        cells = []
        for name in names:
            found = [find(records, name, (workload, database, case, m)) for m in metrics]
            medians = [spread(record.values).median for record in found if record]
            cells.append(" / ".join(map(number, medians)))
        table.add_row(database, case, *cells)
    return table


def _goals(records: Sequence[Record]) -> Table:
    table = Table(title="The goals")
    for name in ("workload", "database", "case", "metric", "goal"):
        table.add_column(name)
    table.add_column("measured", justify="right")
    table.add_column("met")
    marks = {True: "[green]yes[/green]", False: "[red]no[/red]", None: "not measured"}
    for verdict in judge(records):
        goal = verdict.goal
        measured = _text(verdict.found, "×" if goal.reference else "") if verdict.found else ""
        row = (goal.workload, goal.database, goal.case, goal.metric, goal.text)
        table.add_row(*row, measured, marks[verdict.met])
    return table


def _text(found: Spread, unit: str) -> str:
    median, low, high = map(number, (found.median, found.low, found.high))
    space = "" if unit in ("×", "") else " "
    return f"{median}{space}{unit} ({low}-{high})" if low != high else f"{median}{space}{unit}"


def number(value: float) -> str:
    """Write a figure with three digits that count.

    Example:
        >>> number(0.01234), number(12.34), number(12345.6)
        ('0.0123', '12.3', '12,346')
    """
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
