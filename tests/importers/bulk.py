"""A large database of Chainlit's SQLAlchemy layer."""

from __future__ import annotations

from pathlib import Path

from benchmarks.moving import fill_sqlite


def fill(path: Path, steps: int, *, each: int) -> None:
    """Make a file with that many steps, so many of them in each thread."""
    fill_sqlite(f"sqlite:///{path}", steps, each)
