"""Lines of a file for what has no place in our tables, as `Record.line` is for what has one.

Of a row that was put aside, the columns of its table; and of a record, what no column holds::

    {"kind":"quarantined","id":"…","source":"…","origin":"steps","reason":"…","row":{…},…}
    {"kind":"unplaced","of":"thread","origin":"threads","reason":"…","row":{"id":"t","mood":"x"}}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from ..._internal import json as _json
from ..._internal.timestamps import format_instant, parse_instant
from .base import QUARANTINED, Misfit, Origin

UNPLACED = "unplaced"
"""The kind of a line with what of a record found no place."""
_LONGEST_ID = 255


def kind_of(misfit: Misfit) -> str:
    """The kind of its line."""
    return UNPLACED if misfit.origin is None else QUARANTINED


def line_of(misfit: Misfit) -> bytes:
    """The line, without its end.

    Args:
        misfit: Of a database of ours.
    """
    origin, shown = misfit.origin, {"kind": kind_of(misfit)}
    if origin is None:
        shown["of"] = misfit.kind
    else:
        shown |= {"id": origin.id, "source": origin.source}
    document = {"origin": misfit.table, "reason": misfit.reason, "row": misfit.document}
    moment = {} if origin is None else {"createdAt": format_instant(origin.created)}
    return orjson.dumps({**shown, **document, **moment}, _json.write_exact)


def misfit_of(line: bytes | str) -> Misfit | None:
    """Read what `line_of` wrote; None: it is another line.

    Example:
        >>> misfit_of('{"kind":"unplaced","of":"user","origin":"users","reason":"?","row":{}}').kept
        True
    """
    try:
        given = _json.loads_exact(line)
        if not isinstance(given, dict) or given.get("kind") not in (UNPLACED, QUARANTINED):
            return None
        row = _json.loads_exact(_json.dumps(given["row"]))
        parts = _text(given, "origin"), _text(given, "reason"), row
        if not isinstance(row, dict):
            return None
        if given["kind"] == UNPLACED:
            return Misfit(_text(given, "of"), *parts, kept=True)
        return Misfit(QUARANTINED, *parts, origin=_origin(given))
    except (ValueError, KeyError):
        return None


def _origin(given: Mapping[str, Any]) -> Origin:
    id, created = _text(given, "id"), parse_instant(given["createdAt"])
    if created is None or not 0 < len(id) <= _LONGEST_ID:
        raise ValueError("No database of ours can hold it")
    return Origin(id, _text(given, "source"), created)


def _text(given: Mapping[str, Any], name: str) -> str:
    if not isinstance(given[name], str):
        raise ValueError(f"{name} is no text")
    return _json.clean_text(given[name])
