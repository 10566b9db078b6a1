"""`Record`: a row of a conversation as Python values, independent of any database.

Values are text, numbers, flags, aware datetimes and decoded JSON, by column name. Two databases
hold the same conversation exactly if their records have the same digests, whatever the column
types are.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson
from sqlalchemy import Boolean, Integer, Table

from .._internal import json as _json
from .._internal.timestamps import EPOCH, format_instant, parse_instant
from ..dialects.column_types import JsonDocument, UtcDateTime
from ..errors import ImportSourceError
from ..models import elements, feedbacks, steps, threads, tombstones, users

TABLES: Mapping[str, Table] = {
    "user": users,
    "thread": threads,
    "step": steps,
    "element": elements,
    "feedback": feedbacks,
    "tombstone": tombstones,
}
"""The table of each kind of record, parents first."""
IN_THREADS = ("step", "element", "feedback")
"""The kinds that belong to a thread, in the order in which they are written."""

INSTANT, JSON, FLAG, INTEGER, TEXT = "instant", "json", "flag", "integer", "text"
"""What the values of a column are."""


def _value_type(column: Any) -> str:
    types = ((UtcDateTime, INSTANT), (JsonDocument, JSON), (Boolean, FLAG), (Integer, INTEGER))
    return next((name for type_, name in types if isinstance(column.type, type_)), TEXT)


# SQLAlchemy's names are a subclass of str, which orjson refuses as keys.
COLUMNS: Mapping[str, Mapping[str, str]] = {
    kind: {str.__str__(column.name): _value_type(column) for column in table.columns}
    for kind, table in TABLES.items()
}
"""The columns of each kind of record, and what their values are."""
KEYS: Mapping[str, tuple[str, ...]] = {
    kind: tuple(str.__str__(column.name) for column in table.primary_key.columns)
    for kind, table in TABLES.items()
}
"""The primary key of each kind of record."""
_REQUIRED = {
    kind: {*keys, *(("identifier",) if kind == "user" else ())}
    - ({"id"} if kind == "tombstone" else set())
    for kind, keys in KEYS.items()
}
"""Columns that a line must have; the tombstone of a thread has an empty id."""
_EMPTY = {INSTANT: EPOCH, JSON: {}, FLAG: False, INTEGER: 0, TEXT: ""}
_DEFAULTS: Mapping[tuple[str, str], Any] = {
    (kind, name): None if TABLES[kind].columns[name].nullable else _EMPTY[value_type]
    for kind, columns in COLUMNS.items()
    for name, value_type in columns.items()
} | {("step", "type"): "undefined", ("element", "type"): "file"}
_PYTHON_TYPES: Mapping[str, tuple[type, ...]] = {TEXT: (str,), FLAG: (bool,), INTEGER: (int,)}


def _columns_of(value_type: str) -> Mapping[str, tuple[str, ...]]:
    return {
        kind: tuple(name for name, type_ in columns.items() if type_ == value_type)
        for kind, columns in COLUMNS.items()
    }


_DOCUMENTS, _INSTANTS = _columns_of(JSON), _columns_of(INSTANT)


@dataclass(frozen=True, slots=True)
class Record:
    """One row: the key of its table in `TABLES`, and a value for each column."""

    kind: str
    values: Mapping[str, Any]

    @property
    def key(self) -> tuple[str, ...]:
        """The kind and the values of the primary key."""
        return (self.kind, *(self.values[name] for name in KEYS[self.kind]))

    @property
    def thread_id(self) -> str | None:
        """The thread that it is or belongs to; None for a user."""
        value: str | None = self.values.get("id" if self.kind == "thread" else "threadId")
        return None if self.kind == "user" else value

    def digest(self) -> int:
        """128 bits that are the same for the same values on every database.

        Numbers are compared by value, since databases write ``1.0`` as ``1``; the order of
        the members of an object does not count (RFC 8259, section 4).
        """
        values = dict(self.values)
        for name in _DOCUMENTS[self.kind]:
            if isinstance(values[name], (dict, list, float)):
                whole = _with_whole_numbers(values[name])
                values[name] = _embedded(whole, option=orjson.OPT_SORT_KEYS)
        for name in _INSTANTS[self.kind]:
            values[name] = format_instant(values[name])
        raw = orjson.dumps((self.kind, values), option=orjson.OPT_SORT_KEYS)
        return int.from_bytes(hashlib.sha256(raw).digest()[:16], "big")

    def line(self) -> bytes:
        """The record as a line of JSONL, without the newline."""
        values = {"kind": self.kind} | dict(self.values)
        for name in _DOCUMENTS[self.kind]:
            values[name] = _embedded(values[name])
        for name in _INSTANTS[self.kind]:
            values[name] = format_instant(values[name])
        return orjson.dumps(values)

    @classmethod
    def parse(cls, line: bytes | str) -> Record:
        """Read a line written by `line`; missing columns get their default."""
        try:
            members = _json.loads(line)
        except ValueError as error:
            raise ImportSourceError(f"it is not JSON: {error}") from error
        kind = members.get("kind") if isinstance(members, dict) else None
        if not isinstance(kind, str) or kind not in COLUMNS:
            raise ImportSourceError(f"its kind is not one of {', '.join(COLUMNS)}: {kind!r}")
        try:
            values = {name: _read_value(members, kind, name) for name in COLUMNS[kind]}
            if "extra" in values and (unknown := unknown_columns(kind, members)):
                values["extra"] = merge_extra(values["extra"], unknown)
        except ValueError as error:  # Nested too deeply.
            raise ImportSourceError(str(error)) from error
        if kind == "feedback" and values["value"] not in (0, 1):
            raise ImportSourceError("its value is neither 0 nor 1")
        return cls(kind, values)


def sorted_by_kind(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Group records by kind, keeping their order."""
    by_kind: dict[str, list[Record]] = {}
    for record in records:
        by_kind.setdefault(record.kind, []).append(record)
    return by_kind


def count_by_kind(counts: Mapping[tuple[str, str], int]) -> Counter[str]:
    """Add up the numbers of rows by kind and reason for each kind."""
    by_kind = Counter[str]()
    for (kind, _reason), count in counts.items():
        by_kind[kind] += count
    return by_kind


def default(kind: str, name: str) -> Any:
    """The value of a column that a source does not have."""
    value = _DEFAULTS[kind, name]
    return {} if isinstance(value, dict) else value


def unknown_columns(kind: str, members: Mapping[str, Any]) -> dict[str, Any]:
    """The members of a line that are not columns of ours; too deep nesting is a `ValueError`."""
    known = {"kind", *COLUMNS[kind]}
    unknown = {name: value for name, value in members.items() if name not in known}
    values: dict[str, Any] = _json.loads(_json.dumps(unknown)) if unknown else {}
    return values


def merge_extra(extra: Any, unknown: Mapping[str, Any]) -> dict[str, Any]:
    """Add the values of unknown columns to the column ``extra`` of a step or an element."""
    if extra is not None and not isinstance(extra, dict):  # Another program's column.
        extra = {"extra": extra}
    return {**(extra or {}), **unknown}


def _read_value(members: Mapping[str, Any], kind: str, name: str) -> Any:
    value, value_type = members.get(name), COLUMNS[kind][name]
    if value is None or (value == "" and name in _REQUIRED[kind]):
        if name in _REQUIRED[kind]:
            raise ImportSourceError(f"its {name} is missing")
        return default(kind, name)
    read: Any = parse_instant(value) if value_type == INSTANT else value
    fits = isinstance(read, _PYTHON_TYPES.get(value_type, (object,)))
    if read is None or not fits or (value_type == INTEGER and isinstance(read, bool)):
        raise ImportSourceError(f"its {name} is no {value_type}: {value!r}")
    if isinstance(read, str) and value_type == TEXT:
        return _json.clean_text(read)
    return _json.loads(_json.dumps(read)) if value_type == JSON else read


def _embedded(document: Any, option: int = 0) -> orjson.Fragment:
    """Serialize a document by itself: orjson's limit of nesting is that of a stored document."""
    return orjson.Fragment(orjson.dumps(document, option=option))


def _with_whole_numbers(value: Any) -> Any:
    """Replace floats that are whole by integers, where a JSON reader may give either.

    PostgreSQL writes all digits: 1.7e18 becomes 1700000000000000000.
    """
    if isinstance(value, float):
        whole = int(Decimal(repr(value))) if value.is_integer() else None
        return value if whole is None or not -(2**63) <= whole < 2**64 else whole
    if isinstance(value, dict):
        return {name: _with_whole_numbers(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_with_whole_numbers(member) for member in value]
    return value
