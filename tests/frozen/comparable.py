"""Conversations as plain data that is the same from whichever layer they were read.

Here stand, in one place, all differences of form that are no loss, each with its reason.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

Row = dict[str, Any]
Conversations = dict[str, dict[str, Any]]
"""``users`` by identifier and ``threads`` by id; the ``steps`` and ``elements`` of a thread
by id. Users, steps and elements are lists: more than one where an id occurs twice or a step
has two feedbacks, of which one is to be found again."""

_FORMS = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?(Z|[+-]\d\d:\d\d)?Z?"
)


def instant(value: Any) -> str | None:
    """A time in one form: text of any release, epoch seconds or milliseconds, or nothing.

    Without an offset it is UTC, as Chainlit's ``utc_now`` was; "+00:00Z" was written by
    releases that added the Z to what had an offset. What is no time is None: our columns
    hold instants only, and Chainlit shows nothing for it.
    """
    text = str(value) if value is not None else ""
    if re.fullmatch(r"\d{10}|\d{13}", text):
        seconds, milliseconds = int(text[:10]), int(text[10:] or 0)
        made = datetime.fromtimestamp(seconds, UTC) + timedelta(milliseconds=milliseconds)
        return made.isoformat(timespec="microseconds")
    found = _FORMS.fullmatch(text)
    if not found:
        return None
    *numbers, fraction, zone = found.groups()
    offset = UTC
    if zone and zone != "Z":
        minutes = int(zone[1:3]) * 60 + int(zone[4:])
        offset = timezone(timedelta(minutes=-minutes if zone[0] == "-" else minutes))
    parts = [int(number) for number in numbers]
    made = datetime(*parts, microsecond=int((fraction or "").ljust(6, "0")), tzinfo=offset)  # type: ignore[misc,arg-type]
    return made.astimezone(UTC).isoformat(timespec="microseconds")


def document(value: Any) -> Any:
    """A JSON value; SQLite and columns of type TEXT give its text.

    NaN, which Python writes, is no JSON: our layer stores null. What is none at all is a text.
    """
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value, parse_constant=lambda _: None)
    except ValueError:
        return value


def some(value: Any) -> Any:
    """A JSON value, or None where it says nothing.

    Chainlit's SQLAlchemy layer writes {} or the literal null for a generation, and its
    asyncpg layer's columns of tags and props must not be empty.
    """
    return document(value) or None


def tags(value: Any) -> Any:
    """Tags: a list, its JSON, or the text of an array that PostgreSQL made."""
    if isinstance(value, str) and value.startswith("{"):
        return next(csv.reader([value[1:-1]], escapechar="\\", doublequote=False))
    return some(value)


def text(value: str | None) -> str:
    """A text: an empty one and none are the same to Chainlit.

    SQLite can hold a NUL, which the others cannot; our layer stores its picture.
    """
    return (value or "").replace("\0", "\u2400")


def flag(value: Any) -> bool | None:
    """A flag; all of SQLite's and those in columns of type TEXT are numbers or words."""
    if isinstance(value, str):
        return value.lower() in ("1", "true")
    return None if value is None else bool(value)


def show_input(value: Any) -> str | None:
    """What ``showInput`` says: the SQLAlchemy layer writes its text in lower case, the
    asyncpg layer as Python does; and "none" where there is nothing."""
    text = "" if value is None else str(value).lower()
    return None if text in ("", "none") else text


def number(value: Any) -> int | None:
    """A whole number, from columns of type TEXT and FLOAT as well."""
    return None if value is None else int(float(value))


_FLAGS = ("waitForAnswer", "isError", "defaultOpen", "autoCollapse")


def step(values: Mapping[str, Any]) -> Row:
    feedback = values.get("feedback")
    return {
        "id": values["id"],
        "parentId": values.get("parentId") or None,
        "name": text(values["name"]),
        "type": values["type"],
        "input": text(values.get("input")),
        "output": text(values.get("output")),
        "metadata": some(values.get("metadata")),
        "tags": tags(values.get("tags")),
        "generation": some(values.get("generation")),
        "modes": some(values.get("modes")),
        "showInput": show_input(values.get("showInput")),
        "command": values.get("command"),
        "language": values.get("language"),
        **{key: instant(values.get(key)) for key in ("createdAt", "start", "end")},
        **{key: flag(values.get(key)) for key in _FLAGS},
        "streaming": bool(flag(values.get("streaming"))),  # Ours must not be empty.
        "feedback": feedback
        and {
            "id": feedback["id"],
            "value": number(feedback["value"]),
            "comment": feedback["comment"],
        },
    }


def element(values: Mapping[str, Any]) -> Row:
    """An element.

    The link of a stored one is made anew whenever it is shown, so only that of one which
    lies elsewhere counts. A UUID column cannot hold "", which is no step either way.
    """
    stored = bool(values.get("objectKey"))
    texts = ("type", "chainlitKey", "objectKey", "name", "display", "size", "language", "mime")
    return {
        "id": values["id"],
        **{key: values.get(key) for key in texts},
        "url": None if stored else values.get("url"),
        "forId": values.get("forId") or None,
        "page": number(values.get("page")),
        "props": some(values.get("props")),
        "autoPlay": flag(values.get("autoPlay")),
        "playerConfig": some(values.get("playerConfig")),
    }


def user(values: Mapping[str, Any]) -> Row:
    return {
        "id": values["id"],
        "metadata": document(values["metadata"]) or {},
        "createdAt": instant(values["createdAt"]),
    }


def thread(values: Mapping[str, Any], identifiers: Mapping[str, str]) -> Row:
    """A thread.

    Its user is given by the identifier: of two accounts with one identifier only one is
    left, and a user who is gone is none.
    """
    return {
        "name": values["name"],
        "user": identifiers.get(values["userId"] or ""),
        "userIdentifier": values["userIdentifier"],
        "createdAt": instant(values["createdAt"]),
        "tags": tags(values["tags"]),
        "metadata": some(values["metadata"]),
        "steps": _by_id(step(one) for one in values["steps"]),
        "elements": _by_id(element(one) for one in values["elements"] or []),
    }


def _by_id(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        # A row without an id cannot be named by anything; it is kept apart, not shown.
        if row["id"] is not None and row not in found.setdefault(row["id"], []):
            found[row["id"]].append(row)
    return found


def differences(expected: Conversations, found: Conversations) -> list[str]:
    """Where what was found is not what was expected, a line each; empty where it is.

    A ``createdAt`` that is not known may be any: ours is never empty.
    """
    lines: list[str] = []
    for kind in ("users", "threads"):
        lines += _keys(kind, expected[kind], found[kind])
    for key in expected["users"].keys() & found["users"].keys():
        lines += _alternatives(f"user {key}", expected["users"][key], found["users"][key])
    for key in expected["threads"].keys() & found["threads"].keys():
        before, after = expected["threads"][key], found["threads"][key]
        parts = ("steps", "elements")
        plain = ({k: v for k, v in one.items() if k not in parts} for one in (before, after))
        lines += _alternatives(f"thread {key}", [next(plain)], [next(plain)])
        for part in parts:
            lines += _keys(f"thread {key}: {part}", before[part], after[part])
            for id in before[part].keys() & after[part].keys():
                label = f"thread {key}: {part} {id}"
                lines += _alternatives(label, before[part][id], after[part][id])
    return sorted(lines)


def _keys(what: str, expected: Iterable[str], found: Iterable[str]) -> list[str]:
    lost, gained = set(expected) - set(found), set(found) - set(expected)
    return [f"{what}: lost {one}" for one in lost] + [f"{what}: gained {one}" for one in gained]


def _alternatives(what: str, expected: list[Row], found: list[Row]) -> list[str]:
    if len(found) != 1:
        return [f"{what}: {len(found)} rows"]
    unlike = [_unlike(one, found[0]) for one in expected]
    if not all(unlike):
        return []
    return [f"{what}: {line}" for line in min(unlike, key=len)]


def _unlike(expected: Row, found: Row) -> list[str]:
    return [
        f"{key} was {value!r}, is {found.get(key)!r}"
        for key, value in expected.items()
        if found.get(key) != value and (key, value) != ("createdAt", None)
    ]
