"""What reads select: columns in the form that is shown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Table

from ..dialects import Dialect
from ..dialects.column_types import JsonDocument, UtcDateTime


def shown(dialect: Dialect, table: Table, names: Iterable[str]) -> list[ColumnElement[Any]]:
    """Columns as the database gives them most cheaply to what shows them.

    Args:
        dialect: The database's dialect.
        table: The table.
        names: The names of the columns, in the order of the rows.
    """
    return [_shown(dialect, table.c[name]) for name in names]


def _shown(dialect: Dialect, column: ColumnElement[Any]) -> ColumnElement[Any]:
    if isinstance(column.type, UtcDateTime):
        return dialect.instant_out(column)
    if isinstance(column.type, JsonDocument):
        return dialect.json_out(column)
    return column
