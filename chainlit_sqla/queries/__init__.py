"""The read path: statements that are compiled once, and rows instead of entities.

The number of statements never depends on the number of steps or threads.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Table

from ..dialects import Dialect
from ..dialects.column_types import JsonDocument, UtcDateTime


def select_columns(
    dialect: Dialect, table: Table, names: Iterable[str]
) -> list[ColumnElement[Any]]:
    """Return columns in the form that is cheapest to serialize."""
    return [_select(dialect, table.c[name]) for name in names]


def _select(dialect: Dialect, column: ColumnElement[Any]) -> ColumnElement[Any]:
    if isinstance(column.type, UtcDateTime):
        return dialect.select_timestamp(column)
    if isinstance(column.type, JsonDocument):
        return dialect.select_json(column)
    return column
