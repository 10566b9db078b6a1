"""JSON and text in a form that every supported database stores.

Values that a database refuses are replaced by the same rules on all dialects, so that a
conversation does not change when it moves from one database to another:

=====================  ==========================================================
sent                   stored
=====================  ==========================================================
NUL (U+0000)           ``␀`` (U+2400); PostgreSQL has no NUL in text or JSONB
lone surrogate         ``�`` (U+FFFD); a split pair is joined to its character
NaN, Infinity          ``null``, as JavaScript's ``JSON.stringify`` (ECMA-262)
integer over 64 bits   its digits as a string
number in JSON text    the nearest double, where it is no integer of 64 bits
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
from collections import deque
from collections.abc import Mapping
from enum import Enum
from typing import Any

import orjson

MAX_DEPTH = 250
"""The deepest nesting that is accepted; the limit of orjson is slightly higher."""

_INTEGERS = range(-(2**63), 2**64)
_OPTIONS = orjson.OPT_NON_STR_KEYS


class JsonText(str):
    """A string that is serialized JSON; column types write it unchanged."""

    __slots__ = ()


class UndecodableText(str):
    r"""Text of a database that is not valid UTF-8: U+FFFD, or ``\xfc`` in ``escaped``."""

    __slots__ = ("escaped",)
    escaped: str

    def __new__(cls, raw: bytes) -> UndecodableText:
        """Decode what can be decoded."""
        text = super().__new__(cls, raw.decode("utf-8", "replace"))
        text.escaped = raw.decode("utf-8", "backslashreplace")
        return text


def decode_text(raw: bytes) -> str:
    """Decode text of a database, whether it is valid UTF-8 or not."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return UndecodableText(raw)


def clean_text(value: str) -> str:
    """Replace what a database cannot store in a text: NUL and lone surrogates.

    The result is never of a subclass, which serializers and drivers may treat differently.
    """
    if type(value) is not str:
        if not isinstance(value, str):
            raise TypeError(f"{value!r:.100} is not a text; pass a string")
        value = str.__str__(value)
    if "\x00" not in value and (value.isascii() or _is_encodable(value)):
        return value
    joined = value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return joined.replace("\x00", "\u2400")


def _is_encodable(value: str) -> bool:
    """Return whether a text has no surrogates: encoding takes less than half of a search."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def dumps(value: Any) -> JsonText:
    """Serialize to JSON for every supported database, or raise ValueError; see the module."""
    try:
        raw = orjson.dumps(value, default=_plain, option=_OPTIONS)
        if b"\\u0000" not in raw:
            return JsonText(raw.decode())
    except (orjson.JSONEncodeError, RecursionError):
        pass  # Rare: cleaned member by member below, which raises an error with a reason.
    return JsonText(orjson.dumps(_clean(value, 0), default=_plain, option=_OPTIONS).decode())


def loads(raw: str | bytes) -> Any:
    """Parse JSON of any writer; raise ValueError for other text."""
    return orjson.loads(str(raw) if isinstance(raw, JsonText) else raw)


def loads_lenient(raw: str) -> Any:
    r"""Parse JSON that only some readers accept: ``NaN``, ``1e400``, ``\\ud83d`` on its own.

    The result follows the table of the module; text that no reader accepts is returned itself.
    """
    if raw.lstrip()[:1] not in ("{", "["):
        return raw  # A text such as NaN.
    try:
        value = json.loads(raw, parse_int=_integer, parse_constant=lambda _: None)
        return loads(dumps(value))
    except (ValueError, RecursionError):
        return raw


def loads_stored(raw: str) -> Any:
    """Parse what a database accepted as JSON, so that no row stops its reader."""
    try:
        return loads(raw)
    except ValueError:
        return loads_lenient(raw)


def _integer(text: str) -> float:
    """Parse an integer; beyond 64 bits, a float as orjson does."""
    return int(text) if len(text) <= 20 and int(text) in _INTEGERS else float(text)


def _plain(value: Any) -> Any:
    """Convert an object into one that JSON can represent."""
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
                break  # A method of the same name with another meaning.
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
    try:  # Types that orjson supports: datetime, UUID, dataclass.
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
