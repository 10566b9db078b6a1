"""Plots of a run: a figure for each workload and database, as SVG and PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .contenders import ASYNCPG, ASYNCPG_INDEXED, LIMIT, OURS, SQLALCHEMY, SQLALCHEMY_INDEXED
from .record import Record, find, spread
from .table import number

# Distinguishable also by those who see no red or green (the palette of Okabe and Ito).
COLORS = {
    OURS: "#D55E00",
    ASYNCPG: "#0072B2",
    ASYNCPG_INDEXED: "#56B4E9",
    SQLALCHEMY: "#009E73",
    SQLALCHEMY_INDEXED: "#66C2A5",
    LIMIT: "#999999",
}
_PANEL = (4.2, 3.2)
_COLUMNS = 3
_LOGARITHMIC = 20
"""How many times longer the longest bar is than the shortest one, at least."""


def draw(records: Sequence[Record], folder: Path) -> list[Path]:
    """Draw a panel for each case and metric with a unit: a bar for each contender, quartiles.

    Args:
        records: Those of a run.
        folder: Made if it is missing.

    Returns:
        The files.

    Raises:
        SystemExit: Matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
    except ModuleNotFoundError:
        raise SystemExit("Plots need matplotlib; run: pip install 'chainlit-sqla[bench]'") from None
    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "chainlit-sqla"  # The same figures give the same file.
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for workload, database in dict.fromkeys((r.workload, r.database) for r in records):
        chosen = [r for r in records if (r.workload, r.database) == (workload, database)]
        files += _figure(chosen, folder / f"{workload}-{database}")
    return files


def _figure(records: Sequence[Record], path: Path) -> list[Path]:
    from matplotlib import pyplot

    places = [p for p in dict.fromkeys(record.place for record in records) if _shows(records, p)]
    rows = -(-len(places) // _COLUMNS)
    if not places:
        return []
    columns = min(len(places), _COLUMNS)
    figure, axes = pyplot.subplots(
        rows, columns, figsize=(_PANEL[0] * columns, _PANEL[1] * rows), squeeze=False
    )
    for axis in axes.flat[len(places) :]:
        axis.set_axis_off()
    for place, axis in zip(places, axes.flat, strict=False):
        _panel(axis, records, place)
    figure.tight_layout()
    files = [path.with_suffix(suffix) for suffix in (".svg", ".png")]
    figure.savefig(files[0], metadata={"Date": None})
    figure.savefig(files[1], dpi=110)
    pyplot.close(figure)
    return files


def _shows(records: Sequence[Record], place: tuple[str, str, str, str]) -> bool:
    """Leave out counts, for which the table suffices, and panels in which every bar is nothing."""
    return any(any(r.values) and r.unit for r in records if r.place == place)


def _panel(axis: Any, records: Sequence[Record], place: tuple[str, str, str, str]) -> None:
    found = [record for name in COLORS if (record := find(records, name, place))]
    spreads = [spread(record.values) for record in found]
    medians = [each.median for each in spreads]
    errors = [
        [each.median - each.low for each in spreads],
        [each.high - each.median for each in spreads],
    ]
    names = [record.contender.replace("chainlit ", "") for record in found]
    colors = [COLORS[record.contender] for record in found]
    axis.barh(names, medians, xerr=errors, color=colors, ecolor="#333333", capsize=2)
    for row, each in enumerate(spreads):
        axis.annotate(f" {number(each.median)}", (each.high, row), va="center", fontsize=8)
    if min(medians) > 0 and max(medians) > _LOGARITHMIC * min(medians):
        axis.set_xscale("log")
    axis.margins(x=0.2)
    axis.invert_yaxis()
    better = "more is better" if found[0].more else "less is better"
    unit = f"{found[0].unit}, " if found[0].unit else ""
    axis.set_title(f"{place[2]}: {place[3]}", fontsize=10)
    axis.set_xlabel(f"{unit}{better}", fontsize=8)
    axis.tick_params(labelsize=8)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
