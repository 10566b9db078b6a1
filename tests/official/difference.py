"""What a difference between a layer and the contract is."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

SL, PG, CD = LAYERS = ("sa-sqlite", "sa-postgresql", "cd")
"""``SQLAlchemyDataLayer`` on SQLite and on PostgreSQL; ``ChainlitDataLayer``."""
SA = (SL, PG)
ALL = LAYERS


@dataclass(frozen=True)
class Difference:
    """Tests that fail for one reason.

    Args:
        why: The reason.
        layers: Where it holds.
        tests: Names of tests, one a line, with ``[…]`` for some of their parameters, in
            which ``*`` stands for any text.
        sure: False where it depends on the clock, or on an order that a database may choose.
            What a test does in several tasks is never sure, as `in_tasks` says.
        run: False where the test would hang.
    """

    why: str
    layers: tuple[str, ...]
    tests: str
    sure: bool = True
    run: bool = True

    def covers(self, name: str, layer: str, parameters: str) -> bool:
        """Whether it is the reason for this test."""
        return layer in self.layers and any(
            re.fullmatch(re.escape(line.strip()).replace(r"\*", ".*"), given, re.DOTALL)
            for line in self.tests.splitlines()
            for given in (name, f"{name}[{parameters}]")
        )


def in_tasks(test: Callable[..., Any]) -> bool:
    """Whether a test has several tasks under way at once: which is first is up to chance."""
    return not {"gather", "create_task"}.isdisjoint(test.__code__.co_names)
