"""From a raw row of another layer to a record of ours: pure, no I/O.

A row is what a driver gives for columns of any type. The rules, besides those of
`chainlit_sqla.integration.deserialize`:

- JSON may come as text, also where it is the literal ``null``; what is no JSON is a string;
  what only some readers take is read as far as it can be (`chainlit_sqla._internal.odd_json`).
- Tags may come as an array, as JSON, or as PostgreSQL writes an array (``{a,"b c"}``).
- ``showInput`` may be ``true`` or ``false`` in any form, or the name of a language.
- An instant that cannot be read is kept in ``extra`` and the column stays empty.
- The link of a stored file is kept in ``extra`` (`without_link`).
- A column that we do not have goes into ``extra``, where there is one; else aside.
"""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from ...._internal import json as _json
from ...._internal import odd_json as _odd_json
from ...._internal.timestamps import parse_instant
from ....integration.deserialize import fit
from ...records import COLUMNS, FLAG, INSTANT, INTEGER, JSON, Record, default

_HAS_EXTRA = {"step", "element"}
_NULLS = {"", "null", "none"}
_TWO_ZONES = re.compile(r"([+-]\d\d:?\d\d)\s*(?:Z|UTC)$", re.IGNORECASE)
_NAMED_ZONE = re.compile(r"\s*(?:UTC|GMT)$", re.IGNORECASE)
_NUMBER = re.compile(r"-?\d{9,17}(?:\.\d+)?$")
_ARRAY_ITEM = re.compile(r'"((?:[^"\\]|\\.)*)"|([^",{}]+)')


def record(
    kind: str,
    raw: Mapping[str, Any],
    *,
    known: Mapping[str, Any],
    else_: Mapping[str, Any],
    aside: Collection[str] = (),
) -> tuple[Record, dict[str, Any]]:
    """Read a row.

    Args:
        kind: What it is.
        raw: The values by the names of our columns; other names are strangers.
        known: Values of our columns that are known better than by the row.
        else_: Values of our columns where the row has none that can be read.
        aside: Names of strangers that need no place.

    Returns:
        The record, and what found no place in it.

    Raises:
        ValueError: A document is nested too deeply.
    """
    columns = COLUMNS[kind]
    values: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for name, value in raw.items():
        if name in known or value is None:
            continue
        if name not in columns:
            if name not in aside:
                rest[name] = plain(value)
            continue
        fitting = value_of(columns[name], value, name)
        if fitting is not None:
            values[name] = fitting
        elif not _says_nothing(columns[name], value):
            rest[name] = plain(value)
    values = {**else_, **values, **known}
    if kind in _HAS_EXTRA and rest:
        known_extra = values.get("extra")
        if known_extra is not None and not isinstance(known_extra, dict):
            known_extra = {"extra": known_extra}  # Somebody else's column of this name.
        values["extra"] = {**(known_extra or {}), **rest}
        rest = {}
    complete = {
        name: default(kind, name) if values.get(name) is None else values[name] for name in columns
    }
    return Record(kind, complete), rest


def without_link(record: Record) -> Record:
    """The link of a stored file, signed for a time, moves into ``extra``.

    There it is no loss, and is shown only where no fresh one can be made.

    Args:
        record: An element; others stay as they are.
    """
    values = record.values
    if record.kind != "element" or not values["objectKey"] or values["url"] is None:
        return record
    extra = {**(values["extra"] or {}), "url": values["url"]}
    return replace(record, values={**values, "url": None, "extra": extra})


def value_of(what: str, value: Any, name: str = "") -> Any:
    """A value as a column of ours holds it, None where it cannot.

    Args:
        what: The kind of the column.
        value: As a driver gives it.
        name: The name of the column.
    """
    if what == INSTANT:
        return instant(value)
    if what == JSON:
        if name == "tags":
            return tags(value)
        return show_input(value) if name == "showInput" else document(value)
    if isinstance(value, Decimal):
        value = int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, (uuid.UUID, datetime, bytes)):
        value = plain(value)
    if what == INTEGER and isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if what == FLAG and isinstance(value, str) and value.strip().lower() in _NULLS | {"f", "n"}:
        return None if value.strip().lower() in _NULLS else False
    return fit(what, value)


def identifier(value: Any) -> str | None:
    """An id as text; None where there is none.

    Args:
        value: As a driver gives it: text, UUID or, by SQLite's affinity, a number.
    """
    if value is None or value == "":
        return None
    return _json.clean_text(str(value))


def instant(value: Any) -> datetime | None:
    """An instant in any form seen in the wild, besides those of `parse_instant`.

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
    read = parse_instant(value)
    return None if read is None else read.astimezone(UTC)


def document(value: Any) -> Any:
    """A JSON document.

    Args:
        value: Decoded or as text.

    Example:
        >>> document('{"a": 1}'), document("null"), document("plain")
        ({'a': 1}, None, 'plain')
    """
    if isinstance(value, (bytes, bytearray)):
        value = bytes(value).decode("utf-8", "replace")
    if isinstance(value, str):
        try:
            value = _json.loads_exact(value)
        except ValueError:
            if not value.strip():
                return None
            odd = _odd_json.read(value)
            value = value if odd is None else odd
    return _json.loads_exact(_json.dumps(value))


def tags(value: Any) -> Any:
    """Tags as a list.

    Args:
        value: A list, or JSON or a PostgreSQL array as text.

    Example:
        >>> tags('{a,"b, c"}'), tags('["a"]'), tags("a")
        (['a', 'b, c'], ['a'], ['a'])
    """
    found = document(value)
    if isinstance(found, str):
        text = found.strip()
        if text.startswith("{") and text.endswith("}"):
            return [_unquoted(*item.groups()) for item in _ARRAY_ITEM.finditer(text[1:-1])]
        return [found] if text else None
    return found


def show_input(value: Any) -> Any:
    """True, False or a language; None where nothing is said.

    Args:
        value: A flag, or its text in any form.

    Example:
        >>> show_input("True"), show_input("json"), show_input("None")
        (True, 'json', None)
    """
    if isinstance(value, str):
        text = value.strip().strip('"')
        flags = {"true": True, "false": False, "1": True, "0": False} | dict.fromkeys(_NULLS)
        return flags.get(text.lower(), text)
    return bool(value) if isinstance(value, int) else document(value)


def feedback_value(value: Any) -> int | None:
    """0 or 1, None for anything else.

    Args:
        value: A number or its text; Chainlit's asyncpg layer stores 0.0 and 1.0.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return int(number) if number in (0, 1) else None


def plain(value: Any) -> Any:
    """A value as JSON can hold it."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        whole = _json.number(f"{value:f}") if value.is_finite() else float(value)
        return str(value) if math.isinf(whole) else whole
    return str(value) if isinstance(value, uuid.UUID) else _json.loads_exact(_json.dumps(value))


def _says_nothing(what: str, value: Any) -> bool:
    """Whether an empty value is no loss: ``""`` where there is no text, JSON's ``null``."""
    if not isinstance(value, str):
        return False
    return value.strip().lower() in (_NULLS if what in (JSON, FLAG) else {""})


def _unquoted(quoted: str | None, bare: str | None) -> str | None:
    if quoted is not None:
        return re.sub(r"\\(.)", r"\1", quoted)
    assert bare is not None
    return None if bare == "NULL" else bare
