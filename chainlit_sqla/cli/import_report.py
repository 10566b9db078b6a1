"""What an import did, as lines for people."""

from __future__ import annotations

from collections.abc import Iterator

from ..transfer.importing import Comparison, Result
from ..transfer.importing.comparison import SHOWN
from .output import KIND_NAMES, format_reasons, format_table

_UNSHOWN = ("tombstone", "line", "quarantined")
"""What is not compared."""
_NAMES = {
    **KIND_NAMES,
    "tombstone": "deleted",
    "line": "bad lines",
    "quarantined": "put aside before",
}


def lines(result: Result, *, update: bool) -> Iterator[str]:
    """Give what is to be printed at the end.

    Args:
        result: What was done.
        update: Whether differing rows were replaced.
    """
    yield f"From {result.source}"
    yield f"to {result.target}" + (", gone on after an interruption" if result.resumed else "")
    yield from _table(result)
    if result.rows:
        rate = result.rows / result.seconds if result.seconds else 0
        took = f"{result.seconds:.1f} s ({rate:,.0f} rows/s, the comparison included)"
        yield f"{result.rows:,} rows in {took}"
    if result.known_users:
        yield f"Users who are there already, by their identifier: {result.known_users:,}"
    if result.deleted:
        yield f"Not brought back, since they were deleted in the target: {result.deleted:,}"
    yield from format_reasons("Put aside (table chainlit_sqla_quarantine):", result.aside, _NAMES)
    yield from format_reasons("There, but for a value that was put aside:", result.partly, _NAMES)
    yield from result.notes
    if result.comparison is not None:
        yield from _differences(result.comparison, update=update, resumed=result.resumed)


def _table(result: Result) -> Iterator[str]:
    compared = result.comparison
    aside = dict.fromkeys(_NAMES, 0)
    for (kind, _), count in result.aside.items():
        aside[kind] += count
    given = result.read or (compared.given if compared else {})
    header = ("", "in source", "in target", "put aside", "different")
    rows = [header]
    for kind in _NAMES:
        if not given.get(kind):
            continue
        there = compared.there(kind) if compared else None
        row = (
            _NAMES[kind],
            f"{given[kind]:,}",
            "" if there is None or kind in _UNSHOWN else f"{there:,}",
            f"{aside[kind]:,}",
            f"{compared.by_kind[kind]:,}" if compared else "",
        )
        rows.append(row)
    if len(rows) == 1:
        yield "There is nothing in the source."
        return
    yield from format_table(rows)


def _differences(found: Comparison, *, update: bool, resumed: bool) -> Iterator[str]:
    if found.equal and not found.counts["more"]:
        yield f"Compared {_threads(found)}: no difference."
        return
    words = {
        "missing": "missing in the target",
        "different": "different in the target",
        "more": "only in the target",
        "unclear": "unclear, for the source did not give their thread twice alike",
    }
    counts = [
        f"{found.counts[what]:,} {text}" for what, text in words.items() if found.counts[what]
    ]
    yield f"Compared {_threads(found)}: {', '.join(counts)}."
    for difference in found.differences:
        yield f"  {difference}"
    hidden = sum(found.counts[what] for what in words) - len(found.differences)
    if hidden > 0 and len(found.differences) >= SHOWN:
        yield f"  and {hidden:,} more"
    if found.counts["missing"] and resumed:
        yield (
            "The source has gone on since the interruption: run the same command again for what "
            "is missing."
        )
    if found.counts["unclear"]:
        yield "The source may have changed meanwhile: run the same command again."
    if found.counts["different"] and not update:
        yield "To take the values of the source, run the same command with --update."


def _threads(found: Comparison) -> str:
    return f"{found.threads:,} thread{'' if found.threads == 1 else 's'}"
