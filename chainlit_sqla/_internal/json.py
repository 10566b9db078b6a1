"""JSON and text, made storable in every database.

What databases refuse is replaced here in one stated way, on all dialects alike, so
that a conversation does not change when it moves from one database to another:

=====================  ==========================================================
sent                   stored
=====================  ==========================================================
NUL (U+0000)           ``␀`` (U+2400); PostgreSQL has no NUL in text or JSONB
lone surrogate         ``�`` (U+FFFD); a split pair is joined to its character
NaN, Infinity          ``null``, as JavaScript's ``JSON.stringify`` (ECMA-262)
integer over 64 bits   its digits as a string
datetime, UUID, Path   ISO 8601, hex form, path as strings
set, tuple, deque      an array
bytes                  ``data:;base64,…`` (RFC 2397)
pydantic, dataclass    their fields
other objects, keys    ``str(object)``
beyond 250 levels      refused: `ValueError`
=====================  ==========================================================
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections import deque
from collections.abc import Mapping
from decimal import Decimal
from enum import Enum
from typing import Any

import orjson

MAX_DEPTH = 250
"""Levels of nesting accepted; orjson itself gives up a little above."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_INTEGERS = range(-(2**63), 2**64)
_OPTIONS = orjson.OPT_NON_STR_KEYS


_DIGITS = bytes(0x30 if one in b"0123456789." else 0x20 for one in range(256))
_MANY = b"0" * 17
"""Numbers of fewer digits are the same in double precision and back (IEEE 754)."""
_LONGEST, _SMALLEST = 1_000, -1_000
"""Digits, and the exponent, of numbers that all databases store as they are, or round."""


class ExactNumber(float):
    """A number of a document that has more digits than a float: counts as it, is written whole.

    Args:
        text: It, as JSON has it.
    """

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> ExactNumber:
        """Round it, and keep it."""
        found = super().__new__(cls, text)
        found.text = text
        return found


class JsonText(str):
    """A string that is JSON already: column types write it as it is."""

    __slots__ = ()


def clean_text(value: str) -> str:
    r"""Replace what a database cannot store in a text.

    Args:
        value: Any Python string.

    Returns:
        The same string where all databases can store it, else a copy with NUL and
        lone surrogates replaced; never of a subclass, which serializers and drivers take
        for something of its own.

    Example:
        >>> clean_text("a\x00b")
        'a␀b'
    """
    if type(value) is not str:
        value = str.__str__(value)
    if "\x00" not in value and (value.isascii() or not _SURROGATE.search(value)):
        return value
    joined = value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return joined.replace("\x00", "\u2400")


def dumps(value: Any) -> JsonText:
    """Serialize to JSON that every supported database accepts.

    Args:
        value: Anything; see the table in the module for what is not JSON.

    Returns:
        Compact JSON.

    Raises:
        ValueError: If the value refers to itself or is nested deeper than
            `MAX_DEPTH` levels.

    Example:
        >>> dumps({"a": [1, float("nan")]})
        '{"a":[1,null]}'
    """
    try:
        raw = orjson.dumps(value, default=_plain, option=_OPTIONS)
        if b"\\u0000" not in raw:
            return JsonText(raw.decode())
    except (orjson.JSONEncodeError, RecursionError):
        pass  # Rare: cleaned member by member below, or refused there with a reason.
    return JsonText(orjson.dumps(_clean(value, 0), default=_plain, option=_OPTIONS).decode())


def loads(raw: str | bytes) -> Any:
    """Parse JSON as written by `dumps` or by any other writer.

    Args:
        raw: JSON text.

    Returns:
        The value.

    Raises:
        ValueError: If the text is not JSON.
    """
    return orjson.loads(str(raw) if isinstance(raw, JsonText) else raw)


def loads_exact(raw: str | bytes) -> Any:
    """Parse JSON; numbers that a float would round are each an `ExactNumber`.

    Args:
        raw: JSON text.

    Returns:
        The value; `dumps` writes those numbers with all their digits.

    Raises:
        ValueError: If the text is not JSON.

    Example:
        >>> dumps(loads_exact("[0.1234567890123456789]"))
        '[0.1234567890123456789]'
    """
    value = loads(raw)
    if _MANY not in (raw.encode() if isinstance(raw, str) else raw).translate(_DIGITS):
        return value
    try:
        return json.loads(raw, parse_float=number, parse_int=integer)
    except (ValueError, RecursionError):  # Where readers differ, ours is asked.
        return value


def write_exact(value: Any) -> Any:
    """What orjson is to do with an `ExactNumber`, as its ``default``."""
    if isinstance(value, ExactNumber):
        return orjson.Fragment(value.text)
    raise TypeError(f"{type(value).__name__} is no JSON")


def number(text: str) -> float:
    """Read a number, whole where a float would round it; one that no float holds is infinite.

    Args:
        text: It, as JSON has it.
    """
    rounded = float(text)
    if math.isinf(rounded):
        return rounded
    exact = Decimal(text)
    if exact == Decimal(repr(rounded)):
        return rounded
    usual = len(text) <= _LONGEST and (not exact or exact.adjusted() >= _SMALLEST)
    return ExactNumber(text) if usual else rounded


def integer(text: str) -> float:
    """Read a whole number: beyond 64 bits as `number` does.

    Args:
        text: It, as JSON has it.
    """
    if len(text) <= 20 and int(text) in _INTEGERS:
        return int(text)
    return number(text)


def _plain(value: Any) -> Any:
    """Turn an object that is not JSON into one that is."""
    if isinstance(value, ExactNumber):
        return orjson.Fragment(value.text)
    if isinstance(value, (set, frozenset, deque)):
        return list(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "data:;base64," + base64.b64encode(bytes(value)).decode()
    if isinstance(value, Mapping):
        return dict(value)
    for method in ("model_dump", "to_dict", "tolist"):  # pydantic; Chainlit; numpy
        if callable(convert := getattr(value, method, None)) and not isinstance(value, type):
            try:
                return convert()
            except Exception:
                break  # Not the method that it was taken for.
    return str(value)


def _clean(value: Any, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise ValueError(
            f"JSON is nested deeper than {MAX_DEPTH} levels or refers to itself; "
            "store a flatter value"
        )
    if isinstance(value, Enum):
        return _clean(value.value, depth)
    if isinstance(value, str):
        return clean_text(str(value))
    if value is None or isinstance(value, (bool, float)):
        return value
    if isinstance(value, int):
        return value if value in _INTEGERS else str(value)
    if isinstance(value, Mapping):
        return {_clean_key(k): _clean(v, depth + 1) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(item, depth + 1) for item in value]
    try:  # What orjson knows by itself: datetime, UUID, dataclass.
        return _clean(orjson.loads(orjson.dumps(value)), depth + 1)
    except orjson.JSONEncodeError:
        return _clean(_plain(value), depth + 1)


def _clean_key(key: Any) -> str:
    if isinstance(key, str):
        return clean_text(key)
    try:
        parsed: dict[str, Any] = orjson.loads(orjson.dumps({key: None}, option=_OPTIONS))
    except orjson.JSONEncodeError:
        return clean_text(str(key))
    return next(iter(parsed))
