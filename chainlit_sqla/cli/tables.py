"""Rows counted by kind, as lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

NAMES = {
    "user": "users",
    "thread": "threads",
    "step": "steps",
    "element": "elements",
    "feedback": "feedbacks",
}
"""What people call the kinds of records."""


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of a table: the first column to the left, the others to the right.

    Args:
        rows: Its cells, the header first.

    Example:
        >>> list(aligned([("", "rows"), ("users", "3")]))
        ['       rows', 'users     3']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        yield "  ".join([first.ljust(widths[0]), *cells]).rstrip()


def reasons(
    title: str, counts: Mapping[tuple[str, str], int], names: Mapping[str, str]
) -> Iterator[str]:
    """Lines that say how many rows there are of a kind and for what reason; none without rows.

    Args:
        title: Stands above them.
        counts: By kind and reason.
        names: Of the kinds.
    """
    if counts:
        yield title
        for (kind, reason), count in sorted(counts.items()):
            yield f"  {names[kind]}: {count:,} ({reason})"
