"""The tables of Chainlit's SQLAlchemy layer: their names, their columns and their values."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ARRAY, Boolean, Connection, DateTime, Integer, String, Uuid, inspect
from sqlalchemy.types import NullType, TypeEngine

from ..._internal import json as _json
from ...dialects import BACKUP_SUFFIX
from ..records import COLUMNS, JSON, Record
from ..sources import SqlAlchemyLayerSource

TABLE_NAMES: Mapping[str, str] = SqlAlchemyLayerSource.TABLE_NAMES
"""The table of each kind of record, in Chainlit's schema and in ours."""
BACKUP_NAMES: Mapping[str, str] = {
    kind: f"{name}{BACKUP_SUFFIX}" for kind, name in TABLE_NAMES.items()
}
"""Chainlit's tables after an adoption."""

Columns = Mapping[str, Mapping[str, TypeEngine[Any]]]
"""The columns of tables by kind of record, with the types that bind values for them."""

# The schema that Chainlit documents, and the columns that Chainlit 2.12 writes besides.
_DOCUMENTED: Mapping[str, str] = {
    "user": "id UUID PRIMARY KEY, identifier TEXT NOT NULL UNIQUE, metadata JSONB, createdAt TEXT",
    "thread": "id UUID PRIMARY KEY, createdAt TEXT, name TEXT, "
    "userId UUID REFERENCES {user} (id) ON DELETE CASCADE, userIdentifier TEXT, tags TEXT[], "
    "metadata JSONB",
    "step": "id UUID PRIMARY KEY, name TEXT, type TEXT, "
    "threadId UUID NOT NULL REFERENCES {thread} (id) ON DELETE CASCADE, parentId UUID, "
    "streaming BOOLEAN, waitForAnswer BOOLEAN, isError BOOLEAN, metadata JSONB, tags TEXT[], "
    "input TEXT, output TEXT, createdAt TEXT, command TEXT, start TEXT, end TEXT, "
    "generation JSONB, showInput TEXT, language TEXT, defaultOpen BOOLEAN, "
    "autoCollapse BOOLEAN, modes JSONB",
    "element": "id UUID PRIMARY KEY, "
    "threadId UUID REFERENCES {thread} (id) ON DELETE CASCADE, type TEXT, url TEXT, "
    "chainlitKey TEXT, name TEXT, display TEXT, objectKey TEXT, size TEXT, page INTEGER, "
    "language TEXT, forId UUID, mime TEXT, props JSONB, autoPlay BOOLEAN, playerConfig JSONB",
    "feedback": "id UUID PRIMARY KEY, forId UUID NOT NULL, "
    "threadId UUID NOT NULL REFERENCES {thread} (id) ON DELETE CASCADE, value INTEGER, "
    "comment TEXT",
}


def legacy_columns(
    connection: Connection,
    schema: str | None,
    names: Mapping[str, str],
    native: bool,
) -> Columns:
    """The columns of the tables that exist.

    Where a database has no native types for UUIDs, documents and lists, columns have no types:
    SQLite takes any value, and Chainlit's layer writes text and numbers.
    """
    inspector = inspect(connection)
    existing = inspector.get_table_names(schema=schema)
    return {
        kind: {
            column["name"]: column["type"] if native else NullType()
            for column in inspector.get_columns(name, schema=schema)
            if not column.get("computed")
        }
        for kind, name in names.items()
        if name in existing
    }


def completing_statements(
    columns: Columns, quoted_names: Mapping[str, str], *, native: bool
) -> Iterator[str]:
    """The statements that give Chainlit's tables what Chainlit's newest layer needs."""
    typed_ids = native and all(isinstance(types["id"], Uuid) for types in columns.values())
    for kind, documented in _DOCUMENTED.items():
        text = documented.format(**quoted_names)
        if not typed_ids:
            text = text.replace(" UUID", " TEXT")
        if not native:
            text = text.replace(" JSONB", " TEXT").replace(" TEXT[]", " TEXT")
        declared = dict(column.split(" ", 1) for column in text.split(", "))
        if kind not in columns:
            parts = (f'"{name}" {declaration}' for name, declaration in declared.items())
            yield f"CREATE TABLE {quoted_names[kind]} ({', '.join(parts)})"
            continue
        for name in declared.keys() - columns[kind].keys():
            type_ = declared[name].split()[0]
            yield f'ALTER TABLE {quoted_names[kind]} ADD COLUMN "{name}" {type_}'


def legacy_row(record: Record, types: Mapping[str, TypeEngine[Any]]) -> dict[str, Any]:
    """A record as a row of Chainlit's table; None stands for what it cannot hold."""
    kind, values = record.kind, dict(record.values)
    if kind == "element" and isinstance(values["extra"], dict) and not values["url"]:
        values["url"] = values["extra"].get("url")  # Of a file that Chainlit's layer wrote.
    if kind in ("step", "element"):
        values["name"] = values["name"] or ""
    return {
        name: legacy_value(kind, name, values[name], type_)
        for name, type_ in types.items()
        if name in COLUMNS[kind]
    }


def legacy_value(kind: str, name: str, value: Any, type_: TypeEngine[Any]) -> Any:
    """A value of ours as a column of Chainlit's tables holds it; None where it cannot."""
    if value is None:
        return None
    try:
        if isinstance(type_, Uuid):
            return uuid.UUID(value)
        if isinstance(type_, ARRAY):
            return [str(item) for item in value] if isinstance(value, list) else None
        if isinstance(type_, DateTime):
            return value if type_.timezone else value.astimezone(UTC).replace(tzinfo=None)
        if isinstance(type_, Boolean):
            return bool(value)
        if isinstance(type_, Integer):
            return int(value)
    except (ValueError, TypeError):
        return None
    if not isinstance(type_, (String, NullType)):  # Documents, and what an app has changed.
        return value
    if isinstance(value, datetime):  # Chainlit sorts instants as text: all have one width.
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
    if COLUMNS[kind][name] == JSON and not (name == "showInput" and isinstance(value, str)):
        return str(_json.dumps(value))
    if isinstance(type_, NullType):
        return int(value) if isinstance(value, bool) else value
    return str(value).lower() if isinstance(value, bool) else str(value)
