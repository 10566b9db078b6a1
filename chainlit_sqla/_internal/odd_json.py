r"""JSON that only some readers take: ``NaN``, ``1e400``, half a pair of surrogates as ``\ud83d``.

Python's `json` writes and reads these, so tables of Chainlit's own layers hold them (RFC 8259,
sections 6 and 8.2, leaves them out or to the reader). They are read as the table of
`chainlit_sqla._internal.json` says, and the exact text goes with the value.
"""

from __future__ import annotations

import json
from typing import Any

from . import json as _json


class OddObject(dict[str, Any]):
    """An object that was read leniently.

    Args:
        value: It.
        text: As it was written.
    """

    __slots__ = ("text",)
    text: str

    def __init__(self, value: dict[str, Any], text: str) -> None:
        super().__init__(value)
        self.text = text


class OddArray(list[Any]):
    """An array that was read leniently.

    Args:
        value: It.
        text: As it was written.
    """

    __slots__ = ("text",)
    text: str

    def __init__(self, value: list[Any], text: str) -> None:
        super().__init__(value)
        self.text = text


Odd = (OddObject, OddArray)
"""What was read leniently, for `isinstance`."""


def read(text: str) -> OddObject | OddArray | None:
    r"""Read an object or an array that `_json.loads` refuses; None: it is none to Python, either.

    Args:
        text: What `_json.loads` refused.

    Example:
        >>> read('{"a": NaN, "b": 1e400, "c": "\\ud83d"}')
        {'a': None, 'b': None, 'c': '�'}
    """
    if text.lstrip()[:1] not in ("{", "["):
        return None  # A text, such as NaN, stays one.
    try:
        found = json.loads(
            text,
            parse_float=_json.number,
            parse_int=_json.integer,
            parse_constant=lambda _: None,
        )
        found = _json.loads_exact(_json.dumps(found))
    except (ValueError, RecursionError):
        return None
    return OddObject(found, text) if isinstance(found, dict) else OddArray(found, text)


def odd(value: Any) -> OddObject | OddArray | None:
    """A value that is read leniently, if it is one.

    Args:
        value: As a driver gives it.
    """
    if isinstance(value, Odd):
        return value
    if not isinstance(value, str):
        return None
    try:
        _json.loads(value)
    except ValueError:
        return read(value)
    return None


def loads(raw: str) -> Any:
    """Parse what a database took for JSON, so that no row of it stops who reads it.

    Args:
        raw: JSON text.

    Returns:
        The value, as `_json.loads_exact` has it; else what `read` gives; else the text.
    """
    try:
        return _json.loads_exact(raw)
    except ValueError:
        found = read(raw)
        return raw if found is None else found
