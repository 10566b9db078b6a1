"""`Record`: a row of a conversation outside any database, the same from and for each of them.

Its values are Python's: text, numbers, flags, aware instants and decoded JSON, by the names
of the columns. So two databases hold the same conversation exactly if their records have the
same digests, whatever their column types.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
from sqlalchemy import Boolean, Integer, Table

from .._internal import json as _json
from .._internal.timestamps import format_instant, parse_instant
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
"""Kinds that lie in a thread, in the order in which they are written."""

INSTANT, JSON, FLAG, INTEGER, TEXT = "instant", "json", "flag", "integer", "text"


def _kind_of(column: Any) -> str:
    for type_, kind in ((UtcDateTime, INSTANT), (JsonDocument, JSON), (Boolean, FLAG)):
        if isinstance(column.type, type_):
            return kind
    return INTEGER if isinstance(column.type, Integer) else TEXT


def _plain(name: str) -> str:
    """SQLAlchemy's names are of a class that orjson refuses as a key."""
    return str.__str__(name)


COLUMNS: Mapping[str, Mapping[str, str]] = {
    kind: {_plain(column.name): _kind_of(column) for column in table.columns}
    for kind, table in TABLES.items()
}
"""The columns of each kind of record, and what their values are."""
KEYS: Mapping[str, tuple[str, ...]] = {
    kind: tuple(_plain(column.name) for column in table.primary_key.columns)
    for kind, table in TABLES.items()
}
"""The columns that identify a record."""
_NEEDED = {
    kind: {*keys, *(("identifier",) if kind == "user" else ())}
    - ({"id"} if kind == "tombstone" else set())
    for kind, keys in KEYS.items()
}
"""Columns that a line must have; the tombstone of a thread has an empty id."""
_DOCUMENTS = {
    kind: tuple(name for name, what in columns.items() if what == JSON)
    for kind, columns in COLUMNS.items()
}
_INSTANTS = {
    kind: tuple(name for name, what in columns.items() if what == INSTANT)
    for kind, columns in COLUMNS.items()
}


@dataclass(frozen=True, slots=True)
class Record:
    """One row.

    Args:
        kind: A key of `TABLES`.
        values: A value for each column of the table.
    """

    kind: str
    values: Mapping[str, Any]

    @property
    def key(self) -> tuple[str, ...]:
        """The kind and the values of the primary key."""
        return (self.kind, *(self.values[name] for name in KEYS[self.kind]))

    @property
    def thread_id(self) -> str | None:
        """The thread that it is or lies in; None for a user."""
        value: str | None = self.values.get("id" if self.kind == "thread" else "threadId")
        return None if self.kind == "user" else value

    def digest(self) -> int:
        """128 bits that are the same for the same values on every database.

        Numbers are compared by value, since databases write ``1.0`` as ``1``; the order of
        the members of an object says nothing (RFC 8259, section 4).
        """
        shown = dict(self.values)
        for name in _DOCUMENTS[self.kind]:
            if isinstance(shown[name], (dict, list, float)):
                shown[name] = _even(shown[name])
        for name in _INSTANTS[self.kind]:
            shown[name] = format_instant(shown[name])
        raw = orjson.dumps((self.kind, shown), option=orjson.OPT_SORT_KEYS)
        return int.from_bytes(hashlib.blake2b(raw, digest_size=16).digest(), "big")

    def line(self) -> bytes:
        """The record as a line of JSONL, without the line's end."""
        shown = {"kind": self.kind} | dict(self.values)
        for name in _INSTANTS[self.kind]:
            shown[name] = format_instant(shown[name])
        return orjson.dumps(shown, _json.write_exact)

    @classmethod
    def parse(cls, line: bytes | str) -> Record:
        """Read what `line` wrote; columns that are missing get the value that says nothing.

        Raises:
            ImportSourceError: It is no such line; says why.

        Example:
            >>> Record.parse('{"kind": "user", "id": "1", "identifier": "me"}').kind
            'user'
        """
        try:
            given = _json.loads_exact(line)
        except ValueError as error:
            raise ImportSourceError(f"it is not JSON: {error}") from error
        kind = given.get("kind") if isinstance(given, dict) else None
        if not isinstance(kind, str) or kind not in COLUMNS:
            raise ImportSourceError(f"its kind is not one of {', '.join(COLUMNS)}: {kind!r}")
        try:
            values = {name: _read(given, kind, name) for name in COLUMNS[kind]}
            if "extra" in values and (more := strangers(kind, given)):
                values["extra"] = {**_members(values["extra"]), **more}
        except ValueError as error:  # Nested too deeply.
            raise ImportSourceError(str(error)) from error
        if kind == "feedback" and values["value"] not in (0, 1):
            raise ImportSourceError("its value is neither 0 nor 1")
        return cls(kind, values)


def sorted_by_kind(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Records in the lists of their kinds, in the order in which they come."""
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(record.kind, []).append(record)
    return found


_DEFAULTS: Mapping[tuple[str, str], Any] = {
    ("step", "type"): "undefined",
    ("element", "type"): "file",
}


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""When something was made of which no source knows when."""


def _default(kind: str, name: str, what: str) -> Any:
    if TABLES[kind].columns[name].nullable:
        return None
    by_kind = {INSTANT: EPOCH, JSON: {}, FLAG: False, INTEGER: 0, TEXT: ""}
    return _DEFAULTS.get((kind, name), by_kind[what])


_EMPTY = {
    kind: {name: _default(kind, name, what) for name, what in columns.items()}
    for kind, columns in COLUMNS.items()
}


def default(kind: str, name: str) -> Any:
    """The value of a column that a source has not, None where that may be empty.

    Args:
        kind: A kind of record.
        name: A column of it.
    """
    value = _EMPTY[kind][name]
    return {} if isinstance(value, dict) else value


def is_wide(kind: str, name: str) -> bool:
    """Whether a column may have large values; of those that are not ours, nobody knows.

    Args:
        kind: A kind of record.
        name: A column of its table.
    """
    return COLUMNS[kind].get(name, TEXT) in (TEXT, JSON)


def strangers(kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The members of a line that are no columns of ours.

    Args:
        kind: A kind of record.
        given: The line.

    Raises:
        ValueError: One is nested too deeply.

    Example:
        >>> strangers("user", {"kind": "user", "id": "1", "age": 7})
        {'age': 7}
    """
    more = {name: value for name, value in given.items() if name not in COLUMNS[kind]}
    more.pop("kind", None)
    found: dict[str, Any] = _json.loads_exact(_json.dumps(more)) if more else {}
    return found


def _members(extra: Any) -> Mapping[str, Any]:
    return extra if isinstance(extra, dict) else {} if extra is None else {"extra": extra}


def _read(given: Mapping[str, Any], kind: str, name: str) -> Any:
    value, what = given.get(name), COLUMNS[kind][name]
    if value is None or (value == "" and name in _NEEDED[kind]):
        if name in _NEEDED[kind]:
            raise ImportSourceError(f"its {name} is missing")
        return default(kind, name)
    fits: tuple[type, ...] = {TEXT: (str,), FLAG: (bool,), INTEGER: (int,)}.get(what, (object,))
    read: Any = parse_instant(value) if what == INSTANT else value
    if read is None or not isinstance(read, fits) or (what == INTEGER and isinstance(read, bool)):
        raise ImportSourceError(f"its {name} is no {what}: {value!r}")
    if isinstance(read, str) and what == TEXT:
        return _json.clean_text(read)
    return _json.loads_exact(_json.dumps(read)) if what == JSON else read


def _even(value: Any) -> Any:
    """Whole numbers as such, where a reader of JSON gives them so when no exponent is written.

    PostgreSQL writes the digits that it got: 1.7e18 is 1700000000000000000.
    """
    if isinstance(value, float):
        whole = int(Decimal(repr(value))) if value.is_integer() else None
        return float(value) if whole is None or not -(2**63) <= whole < 2**64 else whole
    if isinstance(value, dict):
        return {name: _even(member) for name, member in value.items()}
    return [_even(member) for member in value] if isinstance(value, list) else value
