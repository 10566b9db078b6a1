"""What an adoption, or the way back, did, as lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..transfer.in_place import Report
from .output import KIND_NAMES, format_reasons, format_table

_NAMES = {
    **KIND_NAMES,
    "tombstone": "deletions",
    "quarantine": "rows in quarantine",
}


def lines(report: Report) -> Iterator[str]:
    """Give what is to be printed at the end."""
    if report.nothing is not None:
        yield f"{report.nothing}; nothing to do."
        return
    yield report.label + (": a rehearsal, nothing was changed" if report.rehearsed else "")
    yield from _table(report)
    yield from format_reasons("Without a place, in chainlit_sqla_quarantine:", report.aside, _NAMES)
    yield from format_reasons(
        "There, but for a value, which is in chainlit_sqla_quarantine:", report.partly, _NAMES
    )
    yield from _counts("Taken back from chainlit_sqla_unadopted", report.restored)
    yield from _counts("Put back from the quarantine", report.put_back)
    yield from _counts("With texts that are no UTF-8, or odd JSON, as they were", report.exact)
    yield from _counts("Kept in chainlit_sqla_unadopted, in full or in part", report.beside)
    yield from _columns(report)
    if report.carried:
        yield f"Made anew: {', '.join(report.carried)}"
    if report.left:
        yield f"Not made anew: {', '.join(report.left)}"
    yield from report.notes
    for name, statements in report.dropped:
        how = "" if report.back else ", with the ids as text"
        yield f"Dropped: {name}. To make it again{how}:"
        yield from (f"  {sql};" for sql in statements)
    total = report.rows.total()
    rate = f" ({total / report.seconds:,.0f} rows/s)" if report.seconds else ""
    yield f"{total:,} rows and {report.threads:,} threads compared: no difference."
    yield f"{report.seconds:.1f} s{rate}"


def _table(report: Report) -> Iterator[str]:
    last = "kept beside" if report.back else "put aside"
    rows = [("", "before", "after", last)]
    for kind in KIND_NAMES:
        beside = report.rows[kind] - report.kept[kind] if report.back else report.set_aside(kind)
        before = f"{report.rows[kind]:,}"
        after = f"{report.kept[kind] + report.put_back[kind]:,}"
        rows.append((_NAMES[kind], before, after, f"{max(beside, 0):,}"))
    yield from format_table(rows)


def _columns(report: Report) -> Iterator[str]:
    if report.converted:
        yield "Columns with another type:"
        for table, name, before, after in report.converted:
            yield f"  {table}.{name}: {before} to {after}"
    if report.strangers:
        names = ", ".join(f"{table}.{name}" for table, name, _ in report.strangers)
        yield f"Columns that are not ours, kept: {names}"


def _counts(title: str, counts: Mapping[str, int]) -> Iterator[str]:
    if counts:
        named = ", ".join(f"{count:,} {_NAMES.get(kind, kind)}" for kind, count in counts.items())
        yield f"{title}: {named}"
