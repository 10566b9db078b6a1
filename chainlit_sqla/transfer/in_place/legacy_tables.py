"""The tables of Chainlit's SQLAlchemy layer: their names, their columns and their values."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ARRAY, Boolean, Connection, DateTime, Float, Integer, Numeric, Uuid, inspect
from sqlalchemy import types as sql_types
from sqlalchemy.types import NullType, TypeEngine

from ..._internal import json as _json
from ...database.revision import CHAINLIT_TABLES, REQUIRED_TABLES
from ...dialects import BACKUP_SUFFIX, canonical_names
from ..records import COLUMNS, JSON
from ..sources import SqlAlchemyLayerSource

TABLE_NAMES: Mapping[str, str] = SqlAlchemyLayerSource.TABLE_NAMES
"""The table of each kind of record, in Chainlit's schema and in ours."""
BACKUP_NAMES: Mapping[str, str] = {
    kind: f"{name}{BACKUP_SUFFIX}" for kind, name in TABLE_NAMES.items()
}
"""Chainlit's tables after an adoption."""

# The schema that Chainlit documents, and the columns that Chainlit 2.12 writes besides.
_DOCUMENTED: Mapping[str, str] = {
    "user": "id:UUID identifier:TEXT metadata:JSONB createdAt:TEXT",
    "thread": "id:UUID createdAt:TEXT name:TEXT userId:UUID userIdentifier:TEXT tags:TEXT[] "
    "metadata:JSONB",
    "step": "id:UUID name:TEXT type:TEXT threadId:UUID parentId:UUID streaming:BOOLEAN "
    "waitForAnswer:BOOLEAN isError:BOOLEAN metadata:JSONB tags:TEXT[] input:TEXT output:TEXT "
    "createdAt:TEXT command:TEXT start:TEXT end:TEXT generation:JSONB showInput:TEXT "
    "language:TEXT defaultOpen:BOOLEAN autoCollapse:BOOLEAN modes:JSONB",
    "element": "id:UUID threadId:UUID type:TEXT url:TEXT chainlitKey:TEXT name:TEXT display:TEXT "
    "objectKey:TEXT size:TEXT page:INTEGER language:TEXT forId:UUID mime:TEXT props:JSONB "
    "autoPlay:BOOLEAN playerConfig:JSONB",
    "feedback": "id:UUID forId:UUID threadId:UUID value:INTEGER comment:TEXT",
}
_CONSTRAINTS = {
    ("user", "identifier"): " NOT NULL UNIQUE",
    ("thread", "userId"): " REFERENCES {user} (id) ON DELETE CASCADE",
    ("step", "threadId"): " NOT NULL REFERENCES {thread} (id) ON DELETE CASCADE",
    ("element", "threadId"): " REFERENCES {thread} (id) ON DELETE CASCADE",
    ("feedback", "forId"): " NOT NULL",
    ("feedback", "threadId"): " NOT NULL REFERENCES {thread} (id) ON DELETE CASCADE",
}
_INDEXED = ("threadId", "forId", "userId")


def column_names(
    connection: Connection, schema: str | None, names: Mapping[str, str]
) -> dict[str, list[str]]:
    """The columns of the tables that exist, by kind of record.

    Args:
        connection: To the database.
        schema: The schema of the tables.
        names: `TABLE_NAMES` or `BACKUP_NAMES`.
    """
    inspector = inspect(connection)
    existing = canonical_names(connection, inspector.get_table_names(schema=schema), names.values())
    actual = {name: real for real, name in existing.items()}
    found = {}
    for kind, name in names.items():
        if name in actual:
            columns = inspector.get_columns(actual[name], schema=schema)
            own = canonical_names(connection, [str(c["name"]) for c in columns], COLUMNS[kind])
            found[kind] = list(own.values())
    return found


def mismatches(columns: Mapping[str, list[str]], views: list[str]) -> list[str]:
    """Why tables are not those of Chainlit's layer; empty if they are.

    Args:
        columns: What `column_names` found.
        views: The names of the views in the schema.
    """
    reasons = [f"{name} is a view" for name in TABLE_NAMES.values() if name in views]
    for kind, name in TABLE_NAMES.items():
        if kind not in columns:
            if name in REQUIRED_TABLES and name not in views:
                reasons.append(f"there is no table {name}")
        elif missing := CHAINLIT_TABLES[name].difference(columns[kind]):
            reasons.append(f"{name} has no column {', '.join(sorted(missing))}")
    return reasons


def completing_statements(
    columns: Mapping[str, Mapping[str, TypeEngine[Any]]],
    quoted_names: Mapping[str, str],
    *,
    native: bool,
) -> Iterator[str]:
    """The statements that give Chainlit's tables what Chainlit's newest layer needs.

    Args:
        columns: The columns of the tables that exist, by kind.
        quoted_names: The name of each table as SQL.
        native: Whether the database has types for UUIDs, documents and lists.
    """
    typed_ids = all(isinstance(types.get("id"), Uuid) or not native for types in columns.values())
    for kind, text in _DOCUMENTED.items():
        declared = dict(column.split(":") for column in text.split())
        for name, type_ in declared.items():
            if (type_ == "UUID" and not (native and typed_ids)) or (
                not native and type_ in ("JSONB", "TEXT[]")
            ):
                declared[name] = "TEXT"
        table = quoted_names[kind]
        if kind in columns:
            for name in declared.keys() - columns[kind].keys():
                yield f'ALTER TABLE {table} ADD COLUMN "{name}" {declared[name]}'
            continue
        parts = [
            f'"{name}" {type_}'
            + (" PRIMARY KEY" if name == "id" else "")
            + _CONSTRAINTS.get((kind, name), "").format(**quoted_names)
            for name, type_ in declared.items()
        ]
        yield f"CREATE TABLE {table} ({', '.join(parts)})"
        for name in _INDEXED:
            if name in declared:
                index = f"chainlit_{TABLE_NAMES[kind]}_{name}"
                yield f'CREATE INDEX "{index}" ON {table} ("{name}")'


def legacy_value(kind: str, name: str, value: Any, type_: TypeEngine[Any]) -> Any:
    """A value of ours as a column of Chainlit's tables holds it; None where it cannot.

    Args:
        kind: The kind of record.
        name: The column.
        value: Our value.
        type_: The type of Chainlit's column.

    Example:
        >>> from sqlalchemy import Text
        >>> legacy_value("step", "metadata", {"a": 1}, Text())
        '{"a":1}'
    """
    try:
        return None if value is None else _bound(kind, name, value, type_)
    except (ValueError, TypeError, ArithmeticError):
        return None


def _bound(kind: str, name: str, value: Any, type_: TypeEngine[Any]) -> Any:
    if isinstance(type_, Uuid):
        return uuid.UUID(value)
    if isinstance(type_, sql_types.JSON):
        return value
    if isinstance(type_, ARRAY):
        return [str(item) for item in value] if isinstance(value, list) else None
    if isinstance(type_, DateTime):
        return value if type_.timezone else value.astimezone(UTC).replace(tzinfo=None)
    if isinstance(type_, Boolean):
        return bool(value)
    if isinstance(type_, Integer):
        return int(value)
    if isinstance(type_, Float):
        return float(value)
    if isinstance(type_, Numeric):
        return Decimal(str(value))
    return _as_text(kind, name, value, numbers=isinstance(type_, NullType))


def _as_text(kind: str, name: str, value: Any, *, numbers: bool) -> Any:
    """Text as Chainlit's layer writes it; numbers stay where a column takes any value."""
    if isinstance(value, datetime):  # Chainlit sorts instants as text: all have one width.
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
    if COLUMNS[kind][name] == JSON and not (name == "showInput" and isinstance(value, str)):
        return str(_json.dumps(value))
    if isinstance(value, bool):
        return int(value) if numbers else str(value).lower()
    return value if numbers or isinstance(value, str) else str(value)
