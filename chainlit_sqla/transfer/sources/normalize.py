"""Turns a raw row of another layer into a record of ours; pure functions without I/O.

A raw row has the values that a driver returns for columns of any type. The rules, besides those
of `chainlit_sqla.integration.from_chainlit`:

- JSON may come as text, also as the literal ``null``; text that is not JSON becomes a string.
- Tags may come as an array, as JSON, or as PostgreSQL writes an array (``{a,"b c"}``).
- ``showInput`` may be ``true`` or ``false`` in any form, or the name of a language.
- A timestamp that cannot be read is kept in ``extra`` and the column stays empty.
- The URL of a stored file is kept in ``extra``: it was signed and has expired.
- A column that we do not have goes into ``extra``, where the kind has it, else into the quarantine.
"""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Collection, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from ..._internal import json as _json
from ..._internal.timestamps import parse_instant
from ...integration.from_chainlit import fit
from ..records import COLUMNS, FLAG, INSTANT, INTEGER, JSON, Record, default, merge_extra

_NULLS = {"", "null", "none"}
_ARRAY_ITEM = re.compile(r'"((?:[^"\\]|\\.)*)"|([^",{}]+)')


def normalize(
    kind: str,
    raw: Mapping[str, Any],
    *,
    overrides: Mapping[str, Any],
    fallbacks: Mapping[str, Any],
    ignored: Collection[str] = (),
) -> tuple[Record, dict[str, Any]]:
    """Make a record of a raw row, and return with it the values that it has no column for.

    Overrides replace values of the row, fallbacks those that it lacks or that cannot be read. A
    document that is nested too deeply raises a `ValueError`.
    """
    columns = COLUMNS[kind]
    values: dict[str, Any] = {}
    unplaced: dict[str, Any] = {}
    for name, raw_value in raw.items():
        if name in overrides or name in ignored or raw_value is None:
            continue
        value = _value_of(columns[name], raw_value, name) if name in columns else None
        if value is not None:
            values[name] = value
        elif name not in columns or str(raw_value).strip().lower() not in _NULLS:
            unplaced[name] = plain(raw_value)
    values = {**fallbacks, **values, **overrides}
    if kind == "element" and values.get("objectKey") and values.get("url") is not None:
        unplaced["url"] = values.pop("url")
    if "extra" in columns and unplaced:
        values["extra"] = merge_extra(values.get("extra"), unplaced)
        unplaced = {}
    complete = {
        name: default(kind, name) if values.get(name) is None else values[name] for name in columns
    }
    return Record(kind, complete), unplaced


def identifier(value: Any) -> str | None:
    """An id as text; None for an empty one."""
    if value is None or value == "":
        return None
    return _json.clean_text(str(value))


def document(value: Any) -> Any:
    """A JSON document, from its text or decoded; text that is not JSON is a string."""
    if isinstance(value, (bytes, bytearray)):
        value = bytes(value).decode("utf-8", "replace")
    if isinstance(value, str):
        value = _json.loads_stored(value) if value.strip() else None
    return _json.loads(_json.dumps(value))


def is_lenient(value: Any) -> bool:
    """Whether `document` reads a text only in part, such as ``NaN`` in an object."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("{", "["):
        return False
    try:
        _json.loads(value)
    except ValueError:
        return not isinstance(_json.loads_lenient(value), str)
    return False


def tags(value: Any) -> Any:
    """Tags as a list, from a list, its JSON, a PostgreSQL array as text, or a single tag."""
    parsed = document(value)
    if not isinstance(parsed, str):
        return parsed
    text = parsed.strip()
    if text.startswith("{") and text.endswith("}"):
        items = _ARRAY_ITEM.findall(text[1:-1])
        return [re.sub(r"\\(.)", r"\1", quoted) or bare for quoted, bare in items]
    return [parsed] if text else None


def show_input(value: Any) -> Any:
    """True, False, the name of a language, or None."""
    if isinstance(value, str):
        text = _json.clean_text(value).strip().strip('"')
        flags = {"true": True, "false": False, "1": True, "0": False} | dict.fromkeys(_NULLS)
        return flags.get(text.lower(), text)
    return bool(value) if isinstance(value, int) else document(value)


def feedback_value(value: Any) -> int:
    """0 or 1; Chainlit's asyncpg layer stores 0.0 and 1.0."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if number not in (0, 1):
        raise ValueError("its value is neither 0 nor 1")
    return int(number)


def plain(value: Any) -> Any:
    """Convert a value of a driver to what JSON can hold."""
    return _json.loads(_json.dumps(value))


def _value_of(value_type: str, value: Any, name: str) -> Any:
    """The value as a column of ours holds it; None where it cannot."""
    if value_type == INSTANT:
        return parse_instant(value)
    if value_type == JSON:
        return {"tags": tags, "showInput": show_input}.get(name, document)(value)
    if isinstance(value, (uuid.UUID, datetime, bytes, Decimal)):
        value = plain(value)
    if value_type == INTEGER and isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if value_type == FLAG and isinstance(value, str):
        text = value.strip().lower()
        if text in _NULLS | {"f", "n"}:
            return None if text in _NULLS else False
    return fit(value_type, value)
