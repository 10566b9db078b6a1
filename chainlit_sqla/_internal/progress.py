"""`Watch`: the progress callback of long operations."""

from __future__ import annotations

from collections.abc import Callable

Watch = Callable[[str, int, int | None], object]
"""Called with a description, the number of finished items and their total, if known."""


def quiet(_what: str, _done: int, _total: int | None) -> None:
    """Ignore progress."""
