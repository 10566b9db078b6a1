"""`Watch`: who is told how far something long is."""

from __future__ import annotations

from collections.abc import Callable

Watch = Callable[[str, int, int | None], object]
"""Called with what is done, how much of it, and of how much where that is known."""


def quiet(_what: str, _done: int, _total: int | None) -> None:
    """Show nothing."""
