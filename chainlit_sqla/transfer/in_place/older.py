"""From a record of ours to a row of Chainlit's tables: pure, no I/O.

A value that a column cannot hold is left out of the row; what is then read of the table
differs from the record, and that is kept beside it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..._internal import json as _json
from ...dialects import Declared, Mover
from ..records import COLUMNS, JSON, Record
from .original import Form

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NEVER_EMPTY: Mapping[tuple[str, str], Any] = {("element", "props"): {}}
"""What Chainlit's layer parses, and so cannot do without."""


def row(record: Record, form: Form, mover: Mover) -> dict[str, Any]:
    """Make a row.

    Args:
        record: Of ours.
        form: The table's.
        mover: Knows how values are given to the driver.
    """
    values = dict(record.values)
    extra = values.get("extra")
    if isinstance(extra, dict):
        # What had no place in ours came from such a column, or goes there as well.
        types = {column.name: column.type.lower() for column in form.columns}
        values |= {
            name: value
            for name, value in extra.items()
            if values.get(name) is None and fits(types.get(name, ""), value)
        }
    return {
        column.name: _bound(record.kind, column, values.get(column.name), mover)
        for column in form.columns
    }


def _bound(kind: str, column: Declared, value: Any, mover: Mover) -> Any:
    if value is None:
        value = _NEVER_EMPTY.get((kind, column.name))
    if value is None:
        return None
    name, what = column.name, COLUMNS[kind].get(column.name, "")
    type_ = column.type.lower()
    if name == "showInput":
        return str(value).lower() if isinstance(value, bool) else _text(value)
    if what == JSON and isinstance(value, str) and "json" not in type_ and not _is_json(value):
        return value  # It was read as it is, for it is no JSON.
    if type_ == "uuid" and mover.has_uuids and not is_uuid(value):
        return None
    try:
        return mover.bind(column.type, what, value)
    except (ValueError, TypeError, ArithmeticError):
        return None


def _is_json(text: str) -> bool:
    try:
        _json.loads(text)
    except ValueError:
        return False
    return True


def fits(type_: str, value: Any) -> bool:
    """Whether a column of any database takes a JSON value as it is."""
    if isinstance(value, bool):
        return type_.startswith("bool")
    if isinstance(value, int):
        return type_.startswith(("int", "big")) and abs(value) < 2**31
    if isinstance(value, str):
        endless = type_.startswith("text") or type_ in ("varchar", "character varying")
        return endless and not type_.endswith("[]")
    return isinstance(value, (dict, list)) and type_.startswith("json")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else _json.dumps(value)


def is_uuid(value: Any) -> bool:
    """Whether a column of UUIDs gives a text back as it is."""
    return isinstance(value, str) and _UUID.fullmatch(value) is not None


SAME_IDS: tuple[Mapping[str, tuple[str, ...]], ...] = (
    {"user": ("id",), "thread": ("userId",)},
    {
        "thread": ("id",),
        "step": ("threadId",),
        "element": ("threadId",),
        "feedback": ("threadId",),
    },
    {"step": ("id",), "feedback": ("forId",)},
    {"step": ("parentId",)},
    {"element": ("forId",)},
    {"element": ("id",)},
    {"feedback": ("id",)},
)
"""Columns that Chainlit's layer compares with each other: of one type."""
EMPTY_IDS = {("element", "forId"), ("step", "parentId")}
"""Columns that need not have a value: an empty text is none."""
