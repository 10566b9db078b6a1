"""Turns a raw row of another layer into a record of ours; pure functions without I/O.

A raw row has the values that a driver returns for columns of any type. The rules, besides those
of `chainlit_sqla.integration.from_chainlit`:

- JSON may come as text, also as the literal ``null``; text that is not JSON becomes a string.
  JSON that only some readers accept is read as far as possible
  (`chainlit_sqla._internal.json.loads_lenient`), and the row is also quarantined.
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
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from ..._internal import json as _json
from ..._internal.timestamps import parse_instant
from ...integration.from_chainlit import fit
from ..records import COLUMNS, FLAG, INSTANT, INTEGER, JSON, Record, default, merge_extra

_NULLS = {"", "null", "none"}
_TWO_ZONES = re.compile(r"([+-]\d\d:?\d\d)\s*(?:Z|UTC)$", re.IGNORECASE)
_NAMED_ZONE = re.compile(r"\s*(?:UTC|GMT)$", re.IGNORECASE)
_NUMBER = re.compile(r"-?\d{9,17}(?:\.\d+)?$")
_ARRAY_ITEM = re.compile(r'"((?:[^"\\]|\\.)*)"|([^",{}]+)')


@dataclass(frozen=True, slots=True)
class NormalizedRow:
    """What became of a raw row.

    Args:
        record: The record.
        unplaced: Values that the record has no column for.
        lenient: Columns whose JSON could only be read in part.
    """

    record: Record
    unplaced: Mapping[str, Any]
    lenient: Sequence[str]


def normalize(
    kind: str,
    raw: Mapping[str, Any],
    *,
    overrides: Mapping[str, Any],
    fallbacks: Mapping[str, Any],
    ignored: Collection[str] = (),
) -> NormalizedRow:
    """Make a record of a raw row.

    Args:
        kind: The kind of the record.
        raw: The values by column name.
        overrides: Values that replace those of the row.
        fallbacks: Values of columns that the row has no readable value for.
        ignored: Names of columns that are dropped.

    Raises:
        ValueError: A document is nested too deeply.
    """
    columns = COLUMNS[kind]
    values: dict[str, Any] = {}
    unplaced: dict[str, Any] = {}
    lenient = []
    for name, raw_value in raw.items():
        if name in overrides or raw_value is None:
            continue
        value_type = columns.get(name)
        if value_type is None:
            if name not in ignored:
                unplaced[name] = plain(raw_value)
            continue
        if value_type == JSON and is_lenient(raw_value):
            lenient.append(name)
        value = value_of(value_type, raw_value, name)
        if value is not None:
            values[name] = value
        elif not _is_empty(value_type, raw_value):
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
    return NormalizedRow(Record(kind, complete), unplaced, lenient)


def value_of(value_type: str, value: Any, name: str = "") -> Any:
    """Convert a value to what a column of ours holds.

    Args:
        value_type: What the values of the column are, such as `JSON`.
        value: A value of a driver.
        name: The name of the column.

    Returns:
        None where the column cannot hold it.
    """
    if value_type == INSTANT:
        return instant(value)
    if value_type == JSON:
        if name == "tags":
            return tags(value)
        return show_input(value) if name == "showInput" else document(value)
    if isinstance(value, Decimal):
        value = int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, (uuid.UUID, datetime, bytes)):
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


def identifier(value: Any) -> str | None:
    """An id as text; None for an empty one.

    Args:
        value: Text, a UUID or, on SQLite, a number.
    """
    if value is None or value == "":
        return None
    return _json.clean_text(str(value))


def instant(value: Any) -> datetime | None:
    """A timestamp in any form seen in the wild, besides those of `parse_instant`.

    Args:
        value: Text, a number of seconds or milliseconds, or a datetime.

    Example:
        >>> instant("2024-05-01T10:00:00+00:00Z")
        datetime.datetime(2024, 5, 1, 10, 0, tzinfo=datetime.timezone.utc)
    """
    if isinstance(value, Decimal):
        value = float(value)
    if isinstance(value, str):
        text = _TWO_ZONES.sub(r"\1", value.strip())
        value = float(text) if _NUMBER.match(text) else _NAMED_ZONE.sub("Z", text)
    moment = parse_instant(value)
    return None if moment is None else moment.astimezone(UTC)


def document(value: Any) -> Any:
    """A JSON document.

    Args:
        value: A decoded document or its text.

    Example:
        >>> document('{"a": 1}'), document("null"), document("plain")
        ({'a': 1}, None, 'plain')
    """
    if isinstance(value, (bytes, bytearray)):
        value = bytes(value).decode("utf-8", "replace")
    if isinstance(value, str):
        try:
            value = _json.loads(value)
        except ValueError:
            if not value.strip():
                return None
            value = _json.loads_lenient(value)
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
    """Tags as a list.

    Args:
        value: A list, or JSON or a PostgreSQL array as text.

    Example:
        >>> tags('{a,"b, c"}'), tags('["a"]'), tags("a")
        (['a', 'b, c'], ['a'], ['a'])
    """
    parsed = document(value)
    if isinstance(parsed, str):
        text = parsed.strip()
        if text.startswith("{") and text.endswith("}"):
            return [_unquoted(*item.groups()) for item in _ARRAY_ITEM.finditer(text[1:-1])]
        return [parsed] if text else None
    return parsed


def show_input(value: Any) -> Any:
    """True, False, the name of a language, or None.

    Args:
        value: A flag, or its text in any form.

    Example:
        >>> show_input("True"), show_input("json"), show_input("None")
        (True, 'json', None)
    """
    if isinstance(value, str):
        text = _json.clean_text(value).strip().strip('"')
        flags = {"true": True, "false": False, "1": True, "0": False} | dict.fromkeys(_NULLS)
        return flags.get(text.lower(), text)
    return bool(value) if isinstance(value, int) else document(value)


def feedback_value(value: Any) -> int:
    """0 or 1.

    Args:
        value: A number or its text; Chainlit's asyncpg layer stores 0.0 and 1.0.

    Raises:
        ValueError: It is neither.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if number not in (0, 1):
        raise ValueError("its value is neither 0 nor 1")
    return int(number)


def plain(value: Any) -> Any:
    """Convert a value of a driver to what JSON can hold."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        number = float(value)
        return str(value) if math.isinf(number) else number
    return str(value) if isinstance(value, uuid.UUID) else _json.loads(_json.dumps(value))


def _is_empty(value_type: str, value: Any) -> bool:
    """Whether losing a value loses nothing: ``""`` where there is no text, JSON's ``null``."""
    if not isinstance(value, str):
        return False
    return value.strip().lower() in (_NULLS if value_type in (JSON, FLAG) else {""})


def _unquoted(quoted: str | None, bare: str | None) -> str | None:
    if quoted is not None:
        return re.sub(r"\\(.)", r"\1", quoted)
    assert bare is not None
    return None if bare == "NULL" else bare
