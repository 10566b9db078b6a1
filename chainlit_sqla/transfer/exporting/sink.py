"""Where an export goes, as those that write it see it."""

from __future__ import annotations

from collections.abc import Callable

Write = Callable[[bytes], object]
"""Takes bytes."""
Report = Callable[[int], object]
"""Is told how many rows, or steps, more are written."""
